"""Why a question found what it found: what `Pipeline.retrieve` notes on its way, made readable."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rag.generation.base import Prompt
from rag.index.knowledge import Candidate
from rag.relevance import Evidence
from rag.types import Filter, Hit, Passage, Retrieval

# So many candidates are explained at most, and so many removed ones beside them.
MAX_EXPLAINED: Final = 50


class Trace:
    """What one retrieval considered, and how long each step took.

    `considered` are all that either retriever proposed, in fused order. `ranked` are those that
    were looked at closely, in the order of their relevance; `reranked` the reranking model's scores
    by chunk id, best first, empty without a model. `evidence` is what the relevance was computed
    from, None if nothing was found.
    """

    def __init__(self) -> None:
        self.considered: list[Candidate] = []
        self.ranked: list[Hit] = []
        self.reranked: dict[int, float] = {}
        self.evidence: Evidence | None = None
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time that the block takes, waiting included, to a step's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1000
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent


class CandidateOutcome(Enum):
    """What became of a candidate."""

    HIT = "hit"
    LOWER = "lower"
    DUPLICATE = "duplicate"
    BEYOND = "beyond"
    FILTERED = "filtered"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Place:
    """A rank among the candidates, from 1, and the score that gave it."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class ExplainedCandidate:
    """A passage that was considered. `number` is that of the source that it is, or a part of;
    `removed_by` names the properties by which a filter excludes it. A place is None where the
    passage had none: without a common word, without a closer look, without a reranking model.
    `passage` is None if it was deleted meanwhile."""

    chunk_id: int
    passage: Passage | None = field(repr=False)
    outcome: CandidateOutcome
    number: int | None
    dense: Place
    lexical: Place | None
    fused: Place
    relevance: Place | None
    reranked: Place | None
    removed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`searched` is the text that was searched, `relevance` the number that decided against
    `threshold` whether to answer. `passages` are all there are, `allowed` those that the filter
    leaves. `milliseconds` are by step, in order."""

    question: str
    searched: str
    grounded: bool
    relevance: float
    threshold: float
    passages: int
    allowed: int
    candidates: tuple[ExplainedCandidate, ...]
    prompt: Prompt = field(repr=False)
    milliseconds: tuple[tuple[str, float], ...]


def explain(
    retrieval: Retrieval,
    prompt: Prompt,
    trace: Trace,
    *,
    unfiltered: Sequence[Candidate] = (),
    filter: Filter,
    passages: Mapping[int, Passage],
    collections: Mapping[int, str],
    counts: tuple[int, int],
    threshold: float,
) -> Explanation:
    """Put together what was noted. `unfiltered` is what would have been considered without the
    filter; `collections` are those of the passages; `counts` are all passages and those that the
    filter leaves."""
    candidates = [
        *_explained(trace, retrieval, passages),
        *_removed(unfiltered, passages, filter, collections),
    ]
    return Explanation(
        question=retrieval.question,
        searched=retrieval.query,
        grounded=retrieval.grounded,
        relevance=trace.ranked[0].score if trace.ranked else 0.0,
        threshold=threshold,
        passages=counts[0],
        allowed=counts[1],
        candidates=tuple(candidates),
        prompt=prompt,
        milliseconds=tuple(trace.milliseconds.items()),
    )


def excluded_by(passage: Passage, filter: Filter, collection: str) -> tuple[str, ...]:
    """The properties by which a filter excludes a passage of a collection."""
    return tuple(
        name
        for name, values, value in (
            ("type", filter.types or None, passage.type),
            ("category", filter.categories or None, passage.category),
            ("language", filter.languages or None, passage.language or ""),
            ("document", filter.document_ids, passage.document_id),
            ("collection", filter.collections, collection),
        )
        if values is not None and value not in values
    )


def _explained(
    trace: Trace, retrieval: Retrieval, passages: Mapping[int, Passage]
) -> list[ExplainedCandidate]:
    """The hits by their numbers, then the others in fused order."""
    dense, lexical, fused = _places(trace.considered)
    ranked = {
        hit.passage.chunk_id: Place(rank, hit.score) for rank, hit in enumerate(trace.ranked, 1)
    }
    reranked = {
        key: Place(rank, score) for rank, (key, score) in enumerate(trace.reranked.items(), 1)
    }
    numbers = {
        chunk_id: number
        for number, hit in enumerate(retrieval.hits, 1)
        for chunk_id in hit.passage.chunk_ids
    }
    last = max((fused[key].rank for key in ranked if key in fused), default=0)

    def outcome(key: int) -> CandidateOutcome:
        if key in numbers:
            return CandidateOutcome.HIT
        if key in ranked:
            return CandidateOutcome.LOWER
        if key not in passages:
            return CandidateOutcome.GONE
        # Candidates are kept in fused order: what was passed over on the way repeats a better one.
        return CandidateOutcome.DUPLICATE if fused[key].rank < last else CandidateOutcome.BEYOND

    keys = sorted(fused, key=lambda key: (numbers.get(key, len(numbers) + 1), fused[key].rank))
    return [
        ExplainedCandidate(
            chunk_id=key,
            passage=passages.get(key),
            outcome=outcome(key),
            number=numbers.get(key),
            dense=dense[key],
            lexical=lexical.get(key),
            fused=fused[key],
            relevance=ranked.get(key),
            reranked=reranked.get(key),
        )
        for key in keys[:MAX_EXPLAINED]
    ]


def _removed(
    unfiltered: Sequence[Candidate],
    passages: Mapping[int, Passage],
    filter: Filter,
    collections: Mapping[int, str],
) -> list[ExplainedCandidate]:
    """What the filter kept from being considered; ranks are those without the filter."""
    dense, lexical, fused = _places(unfiltered)
    found = []
    for item in unfiltered:
        passage = passages.get(item.chunk_id)
        if passage is None or not (
            reasons := excluded_by(passage, filter, collections.get(item.chunk_id, ""))
        ):
            continue
        found.append(
            ExplainedCandidate(
                chunk_id=item.chunk_id,
                passage=passage,
                outcome=CandidateOutcome.FILTERED,
                number=None,
                dense=dense[item.chunk_id],
                lexical=lexical.get(item.chunk_id),
                fused=fused[item.chunk_id],
                relevance=None,
                reranked=None,
                removed_by=reasons,
            )
        )
    return found[:MAX_EXPLAINED]


def _places(
    candidates: Sequence[Candidate],
) -> tuple[dict[int, Place], dict[int, Place], dict[int, Place]]:
    """Ranks by each retriever alone, and fused."""
    return (
        _ranks((item.chunk_id, item.cosine) for item in candidates),
        _ranks((item.chunk_id, item.lexical) for item in candidates if item.lexical > 0),
        _ranks((item.chunk_id, item.fused) for item in candidates),
    )


def _ranks(scored: Iterable[tuple[int, float]]) -> dict[int, Place]:
    ordered = sorted(scored, key=lambda pair: (-pair[1], pair[0]))
    return {key: Place(rank, score) for rank, (key, score) in enumerate(ordered, 1)}
