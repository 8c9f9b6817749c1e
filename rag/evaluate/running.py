"""Asks a collection's questions of the pipeline, as the server would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import numpy as np

from rag.embedding.base import Embedder
from rag.embedding.service import EmbeddingService
from rag.evaluate.abstention import Abstention, Judged, measure_abstention
from rag.evaluate.cache import CachedEmbedder
from rag.evaluate.collection import ANSWERABLE, UNANSWERABLE, Collection, Query
from rag.evaluate.ranking import DEPTH, Scores, score_rankings
from rag.generation.offline import OfflineGenerator
from rag.index.knowledge import KnowledgeIndex
from rag.ingest import PreparedChunk, prepare
from rag.language import with_language
from rag.passages import MemoryPassages
from rag.pipeline import MAX_LIMIT, Pipeline
from rag.rerank.service import RerankService
from rag.types import NO_FILTER, Filter, Hit, Retrieval, SourceDocument

# So many documents are cut and embedded side by side, while those before are indexed.
_WINDOW: Final = 16
_QUERY_WINDOW: Final = 32
# The model is timed on so many single questions.
_TIMED_QUESTIONS: Final = 30


T = TypeVar("T")
_Prepared = tuple[str, SourceDocument, list[PreparedChunk]]


class Reporter(Protocol):
    """Learns how far a long step is."""

    def begin(self, step: str, total: int) -> None: ...

    def advance(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one question got. `documents` are distinct, best first, at most DEPTH; `seconds` is the
    time of the search, without embedding."""

    query: Query
    documents: tuple[str, ...]
    judged: Judged
    seconds: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds and rates, on this machine with what else ran on it.

    `search_ms` are median and p99 of a search, embedding excluded; `embedding_ms` of embedding one
    question. `passages_per_second` is None if a tenth or more of the vectors came from the cache.
    """

    search_ms: tuple[float, float]
    embedding_ms: tuple[float, float]
    questions_per_second: float
    passages_per_second: float | None


@dataclass(frozen=True, slots=True)
class Indexed:
    """A searchable collection, and how its indexing went."""

    pipeline: Pipeline
    passages: MemoryPassages
    seconds: float
    embedded: int
    reused: int


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured on a collection; `scores` are of the questions with judgments, and
    `removed` what was decided about them without their relevant documents, if that was tried."""

    collection: Collection
    model: str
    passages: int
    outcomes: Mapping[str, Outcome] = field(repr=False)
    scores: Mapping[str, Scores] = field(repr=False)
    speed: Speed
    abstention: Abstention | None
    without_relevant: Abstention | None
    removed: Mapping[str, Judged] = field(repr=False, default_factory=dict)


