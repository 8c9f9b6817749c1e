"""How fast the index is at 10,000, 100,000 and a million passages, and what it finds.

Embedding is left out: the questions' vectors are made up like those of the passages (see
`benchmarks.index_corpus`). Everything else is the server's own: the index that changes its kind
with its size, words and vectors together, filters by category.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from benchmarks.figures import Spread, console, milliseconds, progress, table
from benchmarks.index_corpus import Corpus
from rag.embedding.base import ModelIdentity
from rag.index.adaptive import AdaptiveIndex
from rag.index.base import Ids
from rag.index.knowledge import KnowledgeIndex
from rag.lexical import Bm25Index
from rag.types import NO_FILTER, Filter, FloatMatrix

SIZES: Final = (10_000, 100_000, 1_000_000)
QUESTIONS: Final = 200
# As many candidates as the pipeline asks for.
_K: Final = 32
_POOL: Final = 64
_NEIGHBOURS: Final = 10
_FILTER: Final = Filter(categories=("category-7",))
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of one kind of search, on the clock and of the processor (medians)."""

    wall: Spread
    processor: float

    def to_json(self) -> dict[str, Any]:
        return {"ms": self.wall.to_json(), "processor_ms": round(self.processor, 3)}


@dataclass(frozen=True, slots=True)
class Size:
    """The figures of one size. Seconds of the build, MB of resident memory."""

    passages: int
    kind: str
    build_seconds: float
    rebuild_seconds: float
    memory_mb: float
    recall: float
    filtered_recall: float
    searches: dict[str, Timed]

    @property
    def mb_per_million(self) -> float:
        return self.memory_mb * _MILLION / self.passages

    def ratio(self, part: str) -> float:
        """What a search with the filter takes, as a share of one without."""
        return self.searches[f"{part}, 1 %"].wall.median / self.searches[part].wall.median

    def to_json(self) -> dict[str, Any]:
        plain = {key: value for key, value in asdict(self).items() if key != "searches"}
        rounded = {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in plain.items()
        }
        return rounded | {
            "mb_per_million": round(self.mb_per_million, 1),
            "filter_ratio": round(self.ratio("both"), 3),
            "filter_ratio_dense": round(self.ratio("vectors"), 3),
            "searches": {name: timed.to_json() for name, timed in self.searches.items()},
        }


@dataclass(frozen=True, slots=True)
class Result:
    sizes: tuple[Size, ...]

    def to_json(self) -> dict[str, Any]:
        return {"sizes": [size.to_json() for size in self.sizes]}

    def report(self) -> str:
        times = [
            [
                f"{size.passages:,} {name}",
                milliseconds(timed.wall.median),
                milliseconds(timed.wall.p99),
                milliseconds(timed.processor),
            ]
            for size in self.sizes
            for name, timed in size.searches.items()
        ]
        sizes = [
            [
                f"{size.passages:,}",
                size.kind,
                f"{size.recall:.3f}",
                f"{size.filtered_recall:.3f}",
                f"{size.ratio('vectors'):.2f}",
                f"{size.ratio('both'):.2f}",
                f"{size.build_seconds:.0f}",
                f"{size.rebuild_seconds:.0f}",
                f"{size.memory_mb:.0f}",
                f"{size.mb_per_million:.0f}",
            ]
            for size in self.sizes
        ]
        return "\n\n".join(
            [
                "One question, embedding left out; a filter keeps 1 %",
                table(["search", "median ms", "p99 ms", "processor ms"], times),
                f"recall@{_NEIGHBOURS} is against comparing with all vectors",
                table(
                    [
                        "passages", "kind", "recall", "filtered", "time with/without: vectors",
                        "both", "build s", "then s", "MB", "MB per million",
                    ],
                    sizes,
                ),
            ]
        )  # fmt: skip


def run(corpus: Corpus, *, sizes: Sequence[int], questions: int) -> Result:
    return Result(tuple(_measure(corpus, size, questions) for size in sorted(sizes)))


def _measure(corpus: Corpus, count: int, questions: int) -> Size:
    identity = ModelIdentity("made-up", corpus.anchors.shape[1], "0" * 64)
    vectors = corpus.vectors(questions, seed=2)
    dense, lexical = AdaptiveIndex(identity), Bm25Index()
    index = KnowledgeIndex(dense, lexical)
    console.print(f"{count:,} passages are made up and indexed")
    before = _resident_mb()
    build_seconds, allowed = _fill(index, corpus, count)
    begin = time.perf_counter()
    dense.wait()
    index.wait()
    rebuild_seconds = time.perf_counter() - begin
    memory_mb = _resident_mb() - before
    searches = _searches(index, dense, lexical, corpus, allowed, vectors)
    exact, exact_allowed = _exact(corpus, count, vectors, allowed)
    return Size(
        passages=count,
        kind=dense.kind,
        build_seconds=build_seconds,
        rebuild_seconds=rebuild_seconds,
        memory_mb=memory_mb,
        recall=_recall(dense, vectors, exact, None),
        filtered_recall=_recall(dense, vectors, exact_allowed, allowed),
        searches=searches,
    )


