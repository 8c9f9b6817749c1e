"""The passages that a search reads, and those that are kept in memory."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from models.chunk import Chunk
from models.document import Document
from models.store import Store
from rag.embedding.fake import FakeEmbedder
from resolvers.knowledge.passages import DocumentRows, PassageRows
from tests.application import test_settings, write_documents
from wiring import Parts, create_knowledge, prepare_knowledge

pytestmark = pytest.mark.anyio


@pytest.fixture
async def chunk_ids(tmp_path: Path, store: Store) -> list[int]:
    """The small knowledge base, stored."""
    folder = write_documents(tmp_path / "kb")
    settings = test_settings(tmp_path, "sqlite://unused")
    knowledge = create_knowledge(settings, Parts(embedder=FakeEmbedder), store)
    await prepare_knowledge(knowledge, folder)
    await knowledge.embedding.close()
    await knowledge.close()
    return [chunk.id for chunk in await Chunk.all().order_by("id")]


def selects(caplog: pytest.LogCaptureFixture) -> int:
    return sum("SELECT" in record.getMessage() for record in caplog.records)


async def test_passages_are_read_once(
    chunk_ids: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """One query reads what is missing, and none what was read before, until it is forgotten."""
    rows = PassageRows(DocumentRows())
    with caplog.at_level(logging.DEBUG, logger="tortoise.db_client"):
        first = await rows.passages(chunk_ids[:2])
        assert (list(first), selects(caplog)) == (chunk_ids[:2], 1)
        both = await rows.passages(chunk_ids[:3])
        assert (sorted(both), selects(caplog)) == (chunk_ids[:3], 2)
        assert all(both[number] is first[number] for number in first)
        assert await rows.passages(chunk_ids[:3]) == both
        assert await rows.passages([]) == {}
        assert selects(caplog) == 2
        rows.forget()
        assert (await rows.passages(chunk_ids[:1])).keys() == {chunk_ids[0]}
        assert selects(caplog) == 3


async def test_some_passages_are_forgotten(
    chunk_ids: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The others stay; and what was read before something was forgotten, but came after it, is
    given and not kept."""
    first, second, third = chunk_ids[:3]
    rows = PassageRows(DocumentRows())
    with caplog.at_level(logging.DEBUG, logger="tortoise.db_client"):
        await rows.passages([first, second])
        rows.forget([second])
        await rows.passages([first])
        assert selects(caplog) == 1
        await rows.passages([first, second])
        assert selects(caplog) == 2
        reading = asyncio.create_task(rows.passages([first, third]))
        await asyncio.sleep(0)
        assert not reading.done()
        rows.forget([third])
        assert sorted(await reading) == [first, third]
        assert selects(caplog) == 3
        await rows.passages([first, third])
        assert selects(caplog) == 4


async def test_the_least_used_passages_go(
    chunk_ids: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """No more than `keep` stay in memory, yet all that were asked for are given."""
    rows = PassageRows(DocumentRows(), keep=2)
    assert len(await rows.passages(chunk_ids[:3])) == 3
    with caplog.at_level(logging.DEBUG, logger="tortoise.db_client"):
        await rows.passages(chunk_ids[1:3])
        assert selects(caplog) == 0
        await rows.passages(chunk_ids[:1])
        assert selects(caplog) == 1


async def test_passages_that_are_gone_are_left_out(chunk_ids: list[int]) -> None:
    """A chunk without row, or of a deleted document, is no passage."""
    chunk = await Chunk.get(id=chunk_ids[0])
    document = await Document.get(id=chunk.document_id)
    document.deleted_at = document.created_at
    await document.save()
    found = await PassageRows(DocumentRows()).passages([*chunk_ids, 10_000])
    kept = await Chunk.exclude(document_id=document.id).order_by("id")
    assert sorted(found) == [row.id for row in kept]
    assert 0 < len(kept) < len(chunk_ids)


async def test_a_removed_document_is_forgotten(tmp_path: Path, store: Store) -> None:
    """Changing or removing a document leaves nothing of its passages in memory."""
    folder = write_documents(tmp_path / "kb")
    settings = test_settings(tmp_path, "sqlite://unused")
    knowledge = create_knowledge(settings, Parts(embedder=FakeEmbedder), store)
    await prepare_knowledge(knowledge, folder)
    pipeline = await knowledge.pipeline()
    before = await pipeline.retrieve("Parcels to Switzerland")
    document = await Document.get(folder_path="shipping.md")
    assert str(document.id) in {hit.passage.document_id for hit in before.hits}
    await knowledge.remove(document)
    assert not knowledge._passages._kept
    after = await pipeline.retrieve("Parcels to Switzerland")
    assert after.hits
    assert str(document.id) not in {hit.passage.document_id for hit in after.hits}
    await knowledge.embedding.close()
    await knowledge.close()
