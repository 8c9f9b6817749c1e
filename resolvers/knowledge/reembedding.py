"""From one embedding model to another, while the old one goes on answering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from tortoise.functions import Count

from models.chunk import Chunk
from models.document import Document
from rag.embedding.base import ModelIdentity
from rag.embedding.service import EmbeddingService
from rag.errors import EmbeddingError
from rag.index.knowledge import KnowledgeIndex
from rag.types import SourceDocument
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.old_index import OldIndex
from resolvers.knowledge.passages import read_vectors

log = logging.getLogger("groundql.knowledge")

# Questions that began with the old index have so long to end. Seconds.
GRACE = 60.0


class Reembedding:
    """Brings all passages to the configured model.

    The new passages are stored beside the old ones, each document's in a transaction of its own, so
    a crash loses nothing that was embedded. Once all are there, questions go to the new index, from
    one to the next, and some time later the old passages are deleted. Until then the old model
    answers, if it can be loaded; if not, questions wait, as they do at the first start.
    """

    def __init__(
        self,
        knowledge: KnowledgeBase,
        *,
        load_old: Callable[[str], EmbeddingService | None],
        new_index: Callable[[ModelIdentity], KnowledgeIndex],
        grace: float = GRACE,
    ) -> None:
        """`load_old` gives a service for the model of this name, or None if there is no way."""
        self._knowledge = knowledge
        self._load_old = load_old
        self._new_index = new_index
        self._grace = grace
        self._old: OldIndex | None = None
        self._retiring: asyncio.Task[None] | None = None

    async def begin(self) -> bool:
        """Let the old model answer if documents wait to be embedded again; False if questions have
        nobody to answer them before that has ended."""
        knowledge = self._knowledge
        if not await self._waiting():
            return True
        key = await _main_model(exclude=knowledge.model_key)
        if key is None:
            return True
        name, dimension, _ = key.rsplit(":", 2)
        service = self._load_old(name)
        if service is None:
            log.warning("The earlier model %s cannot be loaded by its name; questions wait", name)
            return False
        service.start()
        try:
            await service.ready()
            if service.identity.key != key:
                raise EmbeddingError(f"{name} is no longer the model that made the passages")
        except EmbeddingError as error:
            log.warning("The earlier model cannot answer, so questions wait: %s", error)
            await service.close()
            return False
        entries, vectors = await read_vectors(key, int(dimension))
        index = await asyncio.to_thread(self._new_index, service.identity)
        await asyncio.to_thread(index.add, entries, vectors)
        await asyncio.to_thread(index.refresh)
        self._old = OldIndex(service, index)
        knowledge.answer_from(self._old)
        log.info("Questions are answered with %s until %s is ready", key, knowledge.model_key)
        return True

    async def run(self) -> int:
        """Embed what waits, then let the new index answer; returns the number of documents.

        Raises:
            EmbeddingError: the configured model fails; the old index goes on answering.
        """
        knowledge = self._knowledge
        count = 0
        while waiting := await self._waiting():
            for document_id in waiting:
                document = await Document.get_or_none(id=document_id, deleted_at__isnull=True)
                if document is not None:
                    await knowledge.embed_again(document, stored_source(document, document.content))
                    await knowledge.report()
                    count += 1
        if count:
            await knowledge.refresh()
            log.info("Embedded %s documents again for the model %s", count, knowledge.model_key)
        if self._old is not None:
            knowledge.answer_from(None)
        self._retiring = asyncio.create_task(self._retire(), name="old-index")
        return count

    async def close(self) -> None:
        """Give up the wait for old questions; the rest of the old index goes at the next start."""
        if self._retiring is not None:
            self._retiring.cancel()
            with suppress(asyncio.CancelledError):
                await self._retiring
        if self._old is not None:
            await self._old.embedding.close()

    async def _retire(self) -> None:
        self._knowledge.store.bind()
        if self._old is not None:
            await asyncio.sleep(self._grace)
            old, self._old = self._old, None
            await old.embedding.close()
        try:
            await Chunk.exclude(embedding_model=self._knowledge.model_key).delete()
        except Exception as error:
            log.warning("Passages of an earlier model stay until the next start: %s", error)

    async def _waiting(self) -> list[UUID]:
        """Indexed documents without passages of the configured model."""
        done = await _documents_of(self._knowledge.model_key)
        rows = Document.filter(deleted_at__isnull=True, chunk_count__gt=0).order_by("id")
        return [id for (id,) in await rows.values_list("id") if id not in done]


def stored_source(document: Document, content: str) -> SourceDocument:
    """A document as it is stored, to be cut and embedded again; its row may be without `content`,
    which is large."""
    return SourceDocument(
        title=document.title,
        content=content,
        type=document.type,
        category=document.category,
        language=document.language,
        pages=tuple(document.pages or ()),
    )


async def _documents_of(model_key: str) -> set[UUID]:
    rows = Chunk.filter(embedding_model=model_key).distinct()
    return {id for (id,) in await rows.values_list("document_id")}


async def _main_model(*, exclude: str) -> str | None:
    """The model that has made the most passages."""
    rows = (
        await Chunk.exclude(embedding_model=exclude)
        .annotate(count=Count("id"))
        .group_by("embedding_model")
        .values_list("embedding_model", "count")
    )
    return max(rows, key=lambda row: row[1])[0] if rows else None
