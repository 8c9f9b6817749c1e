"""Deleting documents while they are being indexed, on each kind of store."""

from __future__ import annotations

import asyncio

import pytest

from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask
from tests.resolvers.knowledge.queue_world import World, row

pytestmark = pytest.mark.anyio


async def test_a_deletion_waits_for_who_takes_the_task(world: World) -> None:
    """Whoever takes a task holds it and then changes the document. A deletion that held the
    document and then wanted the task would wait for ever, and so would they."""
    document = await world.send()
    taken = asyncio.Event()

    async def delete() -> bool:
        await taken.wait()
        return await world.knowledge.remove(document)

    deleting = asyncio.create_task(delete())
    async with world.store.transaction():
        assert await IngestionTask.filter(document_id=document.id).select_for_update().only("id")
        taken.set()
        if world.store.is_sqlite:
            await asyncio.sleep(0)  # there everybody waits for the one who writes
        else:
            async with asyncio.timeout(10):
                while not await _someone_waits(world):  # noqa: ASYNC110 (the database has no events)
                    await asyncio.sleep(0.01)
        await Document.filter(id=document.id).update(status=DocumentStatus.PROCESSING)
    assert await deleting
    assert (await row(document)).deleted_at is not None
    assert not await IngestionTask.all().exists()


async def _someone_waits(world: World) -> bool:
    _, rows = await world.store.connection.execute_query(
        "SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1"
    )
    return bool(rows)
