"""From a question to hits, a prompt, an answer's stream and its citations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, ParamSpec, TypeVar

import numpy as np

from rag.addresses import KnownAddresses
from rag.citations import CitationFilter, cite
from rag.cleaning import TextCleaner
from rag.embedding.languages import known_languages
from rag.embedding.service import EmbeddingService
from rag.explain import Explanation, Trace, explain
from rag.generation.base import GenerationEvent, Generator, Prompt, TextPiece
from rag.index.knowledge import Candidate, KnowledgeIndex
from rag.index.lexical import PreparedQuery
from rag.ingest import passage_text
from rag.language import detect_language
from rag.links import REMOVED, LinkFilter
from rag.passages import PassageStore
from rag.prompt import HISTORY_TOKEN_BUDGET, TOKEN_BUDGET, build_prompt
from rag.query import QueryTexts, continuation, part_weights, query_texts
from rag.ranking import FOREIGN_DENSE_WEIGHT, best_sentence_cosine, second_stage
from rag.relevance import THRESHOLD, Evidence, hit_scores, relevance
from rag.rerank.service import RerankService
from rag.sources import choose_sources, documents_to_join
from rag.types import (
    NO_FILTER,
    CitedPassage,
    Filter,
    FloatMatrix,
    Hit,
    Retrieval,
    Turn,
)

P = ParamSpec("P")
T = TypeVar("T")

TOP_K: Final = 6
# An answer's sources are chosen from so many times as many hits.
_CONSIDERED: Final = 2
MAX_LIMIT: Final = 50
_NEAREST: Final = 3
# So many candidates are loaded and ordered anew by their sentences and by feedback.
_POOL: Final = 32
# The hits that the best one is compared with.
_RIVALS: Final = 9
# From this probability on, a question is taken to be one with the question before it.
_LEANING: Final = 0.5
# A reranking model reads so many of the best candidates, or more if more are asked for.
RERANKED: Final = 16
# Below it a search takes a fraction of a millisecond, less than a thread's start.
_INLINE_SEARCH_LIMIT: Final = 5_000


@dataclass(frozen=True, slots=True)
class StartedQuery:
    """A question whose embedding is under way: a row of `vectors` for each `texts.embedded()`."""

    question: str
    texts: QueryTexts
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
        reranking: RerankService | None = None,
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
        self._reranking = reranking
        self._top_k = top_k
        self._threshold = threshold
        self._prompt_token_budget = prompt_token_budget
        self._history_token_budget = history_token_budget
        self._link_hosts = tuple(link_hosts)

    def start_query(self, question: str, *, history: Sequence[Turn] = ()) -> StartedQuery:
        """Begin to embed a question now, for a `retrieve` that follows (or `cancel`)."""
        texts = query_texts(question, history)
        task = asyncio.ensure_future(self.embedding.embed_queries(texts.embedded()))
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

        After earlier turns the question is searched alone and, as far as it seems to lean on them,
        joined with the question and the answer before (see `rag.query`). A reranking
        model, if any, orders the best candidates anew; scores and whether to answer stay those of
        before. `started` is what `start_query` gave for the same question and history; `trace` is
        told how the hits were found.

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
                prepared = await self._in_thread(self._prepare, started.texts)
            with trace.step("embedding"):
                vectors = await started.vectors
        except asyncio.CancelledError:
            started.cancel()
            raise
        leaning = 0.0
        if started.texts.context:
            with trace.step("search"):
                agreement = await self._in_thread(
                    self.index.agreement, vectors[0], vectors[-1], filter
                )
            leaning = continuation(started.texts, agreement)
        weights = part_weights(started.texts, leaning)
        # Cosines with a weighted mean of vectors are the weighted means of the cosines.
        vector = _mean(vectors[: len(weights)], weights)
        leans = leaning >= _LEANING
        searched = started.texts.joined if leans else started.texts.question
        foreign = self._is_foreign(searched)
        with trace.step("search"):
            candidates = await self._in_thread(
                self._search,
                list(zip(prepared, weights, strict=True)),
                vector,
                max(k, _POOL),
                filter,
                dense_weight=FOREIGN_DENSE_WEIGHT if foreign else 1.0,
                considered=trace.considered,
            )
            asked = prepared[1] if leans else prepared[0]
            hits = await self._rank(candidates, vector, asked, trace, foreign=foreign)
        trace.ranked = hits
        grounded = _best_score(hits) >= self._threshold
        if self._reranking is not None and hits:
            with trace.step("reranking"):
                hits = await self._rerank(searched, hits, k, trace)
        direction = _unit(vector)
        return Retrieval(
            question=question,
            query=searched,
            query_vector=direction,
            focus_vector=_unit(direction + vectors[0]),
            hits=tuple(hits[:k]),
            nearest=tuple(hits[: min(k, _NEAREST)]),
            grounded=grounded,
            # Among any passages at all the vectors find nearest ones.
            searched=bool(hits) or self.index.count(filter) > 0,
        )

    async def retrieve_sources(
        self,
        question: str,
        *,
        history: Sequence[Turn] = (),
        filter: Filter = NO_FILTER,
        started: StartedQuery | None = None,
        trace: Trace | None = None,
    ) -> Retrieval:
        """Like `retrieve`, for an answer: neighbouring hits are joined, and one document does not
        keep out the others (see `rag.sources`).

        Raises:
            EmbeddingError, RerankError: the model is not available.
        """
        found = await self.retrieve(
            question,
            history=history,
            filter=filter,
            limit=_CONSIDERED * self._top_k,
            started=started,
            trace=trace,
        )
        needed = documents_to_join(found.hits, self._top_k)
        contents = await self._passages.contents(needed) if needed else {}
        return replace(found, hits=tuple(choose_sources(found.hits, self._top_k, contents)))

    async def explain(
        self, question: str, *, history: Sequence[Turn] = (), filter: Filter = NO_FILTER
    ) -> Explanation:
        """How `retrieve_sources` finds what an answer to a question is made of, and the prompt.

        Raises:
            EmbeddingError, RerankError: the model is not available.
        """
        trace = Trace()
        retrieval = await self.retrieve_sources(
            question, history=history, filter=filter, trace=trace
        )
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

    def _prepare(self, texts: QueryTexts) -> list[PreparedQuery]:
        return [self.index.prepare(text) for text in texts.searched()]

    def _search(
        self,
        queries: Sequence[tuple[PreparedQuery, float]],
        vector: FloatMatrix,
        k: int,
        filter: Filter,
        *,
        dense_weight: float,
        considered: list[Candidate],
    ) -> list[Candidate]:
        return self.index.search(
            self.index.combine(queries),
            vector,
            k,
            filter,
            dense_weight=dense_weight,
            considered=considered,
        )

    async def _in_thread(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Off the event loop, except where that would take longer than the work."""
        if len(self.index) < _INLINE_SEARCH_LIMIT:
            return work(*arguments, **named)
        return await asyncio.to_thread(work, *arguments, **named)

    def _is_foreign(self, text: str) -> bool:
        known = known_languages(self.embedding.identity.name)
        return known is not None and detect_language(text) not in known

    async def _rank(
        self,
        candidates: Sequence[Candidate],
        vector: FloatMatrix,
        asked: PreparedQuery,
        trace: Trace,
        *,
        foreign: bool,
    ) -> list[Hit]:
        """The candidates that still exist, best first, with their scores."""
        passages = await self._passages.passages([item.chunk_id for item in candidates])
        found = [item for item in candidates if item.chunk_id in passages]
        if not found:
            return []
        sentences = np.array(
            [
                best_sentence_cosine(vector, passages[item.chunk_id].sentence_vectors)
                for item in found
            ],
            dtype=np.float32,
        )
        ranking = second_stage(
            vector,
            np.stack([item.vector for item in found]),
            np.array([item.lexical for item in found], dtype=np.float32),
            sentences,
            dense_weight=FOREIGN_DENSE_WEIGHT if foreign else 1.0,
        )
        order = np.argsort(-ranking, kind="stable").tolist()
        ranked = [float(ranking[row]) for row in order]
        best, rivals = found[order[0]], ranked[1 : 1 + _RIVALS]
        profile = self.index.profile(asked, passages[best.chunk_id].language)
        trace.evidence = Evidence(
            cosine=best.cosine,
            sentence=float(sentences[order[0]]),
            lexical=best.lexical,
            coverage=best.coverage,
            margin=ranked[0] - sum(rivals) / len(rivals) if rivals else 0.0,
            terms=profile.terms,
            rarity=profile.rarity,
            foreign=foreign,
        )
        scores = hit_scores(relevance(trace.evidence), ranked)
        return [
            Hit(passages[found[row].chunk_id], score, found[row].cosine, found[row].lexical)
            for row, score in zip(order, scores, strict=True)
        ]

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


def _mean(vectors: FloatMatrix, weights: Sequence[float]) -> FloatMatrix:
    shares = np.asarray(weights, dtype=np.float32) / np.float32(sum(weights))
    return np.asarray(shares @ vectors, dtype=np.float32)


def _unit(vector: FloatMatrix) -> FloatMatrix:
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length else vector, dtype=np.float32)


def _best_score(hits: Sequence[Hit]) -> float:
    return hits[0].score if hits else 0.0
