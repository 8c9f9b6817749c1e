"""Documents that are indexed side by side and stored together, on each kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError

from models.chunk import Chunk
from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask, TaskKind
from models.statements import Statement
from models.store import Store
from resolvers.knowledge.storing import read_revision
from tests.postgres import PostgresServer
from tests.resolvers.knowledge.queue_world import TENT, World, row
from wiring import prepare_knowledge

pytestmark = pytest.mark.anyio


async def test_versions_that_are_ready_together_share_a_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve documents cost one change of the revision, and the index is changed once."""
    for number in range(12):
        await world.send(f"{TENT} Number {number}.")
    before = await read_revision()
    changes = []
    index, real = world.knowledge.index, world.knowledge.index.apply

    def note(entries: Sequence[Any], *rest: Any) -> None:
        changes.append(len(entries))
        real(entries, *rest)

    monkeypatch.setattr(index, "apply", note)
    assert await world.queue.run_due() == 12
    assert (changes, await read_revision() - before) == ([12], 1)
    assert await Document.filter(status=DocumentStatus.READY).count() == 12
    assert await IngestionTask.all().count() == 0
    assert world.knowledge.progress.ready == 12


async def test_a_version_that_cannot_be_stored_fails_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that would have shared its transaction are stored."""
    documents = [await world.send(f"{TENT} Number {number}.") for number in range(3)]
    write = Store.write

    async def picky(store: Store, statements: Sequence[Statement]) -> None:
        if any("Number 1." in str(row) for one in statements for row in one.rows):
            raise IntegrityError("odd")
        await write(store, statements)

    monkeypatch.setattr(Store, "write", picky)
    assert await world.queue.run_due() == 3
    statuses = [(await row(document)).status for document in documents]
    assert statuses == [DocumentStatus.READY, DocumentStatus.PENDING, DocumentStatus.READY]
    assert sorted(await world.found()) == [f"{TENT} Number {number}." for number in (0, 2)]


async def test_a_lost_lease_undoes_nothing_of_the_others(world: World) -> None:
    """Of documents that are stored together, one was sent anew and one was deleted meanwhile."""
    documents = [
        await world.send(f"{TENT} Number {number}.", key=f"k{number}") for number in range(4)
    ]
    taken = await world.queue._claim()
    await world.send(TENT + " Anew.", key="k1")
    await world.knowledge.remove(documents[2])
    await asyncio.gather(*(world.queue._process(one) for one in taken))
    ready = await Document.filter(status=DocumentStatus.READY).order_by("key")
    assert [document.key for document in ready] == ["k0", "k3"]
    assert await Chunk.all().count() == 2 == len(world.knowledge.index)
    assert await world.queue.run_due() == 1
    assert (await row(documents[1])).content == TENT + " Anew."


async def test_documents_that_the_process_may_have_died_of_are_taken_one_by_one(
    world: World,
) -> None:
    """So that one that kills the process does not take the others with it until they are given
    up."""
    for number in range(3):
        await world.send(f"{TENT} Number {number}.")
    for _ in range(2):
        assert len(await world.queue._claim()) == 3
        await world.queue.release()
    (suspect,) = await world.queue._claim()
    assert suspect.is_suspect
    tasks = await IngestionTask.all().order_by("id")
    assert [task.attempts for task in tasks] == [3, 2, 2]
    fresh = await world.send("A new one.")
    world.queue._held.add(suspect)
    assert [one.task.document_id for one in await world.queue._claim()] == [fresh.id]
    await world.queue.release()
    world.queue._held.clear()
    assert await world.queue.run_due() == 4
    assert await Document.filter(status=DocumentStatus.READY).count() == 4


async def test_a_long_text_is_read_when_there_is_room_for_it(world: World) -> None:
    """It is not in memory while it waits, and is indexed like any other, also anew."""
    document = await world.send("The tent Borealis is long. " * 5_000)
    short = await world.send(TENT)
    by_id = {one.task.document_id: one for one in await world.queue._claim()}
    assert by_id[document.id].text is None
    assert by_id[short.id].text == TENT.encode()
    await world.queue.release()
    assert await world.queue.run_due() == 2
    now = world.clock.now()
    await IngestionTask.create(document=document, kind=TaskKind.STORED, next_attempt_at=now)
    assert await world.queue.run_due() == 1
    found = await row(document)
    assert (found.status, found.version) == (DocumentStatus.READY, 1)


async def test_a_group_waits_for_nobody(
    postgres: PostgresServer, empty_postgres: str, anyio_backend: str, tmp_path: Path
) -> None:
    """On PostgreSQL, a document whose task somebody else is changing is left out, and stored alone
    once that has ended; the others are not held up."""
    url = postgres.create(empty_postgres)
    store, other = Store(url), Store(url)
    await other.open()
    await store.open()
    world = World(store, tmp_path)
    await prepare_knowledge(world.knowledge, world.folder)
    held, free = [await world.send(f"{TENT} Number {number}.") for number in range(2)]
    locked, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        other.bind()
        async with other.transaction():
            await IngestionTask.select_for_update().get(document_id=held.id)
            locked.set()
            await release.wait()

    taken = await world.queue._claim()
    holding = asyncio.create_task(hold())
    await locked.wait()
    processing = asyncio.gather(*(world.queue._process(one) for one in taken))
    while (await row(free)).status is not DocumentStatus.READY:  # noqa: ASYNC110 (of the store)
        await asyncio.sleep(0.01)
    assert (await row(held)).status is DocumentStatus.PROCESSING
    release.set()
    await asyncio.gather(holding, processing)
    assert (await row(held)).status is DocumentStatus.READY
    assert len(world.knowledge.index) == 2
    await world.knowledge.embedding.close()
    await world.knowledge.close()
    await store.close()
    await other.close()
