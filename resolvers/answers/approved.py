"""Approved answers while the server runs: which questions get one, and which."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tortoise.expressions import F

from models.approved_answer import ApprovedAnswer
from models.document import Document
from models.knowledge_state import KnowledgeState
from models.store import Store
from rag.embedding.service import EmbeddingService
from rag.paraphrase import THRESHOLD, same_details, same_language
from rag.types import CitedPassage, FloatMatrix, pages_of
from resolvers.answers.vectors import NearestVectors, to_bytes
from resolvers.replies.events import StoredHit

log = logging.getLogger("groundql.answers")

PROVIDER = "approved"
MODEL = "approved-answer"
_STATE = "approved-answers"
_MARKER = re.compile(r" ?\[\d+\]")


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An approved answer to a question that was asked just now, and its source."""

    text: str
    hits: tuple[StoredHit, ...]
    citations: tuple[CitedPassage, ...]


class MaySee(Protocol):
    """`resolvers.answers.audience.may_see_source`."""

    def __call__(
        self, document: Document, *, asker_id: UUID, session_id: UUID | None
    ) -> Awaitable[bool]: ...


class ApprovedAnswers:
    """Owns the vectors of all approved questions; the table is the truth.

    A change is counted in its transaction, so that `catch_up` notices those of other processes.
    """

    def __init__(self, store: Store, embedding: EmbeddingService, may_see: MaySee) -> None:
        self._store = store
        self._embedding = embedding
        self._may_see = may_see
        self._rows: dict[UUID, ApprovedAnswer] = {}
        self._vectors = NearestVectors()
        self._seen = -1
        self._loading = asyncio.Lock()

    async def find(
        self, question: str, vector: FloatMatrix, *, asker_id: UUID, session_id: UUID | None
    ) -> GivenAnswer | None:
        """The approved answer to the nearest question of which this one is a paraphrase.

        An answer whose source is gone, is not for this person, or no longer says what was quoted is
        not given.
        """
        for key in self._vectors.nearest(vector, threshold=THRESHOLD):
            row = self._rows[key]
            if not (same_details(question, row.question) and same_language(question, row.question)):
                continue
            if not row.has_source:
                return GivenAnswer(row.answer, (), ())
            given = await self._with_source(row, asker_id=asker_id, session_id=session_id)
            if given is not None:
                return given
        return None

    @property
    def is_empty(self) -> bool:
        """Whether there is none at all: then nothing need be done for a question."""
        return not self._rows

    async def _with_source(
        self, row: ApprovedAnswer, *, asker_id: UUID, session_id: UUID | None
    ) -> GivenAnswer | None:
        document = await Document.get_or_none(id=row.document_id) if row.document_id else None
        if document is None or not await self._may_see(
            document, asker_id=asker_id, session_id=session_id
        ):
            return None
        start = row.start_offset
        if document.content[start : row.end_offset] != row.quote:
            start = document.content.find(row.quote)
            if start < 0:
                return None
        end = start + len(row.quote)
        headings = tuple(row.headings)
        hit = StoredHit(str(document.id), row.quote, headings, start, end, 1.0)
        cited = CitedPassage(
            1,
            str(document.id),
            document.title,
            row.quote,
            start,
            end,
            1.0,
            page=pages_of(document.pages or (), start, end)[0],
            headings=headings,
        )
        return GivenAnswer(f"{row.answer} [1]", (hit,), (cited,))

    async def load(self) -> None:
        """Read all of them; questions that another model embedded are embedded again.

        Raises:
            EmbeddingError: the model is not available.
        """
        await self._embedding.ready()
        async with self._loading:
            revision = await self._revision()
            rows = await ApprovedAnswer.all().order_by("id")
            key = self._embedding.identity.key
            foreign = [row for row in rows if row.embedding_model != key]
            if foreign:
                vectors = await self._embedding.embed_queries([row.question for row in foreign])
                for row, vector in zip(foreign, vectors, strict=True):
                    row.vector, row.embedding_model = to_bytes(vector), key
                    await row.save(update_fields=["vector", "embedding_model"])
                log.info("Embedded %s approved questions again", len(foreign))
            self._rows = {row.id: row for row in rows}
            self._vectors = NearestVectors(list(self._rows), [row.vector for row in rows])
            self._seen = revision

    async def catch_up(self) -> bool:
        """Follow what was changed since, here or elsewhere; True if anything was."""
        if not self._embedding.is_ready or await self._revision() == self._seen:
            return False
        await self.load()
        return True

    async def count_change(self) -> None:
        """Call it in the transaction of a change, and `catch_up` after it."""
        await KnowledgeState.get_or_create(name=_STATE)
        await KnowledgeState.filter(name=_STATE).update(revision=F("revision") + 1)

    async def _revision(self) -> int:
        state = await KnowledgeState.get_or_none(name=_STATE)
        return state.revision if state is not None else 0


def without_markers(text: str) -> str:
    """An answer as it is kept: what it cites is its source alone, whatever numbers it had."""
    return _MARKER.sub("", text).strip()
