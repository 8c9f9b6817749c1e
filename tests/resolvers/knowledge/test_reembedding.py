"""From one embedding model to another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from models.chunk import Chunk
from models.collection import Audience, Collection
from models.document import Document
from models.store import Store
from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from rag.types import SourceDocument
from resolvers.knowledge import base
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.reembedding import Reembedding, stored_source
from resolvers.knowledge.storing import read_revision
from tests.application import test_settings, write_documents
from wiring import Parts, create_knowledge, create_reembedding, prepare_knowledge

pytestmark = pytest.mark.anyio

QUESTION = "Parcels to Switzerland"


class World:
    """The small knowledge base, embedded by a model of 64 dimensions."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = write_documents(folder / "kb")
        self.store = store
        self.settings = test_settings(folder, "sqlite://unused")

    async def fill(self) -> None:
        knowledge, _ = self.open(FakeEmbedder())
        await prepare_knowledge(knowledge, self.folder)
        await self.close(knowledge)

    def open(
        self, embedder: Embedder, old: Embedder | None = None
    ) -> tuple[KnowledgeBase, Reembedding]:
        def load_old(name: str) -> Embedder:
            if old is None:
                raise OSError(f"there is no {name}")
            return old

        parts = Parts(embedder=lambda: embedder, old_embedder=load_old)
        knowledge = create_knowledge(self.settings, parts, self.store)
        return knowledge, create_reembedding(self.settings, parts, knowledge)

    async def close(self, knowledge: KnowledgeBase) -> None:
        await knowledge.embedding.close()
        await knowledge.close()


@pytest.fixture
async def world(tmp_path: Path, store: Store) -> World:
    world = World(tmp_path, store)
    await world.fill()
    return world


async def found(knowledge: KnowledgeBase) -> set[str]:
    pipeline = await knowledge.pipeline()
    hits = (await pipeline.retrieve(QUESTION)).hits
    assert hits[0].passage.title == "Shipping"
    return {hit.passage.title for hit in hits}


async def test_the_old_model_answers_until_the_new_index_is_whole(world: World) -> None:
    """While documents are embedded again every one of them is found, by the old model; then the new
    index takes over at once, and what began with the old one still ends well."""
    old, new = FakeEmbedder(), FakeEmbedder(dimension=32)
    knowledge, reembedding = world.open(new, old)
    knowledge.embedding.start()
    await knowledge.open()
    assert len(knowledge.index) == 0
    assert await reembedding.begin() is True
    knowledge.announce_ready()
    before = await found(knowledge)
    assert len(before) == 4
    begun = await knowledge.pipeline()
    seen = []

    async def look() -> None:
        seen.append(await found(knowledge))

    report = knowledge.report

    async def reporting() -> None:
        await report()
        await look()

    knowledge.report = reporting  # type: ignore[method-assign]
    assert await reembedding.run() == 4
    knowledge.report = report  # type: ignore[method-assign]
    assert seen == [before] * 4
    assert old.batches == [1]  # the question's vector is kept
    assert len(knowledge.index) == 4
    assert (await knowledge.pipeline()).index is knowledge.index
    assert await found(knowledge) == before
    assert (await begun.retrieve("Another question on Switzerland")).hits
    assert {row.embedding_model for row in await Chunk.all()} == {
        knowledge.model_key,
        old.identity.key,
    }
    await reembedding.close()
    await world.close(knowledge)


async def test_the_old_index_follows_other_processes(world: World) -> None:
    """What another process moves or deletes is so for the old model, too: a document that went to a
    closed collection is not found by those who saw it before."""
    knowledge, reembedding = world.open(FakeEmbedder(dimension=32), FakeEmbedder())
    knowledge.embedding.start()
    await knowledge.open()
    assert await reembedding.begin() is True
    knowledge.announce_ready()
    other, _ = world.open(FakeEmbedder())
    other.embedding.start()
    await other.open()
    shipping, returns = [await Document.get(title=name) for name in ("Shipping", "Returns")]
    closed = await Collection.create(name="Board", audience=Audience.NAMED)
    await other.move([shipping.id], closed.id)
    assert await other.remove(returns)
    assert await knowledge.catch_up() is True
    index = (await knowledge.pipeline()).index
    assert index is not knowledge.index
    places = {one.document_id: one.collection for one in index.properties()}
    assert places[str(shipping.id)] == str(closed.id)
    assert str(returns.id) not in places
    assert len(places) == 3
    await reembedding.close()
    for one in (knowledge, other):
        await world.close(one)


async def test_own_changes_are_not_taken_for_those_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks between the commit and the index waits, and then finds nothing to read."""
    knowledge, _ = world.open(FakeEmbedder())
    knowledge.embedding.start()
    await knowledge.open()
    index, document = knowledge.index, await Document.get(title="Returns")
    looking: list[asyncio.Task[bool]] = []
    take_over, read = knowledge._take_over, asyncio.Event()

    async def reading() -> int:
        revision = await read_revision()
        read.set()
        return revision

    async def taking(*change: Any) -> None:
        monkeypatch.setattr(base, "read_revision", reading)
        looking.append(asyncio.create_task(knowledge.catch_up()))
        await read.wait()
        await take_over(*change)

    knowledge._take_over = taking  # type: ignore[assignment,method-assign]
    source = stored_source(document, document.content + " And more.")
    await knowledge.put(document, source, content_hash="new")
    assert await looking[0] is False
    assert knowledge.index is index
    await world.close(knowledge)


async def test_a_crash_between_keeps_what_was_embedded(world: World) -> None:
    """The next start embeds only the rest, then forgets the old passages."""
    knowledge, _ = world.open(FakeEmbedder(dimension=32), FakeEmbedder())
    knowledge.embedding.start()
    await knowledge.open()
    first = await Document.all().order_by("id").first()
    assert first is not None
    await knowledge.embed_again(first, stored_source(first, first.content))
    await world.close(knowledge)

    embedder = FakeEmbedder(dimension=32)
    knowledge, reembedding = world.open(embedder)
    knowledge.embedding.start()
    await knowledge.open()
    assert await reembedding.begin() is False
    assert await reembedding.run() == 3
    await reembedding._retiring  # type: ignore[misc]
    assert {row.embedding_model for row in await Chunk.all()} == {knowledge.model_key}
    assert len(knowledge.index) == await Chunk.all().count()
    await reembedding.close()
    await world.close(knowledge)


async def test_without_the_old_model_questions_wait(world: World) -> None:
    """Nobody is answered from a part of the documents: readiness comes with the last of them."""
    knowledge, reembedding = world.open(FakeEmbedder(dimension=32))
    ready = []
    embed_again = knowledge.embed_again

    async def watched(document: Document, source: SourceDocument) -> None:
        ready.append(knowledge.is_ready)
        await embed_again(document, source)

    knowledge.embed_again = watched  # type: ignore[method-assign]
    await prepare_knowledge(knowledge, world.folder, reembedding=reembedding)
    assert ready == [False] * 4
    assert knowledge.is_ready
    assert len(await found(knowledge)) == 4
    await reembedding.close()
    await world.close(knowledge)


async def test_the_same_model_embeds_nothing(world: World) -> None:
    """With the model of before there is nothing to do."""
    embedder = FakeEmbedder()
    knowledge, reembedding = world.open(embedder)
    await prepare_knowledge(knowledge, world.folder, reembedding=reembedding)
    assert embedder.batches == []
    assert knowledge.is_ready
    await reembedding.close()
    await world.close(knowledge)
