"""From a question to hits, a prompt, an answer's stream and its citations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import numpy as np

from rag.addresses import KnownAddresses
from rag.citations import CitationFilter, cite
from rag.cleaning import TextCleaner
from rag.embedding.service import EmbeddingService
from rag.generation.base import GenerationEvent, Generator, Prompt, TextPiece
from rag.index.knowledge import Candidate, KnowledgeIndex
from rag.index.lexical import PreparedQuery
from rag.language import detect_language
from rag.links import REMOVED, LinkFilter
from rag.passages import PassageStore
from rag.prompt import HISTORY_TOKEN_BUDGET, TOKEN_BUDGET, build_prompt
from rag.query import MAX_QUERY_LENGTH, search_texts
from rag.relevance import THRESHOLD, best_sentence_cosine, relevance, support
from rag.types import (
    NO_FILTER,
    CitedPassage,
    Filter,
    FloatMatrix,
    Hit,
    Passage,
    Retrieval,
    Turn,
)

TOP_K: Final = 6
MAX_LIMIT: Final = 50
_NEAREST: Final = 3
# So many candidates are loaded and ordered anew by their sentences.
_POOL: Final = 16
# Below it a search takes a fraction of a millisecond, less than a thread's start.
_INLINE_SEARCH_LIMIT: Final = 5_000


@dataclass(frozen=True, slots=True)
class StartedQuery:
    """A question whose embedding is under way; `texts` are searched, best is kept."""

    question: str
    texts: tuple[str, ...]
    vectors: asyncio.Task[FloatMatrix]

    def cancel(self) -> None:
        """Give the embedding up, if the question is not asked after all."""
        self.vectors.cancel()


class AnswerFilters:
    """What an answer's pieces go through, in this order: the link filter comes last, so that
    nothing which another one takes out can leave an address behind."""

    def __init__(self, *, hit_count: int, known: KnownAddresses, placeholder: str) -> None:
        self._cleaner = TextCleaner()
        self._markers = CitationFilter(hit_count)
        self._links = LinkFilter(known, placeholder)

    def feed(self, text: str) -> str:
        """What can be shown now."""
        return self._links.feed(self._markers.feed(self._cleaner.feed(text)))

    def finish(self) -> str:
        """The rest, when no more text comes."""
        rest = self._markers.feed(self._cleaner.finish()) + self._markers.finish()
        return self._links.feed(rest) + self._links.finish()


class Pipeline:
    """Retrieval and generation over one knowledge base; used from one event loop."""

    def __init__(
        self,
        *,
        embedding: EmbeddingService,
        index: KnowledgeIndex,
        passages: PassageStore,
        generator: Generator,
        top_k: int = TOP_K,
        threshold: float = THRESHOLD,
        prompt_token_budget: int = TOKEN_BUDGET,
        history_token_budget: int = HISTORY_TOKEN_BUDGET,
        link_hosts: Sequence[str] = (),
    ) -> None:
        """`link_hosts` are those that answers may link to though no source does."""
        self.embedding = embedding
        self.index = index
        self.generator = generator
        self._passages = passages
        self._top_k = top_k
        self._threshold = threshold
        self._prompt_token_budget = prompt_token_budget
        self._history_token_budget = history_token_budget
        self._link_hosts = tuple(link_hosts)

    def start_query(self, question: str, *, history: Sequence[Turn] = ()) -> StartedQuery:
        """Begin to embed a question now, for a `retrieve` that follows (or `cancel`)."""
        texts = tuple(search_texts(question, history))
        # Last comes the question alone, for `focus_vector`; often it is one of the texts.
        task = asyncio.ensure_future(
            self.embedding.embed_queries([*texts, question[:MAX_QUERY_LENGTH]])
        )
        # An error reaches `retrieve`; if that is never called, it is not worth a warning.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return StartedQuery(question, texts, task)

    async def retrieve(
        self,
        question: str,
        *,
        history: Sequence[Turn] = (),
        filter: Filter = NO_FILTER,
        limit: int | None = None,
        started: StartedQuery | None = None,
    ) -> Retrieval:
        """The best passages for a question, at most `limit` (default: the pipeline's `top_k`).

        With earlier turns the question is searched as it is and joined with the user's previous
        turn, and the form whose best passage is more relevant is kept. `started` is what
        `start_query` gave for the same question and history.

        Raises:
            EmbeddingError: the model is not available.
        """
        if started is None:
            started = self.start_query(question, history=history)
        k = max(1, min(self._top_k if limit is None else limit, MAX_LIMIT))
        try:
            # The words are looked up while the model works.
            queries = [await self._prepare(text) for text in started.texts]
            vectors = await started.vectors
        except asyncio.CancelledError:
            started.cancel()
            raise
        best: tuple[list[Hit], int] | None = None
        for number, query in enumerate(queries):
            hits = await self._search(query, vectors[number], k, filter)
            if best is None or (hits and hits[0].score > _best_score(best[0])):
                best = hits, number
        assert best is not None
        hits, number = best
        return Retrieval(
            question=question,
            query=started.texts[number],
            query_vector=vectors[number],
            focus_vector=_between(vectors[number], vectors[-1]),
            hits=tuple(hits),
            nearest=tuple(hits[:_NEAREST]),
            grounded=_best_score(hits) >= self._threshold,
            # Among any passages at all the vectors find nearest ones.
            searched=bool(hits) or (filter.is_empty() and len(self.index) > 0),
        )

    def build_prompt(self, retrieval: Retrieval, history: Sequence[Turn] = ()) -> Prompt:
        return build_prompt(
            retrieval,
            history,
            token_budget=self._prompt_token_budget,
            history_token_budget=self._history_token_budget,
        )

    async def answer(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        """The generator's stream without markers that refer to no source, and without addresses
        that no source names.

        Closing it closes the generator's stream.

        Raises:
            GenerationError: the generator failed; what came before stands.
        """
        filters = self._filters(prompt.retrieval)
        finished = False
        async with aclosing(self.generator.generate(prompt)) as events:
            async for event in events:
                if isinstance(event, TextPiece):
                    if text := filters.feed(event.text):
                        yield TextPiece(text)
                    continue
                if not finished and (text := filters.finish()):
                    yield TextPiece(text)
                finished = True
                yield event
        if not finished and (text := filters.finish()):
            yield TextPiece(text)

    def _filters(self, retrieval: Retrieval) -> AnswerFilters:
        sources = retrieval.hits if retrieval.grounded else ()
        return AnswerFilters(
            hit_count=len(sources),
            known=KnownAddresses.of(sources, self._link_hosts),
            placeholder=REMOVED[detect_language(retrieval.question)],
        )

    def cite(self, text: str, retrieval: Retrieval) -> list[CitedPassage]:
        """The verified source of each [n] in a finished answer; none if nothing was found."""
        return cite(text, retrieval) if retrieval.grounded else []

    async def _prepare(self, text: str) -> PreparedQuery:
        if self._is_small:
            return self.index.prepare(text)
        return await asyncio.to_thread(self.index.prepare, text)

    @property
    def _is_small(self) -> bool:
        return len(self.index) < _INLINE_SEARCH_LIMIT and not self.index.is_stale

    async def _search(
        self, query: PreparedQuery, vector: FloatMatrix, k: int, filter: Filter
    ) -> list[Hit]:
        pool = max(k, _POOL)
        if self._is_small:
            candidates = self.index.search(query, vector, pool, filter)
        else:
            candidates = await asyncio.to_thread(self.index.search, query, vector, pool, filter)
        if not candidates:
            return []
        passages = await self._passages.passages([item.chunk_id for item in candidates])
        hits = [
            _hit(candidate, passages[candidate.chunk_id], vector)
            for candidate in candidates
            if candidate.chunk_id in passages
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:k]


def _between(first: FloatMatrix, second: FloatMatrix) -> FloatMatrix:
    """The unit vector half-way between two."""
    middle = first + second
    length = float(np.linalg.norm(middle))
    return middle / length if length else first


def _hit(candidate: Candidate, passage: Passage, vector: FloatMatrix) -> Hit:
    best_sentence = best_sentence_cosine(vector, passage.sentence_vectors)
    return Hit(
        passage=passage,
        score=relevance(support(candidate, best_sentence)),
        cosine=candidate.cosine,
        lexical=candidate.lexical,
    )


def _best_score(hits: Sequence[Hit]) -> float:
    return hits[0].score if hits else 0.0