def _fill(index: KnowledgeIndex, corpus: Corpus, count: int) -> tuple[float, Ids]:
    """Index the corpus; returns the seconds, without those of making it up, and what the filter
    leaves."""
    seconds = 0.0
    allowed: list[int] = []
    with progress() as bar:
        task = bar.add_task("Indexing", total=count)
        for ids, vectors in corpus.blocks(count):
            entries = corpus.entries(ids)
            allowed += [one.chunk_id for one in entries if one.category in _FILTER.categories]
            begin = time.perf_counter()
            index.add(entries, vectors)
            seconds += time.perf_counter() - begin
            bar.advance(task, len(ids))
    begin = time.perf_counter()
    index.refresh()
    kept = np.array(allowed, dtype=np.int64)
    kept.flags.writeable = False
    return seconds + time.perf_counter() - begin, kept


def _exact(
    corpus: Corpus, count: int, vectors: FloatMatrix, allowed: Ids
) -> tuple[list[set[int]], list[set[int]]]:
    """The true neighbours of each question, among all and among the allowed."""
    best = [_Best(len(vectors)), _Best(len(vectors))]
    for ids, rows in corpus.blocks(count):
        inside = np.isin(ids, allowed)
        cosines = vectors @ rows.T
        best[0].take(ids, cosines)
        best[1].take(ids[inside], cosines[:, inside])
    return best[0].sets(), best[1].sets()


class _Best:
    """The ids with the highest cosines that have come by, a row for each question."""

    def __init__(self, questions: int) -> None:
        self._ids = np.zeros((questions, 0), dtype=np.int64)
        self._cosines = np.zeros((questions, 0), dtype=np.float32)

    def take(self, ids: Ids, cosines: FloatMatrix) -> None:
        all_ids = np.hstack([self._ids, np.broadcast_to(ids, cosines.shape)])
        values = np.hstack([self._cosines, cosines])
        first = np.argsort(-values, axis=1, kind="stable")[:, :_NEIGHBOURS]
        self._ids = np.take_along_axis(all_ids, first, axis=1)
        self._cosines = np.take_along_axis(values, first, axis=1)

    def sets(self) -> list[set[int]]:
        return [set(row) for row in self._ids.tolist()]


def _recall(
    dense: AdaptiveIndex, vectors: FloatMatrix, exact: Sequence[set[int]], allowed: Ids | None
) -> float:
    found = sum(
        len(true.intersection(dense.search(vector, _POOL, allowed=allowed)[0][:_NEIGHBOURS]))
        for vector, true in zip(vectors, exact, strict=True)
    )
    return found / max(1, sum(map(len, exact)))


def _resident_mb() -> float:
    """What the process holds once what is free has been given back (Linux)."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _searches(
    index: KnowledgeIndex,
    dense: AdaptiveIndex,
    lexical: Bm25Index,
    corpus: Corpus,
    allowed: Ids,
    vectors: FloatMatrix,
) -> dict[str, Timed]:
    # Words that were looked up once are known: each kind of search has questions of its own.
    made = [corpus.questions(len(vectors), seed=seed) for seed in range(3, 7)]
    all_texts, filtered_texts, words_texts, filtered_words_texts = made

    def both(texts: Sequence[str], filter: Filter) -> Callable[[int], object]:
        return lambda number: index.search(texts[number], vectors[number], _K, filter)

    def words(texts: Sequence[str], chosen: Ids | None) -> Callable[[int], object]:
        return lambda number: lexical.search(lexical.prepare(texts[number]), _POOL, allowed=chosen)

    def near(chosen: Ids | None) -> Callable[[int], object]:
        return lambda number: dense.search(vectors[number], _POOL, allowed=chosen)

    kinds: dict[str, Callable[[int], object]] = {
        "both": both(all_texts, NO_FILTER),
        "both, 1 %": both(filtered_texts, _FILTER),
        "vectors": near(None),
        "vectors, 1 %": near(allowed),
        "words": words(words_texts, None),
        "words, 1 %": words(filtered_words_texts, allowed),
    }
    return {name: _timed(search, len(vectors)) for name, search in kinds.items()}


def _timed(search: Callable[[int], object], count: int) -> Timed:
    for number in range(min(5, count)):
        search(number)
    wall: list[float] = []
    processor: list[float] = []
    for number in range(count):
        begin, busy = time.perf_counter(), time.thread_time()
        search(number)
        processor.append(1000 * (time.thread_time() - busy))
        wall.append(1000 * (time.perf_counter() - begin))
    return Timed(Spread.of(wall), float(np.median(processor)))
