"""From a question to hits, a prompt, an answer's stream and its citations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import numpy as np

from rag.citations import CitationFilter, cite
from rag.cleaning import TextCleaner
from rag.embedding.service import EmbeddingService
from rag.explain import Explanation, Trace, explain
from rag.generation.base import GenerationEvent, Generator, Prompt, TextPiece
from rag.index.knowledge import Candidate, KnowledgeIndex
from rag.index.lexical import PreparedQuery
from rag.ingest import passage_text
from rag.passages import PassageStore
from rag.prompt import HISTORY_TOKEN_BUDGET, TOKEN_BUDGET, build_prompt
from rag.query import MAX_QUERY_LENGTH, search_texts
from rag.relevance import THRESHOLD, best_sentence_cosine, relevance, support
from rag.rerank.service import RerankService
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
# A reranking model reads so many of the best candidates, or more if more are asked for.
RERANKED: Final = 16
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


class Pipeline:
    """Retrieval and generation over one knowledge base; used from one event loop."""

    def __init__(
        self,
        *,
        embedding: EmbeddingService,
        index: KnowledgeIndex,
        passages: PassageStore,
        generator: Generator,
        reranking: RerankService | None = None,
        top_k: int = TOP_K,
        threshold: float = THRESHOLD,
        prompt_token_budget: int = TOKEN_BUDGET,
        history_token_budget: int = HISTORY_TOKEN_BUDGET,
    ) -> None:
        self.embedding = embedding
        self.index = index
        self.generator = generator
        self._passages = passages
        self._reranking = reranking
        self._top_k = top_k
        self._threshold = threshold
        self._prompt_token_budget = prompt_token_budget
        self._history_token_budget = history_token_budget

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
        trace: Trace | None = None,
    ) -> Retrieval:
        """The best passages for a question, at most `limit` (default: the pipeline's `top_k`).

        With earlier turns the question is searched as it is and joined with the user's previous
        turn, and the form whose best passage is more relevant is kept. A reranking model, if any,
        orders the best candidates anew; scores and whether to answer stay those of before.
        `started` is what `start_query` gave for the same question and history; `trace` is told how
        the hits were found.

        Raises:
            EmbeddingError, RerankError: the model is not available.
        """
        trace = Trace() if trace is None else trace
        if started is None:
            started = self.start_query(question, history=history)
        k = max(1, min(self._top_k if limit is None else limit, MAX_LIMIT))
        try:
            # The words are looked up while the model works.
            with trace.step("words"):
                queries = [await self._prepare(text) for text in started.texts]
            with trace.step("embedding"):
                vectors = await started.vectors
        except asyncio.CancelledError:
            started.cancel()
            raise
        best: tuple[list[Hit], list[Candidate], int] | None = None
        for number, query in enumerate(queries):
            with trace.step("search"):
                considered: list[Candidate] = []
                hits = await self._search(query, vectors[number], k, filter, considered)
            if best is None or (hits and hits[0].score > _best_score(best[0])):
                best = hits, considered, number
        assert best is not None
        hits, trace.considered, number = best
        trace.ranked = hits
        grounded = _best_score(hits) >= self._threshold
        if self._reranking is not None and hits:
            with trace.step("reranking"):
                hits = await self._rerank(started.texts[number], hits, k, trace)
        return Retrieval(
            question=question,
            query=started.texts[number],
            query_vector=vectors[number],
            focus_vector=_between(vectors[number], vectors[-1]),
            hits=tuple(hits[:k]),
            nearest=tuple(hits[: min(k, _NEAREST)]),
            grounded=grounded,
        )

    async def explain(
        self, question: str, *, history: Sequence[Turn] = (), filter: Filter = NO_FILTER
    ) -> Explanation:
        """How `retrieve` finds what an answer to a question is made of, and the prompt.

        Raises:
            EmbeddingError, RerankError: the model is not available.
        """
        trace = Trace()
        retrieval = await self.retrieve(question, history=history, filter=filter, trace=trace)
        with trace.step("prompt"):
            prompt = self.build_prompt(retrieval, history)
        free = Trace()
        if not filter.is_empty():
            await self.retrieve(question, history=history, trace=free)
        shown = {item.chunk_id for item in (*trace.considered, *free.considered)}
        return explain(
            retrieval,
            prompt,
            trace,
            unfiltered=free.considered,
            filter=filter,
            passages=await self._passages.passages(sorted(shown)),
            collections=self.index.collections(shown),
            counts=(len(self.index), self.index.count(filter)),
            threshold=self._threshold,
        )

    def build_prompt(self, retrieval: Retrieval, history: Sequence[Turn] = ()) -> Prompt:
        return build_prompt(
            retrieval,
            history,
            token_budget=self._prompt_token_budget,
            history_token_budget=self._history_token_budget,
        )

    async def answer(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        """The generator's stream without markers that refer to no source.

        Closing it closes the generator's stream.

        Raises:
            GenerationError: the generator failed; what came before stands.
        """
        retrieval = prompt.retrieval
        markers = CitationFilter(len(retrieval.hits) if retrieval.grounded else 0)
        cleaner = TextCleaner()
        finished = False
        async with aclosing(self.generator.generate(prompt)) as events:
            async for event in events:
                if isinstance(event, TextPiece):
                    if text := markers.feed(cleaner.feed(event.text)):
                        yield TextPiece(text)
                    continue
                if not finished and (text := markers.feed(cleaner.finish()) + markers.finish()):
                    yield TextPiece(text)
                finished = True
                yield event
        if not finished and (text := markers.feed(cleaner.finish()) + markers.finish()):
            yield TextPiece(text)

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
        self,
        query: PreparedQuery,
        vector: FloatMatrix,
        k: int,
        filter: Filter,
        considered: list[Candidate],
    ) -> list[Hit]:
        """The best candidates, best first, at least k if there are as many."""
        pool = max(k, _POOL)
        if self._is_small:
            candidates = self.index.search(query, vector, pool, filter, considered=considered)
        else:
            candidates = await asyncio.to_thread(
                self.index.search, query, vector, pool, filter, considered=considered
            )
        if not candidates:
            return []
        passages = await self._passages.passages([item.chunk_id for item in candidates])
        hits = [
            _hit(candidate, passages[candidate.chunk_id], vector)
            for candidate in candidates
            if candidate.chunk_id in passages
        ]
        return sorted(hits, key=lambda hit: -hit.score)

    async def _rerank(self, query: str, hits: list[Hit], k: int, trace: Trace) -> list[Hit]:
        """The first hits in the order of the reranking model, the others behind them."""
        assert self._reranking is not None
        first = hits[: max(k, RERANKED)]
        texts = [
            passage_text(hit.passage.title, hit.passage.headings, hit.passage.text) for hit in first
        ]
        scores = await self._reranking.scores(query, texts)
        if scores is None:
            return hits
        order = sorted(range(len(first)), key=lambda place: -scores[place])
        trace.reranked = {first[place].passage.chunk_id: scores[place] for place in order}
        return [*(first[place] for place in order), *hits[len(first) :]]


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