class Workbench:
    """The embedding model with its cache, and pipelines over documents in memory."""

    def __init__(
        self,
        load: Callable[[], Embedder],
        *,
        cache: Callable[[Embedder], CachedEmbedder],
        reranking: RerankService | None = None,
    ) -> None:
        self._load = load
        self._cache = cache
        self._reranking = reranking
        self._cached: CachedEmbedder | None = None
        # Nobody waits for anything else of this process.
        self._embedding = EmbeddingService(self._make, cache_size=0, background=False)

    def _make(self) -> Embedder:
        self._cached = self._cache(self._load())
        return self._cached

    async def __aenter__(self) -> Workbench:
        self._embedding.start()
        try:
            await self._embedding.ready()
            if self._reranking is not None:
                await self._reranking.open()
        except BaseException:
            await self._embedding.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._embedding.close()
        if self._reranking is not None:
            self._reranking.close()
        if self._cached is not None:
            self._cached.close()

    @property
    def model_key(self) -> str:
        return self._embedding.identity.key

    async def index(self, documents: Mapping[str, SourceDocument], reporter: Reporter) -> Indexed:
        """Cut and embed documents and make them searchable, in their order.

        Raises:
            EmbeddingError: the model cannot be loaded.
        """
        from rag.index.faiss_flat import FaissFlatIndex
        from rag.lexical import Bm25Index

        assert self._cached is not None
        before = self._cached.embedded, self._cached.reused
        index = KnowledgeIndex(FaissFlatIndex(self._embedding.identity), Bm25Index())
        store = MemoryPassages()
        reporter.begin("Indexing", len(documents))
        start = time.perf_counter()
        before_it: list[_Prepared] = []
        for piece in (*_windows(list(documents.items()), _WINDOW), ()):
            before_it, _ = await asyncio.gather(
                asyncio.gather(*(self._prepare(key, one) for key, one in piece)),
                asyncio.to_thread(store.add_all, before_it, index),
            )
            for _ in piece:
                reporter.advance()
        await asyncio.to_thread(index.refresh)
        seconds = time.perf_counter() - start
        pipeline = Pipeline(
            embedding=self._embedding,
            index=index,
            passages=store,
            generator=OfflineGenerator(),
            reranking=self._reranking,
        )
        embedded, reused = self._cached.embedded - before[0], self._cached.reused - before[1]
        return Indexed(pipeline, store, seconds, embedded, reused)

    async def _prepare(self, key: str, document: SourceDocument) -> _Prepared:
        # As where documents are stored, so that the same words are stemmed the same way.
        document = await asyncio.to_thread(with_language, document)
        return key, document, await prepare(document, embedding=self._embedding)

    async def embed_questions(
        self, pipeline: Pipeline, queries: Sequence[Query], reporter: Reporter
    ) -> None:
        """Have the vectors of all questions in the cache, so that searches can be timed alone."""
        reporter.begin("Embedding questions", len(queries))
        for window in _windows(queries, _QUERY_WINDOW):
            started = [pipeline.start_query(one.text, history=one.history) for one in window]
            for one in started:
                await one.vectors
                reporter.advance()

    async def time_model(self, queries: Sequence[Query]) -> list[float]:
        """Seconds of embedding single questions, without the cache."""
        assert self._cached is not None
        step = max(1, len(queries) // _TIMED_QUESTIONS)
        seconds = []
        for query in queries[::step][:_TIMED_QUESTIONS]:
            start = time.perf_counter()
            await asyncio.to_thread(self._cached.model.embed, [query.text])
            seconds.append(time.perf_counter() - start)
        return seconds


async def evaluate(
    workbench: Workbench,
    collection: Collection,
    *,
    reporter: Reporter,
    without_relevant: bool = False,
) -> Result:
    """Index a collection and ask all its questions, one after another.

    With `without_relevant` each question is asked once more, with its relevant documents taken away
    by the filter: then nothing can answer it.

    Raises:
        EmbeddingError: the model cannot be loaded.
    """
    indexed = await workbench.index(collection.documents, reporter)
    pipeline, queries = indexed.pipeline, collection.queries
    await workbench.embed_questions(pipeline, queries, reporter)
    reporter.begin("Asking", len(queries) * (1 + without_relevant))
    outcomes: dict[str, Outcome] = {}
    for query in queries:
        outcomes[query.id] = await ask(pipeline, query)
        reporter.advance()
    judged = [query for query in queries if collection.relevant(query.id)]
    scores = score_rankings(
        collection.judgments, {query.id: outcomes[query.id].documents for query in judged}
    )
    removed: dict[str, Judged] = {}
    if without_relevant:
        everything = tuple(collection.documents)
        for query in judged:
            relevant = collection.relevant(query.id)
            rest = tuple(document for document in everything if document not in relevant)
            removed[query.id] = (await ask(pipeline, query, Filter(document_ids=rest))).judged
            reporter.advance()
    return Result(
        collection=collection,
        model=workbench.model_key,
        passages=len(indexed.passages.by_id),
        outcomes=outcomes,
        scores=scores,
        speed=_speed(indexed, list(outcomes.values()), await workbench.time_model(queries)),
        abstention=measure_abstention(
            [outcomes[query.id].judged for query in queries if query.answerability == ANSWERABLE],
            [outcomes[query.id].judged for query in queries if query.answerability == UNANSWERABLE],
        ),
        without_relevant=measure_abstention(
            [outcomes[key].judged for key in removed], list(removed.values())
        ),
        removed=removed,
    )


async def ask(pipeline: Pipeline, query: Query, filter: Filter = NO_FILTER) -> Outcome:
    """Search for a question, deeper and deeper until DEPTH different documents are found.

    A document's place is that of its best passage. The time and the decision whether to answer are
    those of the first search.
    """
    limit = DEPTH
    start = time.perf_counter()
    first = await pipeline.retrieve(query.text, history=query.history, filter=filter, limit=limit)
    seconds = time.perf_counter() - start
    retrieval = first
    while (
        len(documents := _distinct(retrieval.hits)) < DEPTH
        and len(retrieval.hits) == limit
        and limit < MAX_LIMIT
    ):
        limit = min(2 * limit, MAX_LIMIT)
        retrieval = await pipeline.retrieve(
            query.text, history=query.history, filter=filter, limit=limit
        )
    return Outcome(query, documents[:DEPTH], decision(first), seconds)


def decision(retrieval: Retrieval) -> Judged:
    """The relevance that the pipeline compares with its threshold, and what it decided."""
    relevance = max((hit.score for hit in retrieval.hits), default=0.0)
    return Judged(relevance, retrieval.grounded)


def _windows(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _distinct(hits: Sequence[Hit]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hit.passage.document_id for hit in hits))


def _speed(indexed: Indexed, outcomes: Sequence[Outcome], embedding: Sequence[float]) -> Speed:
    seconds = [outcome.seconds for outcome in outcomes]
    fresh = indexed.embedded > 9 * indexed.reused
    return Speed(
        search_ms=_median_and_p99(seconds),
        embedding_ms=_median_and_p99(embedding),
        questions_per_second=len(seconds) / sum(seconds),
        passages_per_second=len(indexed.passages.by_id) / indexed.seconds if fresh else None,
    )


def _median_and_p99(seconds: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return float(low), float(high)
