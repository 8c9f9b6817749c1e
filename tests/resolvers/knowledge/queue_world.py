"""A knowledge base and queues that work only when they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.document import Document
from models.store import Store
from rag.embedding.fake import FakeEmbedder
from rag.types import FloatMatrix
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.queue import IngestionQueue
from resolvers.knowledge.submission import (
    Properties,
    Submission,
    lock_submissions,
    submit,
    text_submission,
)
from tests.application import test_settings
from tests.clock import SettableClock
from wiring import Parts, create_knowledge

TENT = "The tent Borealis weighs two kilograms."


class FailingEmbedder(FakeEmbedder):
    """Fails so often, for texts about tents."""

    failures = 0

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        if self.failures and any("tent" in text for text in texts):
            self.failures -= 1
            raise RuntimeError("out of memory")
        return super().embed(texts)


class World:
    """A knowledge base without documents, and queues that work only when they are told."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.clock = SettableClock()
        self.embedder = FailingEmbedder()
        self.folder = folder / "kb"
        self.folder.mkdir()
        self.settings = test_settings(folder, "sqlite://unused")
        self.knowledge = self.another()
        self.queue = self.new_queue()

    def another(self) -> KnowledgeBase:
        parts = Parts(clock=self.clock, embedder=lambda: self.embedder)
        return create_knowledge(self.settings, parts, self.store)

    def new_queue(self, parser: Any = None) -> IngestionQueue:
        return IngestionQueue(
            store=self.store,
            clock=self.clock,
            knowledge=self.knowledge,
            parser=parser or self.knowledge.parser,
        )

    async def send(self, content: str = TENT, **properties: Any) -> Document:
        return await self.submit(
            text_submission(replace(Properties(title="Tents"), **properties), content)
        )

    async def submit(self, submission: Submission) -> Document:
        async with self.store.transaction():
            await lock_submissions(self.store, [submission])
            return await submit(self.store, self.clock, submission)

    async def found(self, question: str = "How much does the Borealis weigh?") -> list[str]:
        pipeline = await self.knowledge.pipeline()
        return [hit.passage.text for hit in (await pipeline.retrieve(question)).hits]


async def row(document: Document) -> Document:
    return await Document.get(id=document.id)
