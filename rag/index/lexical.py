"""The port of a lexical index over passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Ids


@dataclass(frozen=True, slots=True)
class LexicalText:
    """A passage as the lexical index sees it: `text` with its title and headings."""

    chunk_id: int
    text: str
    language: str | None


@dataclass(frozen=True, slots=True)
class LexicalScores:
    """Parallel arrays, one row per passage.

    `scores` is 0..1: the BM25 score divided by the highest that the query could reach. `coverage`
    is 0..1: the share of the query's idf mass that occurs in the passage.
    """

    ids: Ids
    scores: NDArray[np.float32]
    coverage: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query's scores for all passages, for one state of the index.

    `parts` has an entry per language: the query's stems, the highest score that they could reach,
    and the BM25 score of each of the index's rows (None: no stem is known).
    """

    text: str
    version: int
    parts: dict[str, tuple[tuple[str, ...], float, NDArray[np.float32] | None]]


class LexicalIndex(Protocol):
    """Term search over passages, keyed by chunk id. The owner guards it against concurrent use."""

    def __len__(self) -> int: ...

    @property
    def is_stale(self) -> bool:
        """Whether the next search has to rebuild first, which may take a while."""

    def add(self, texts: Sequence[LexicalText]) -> None:
        """Add passages; an id that is present already is replaced."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove passages; unknown ids are ignored."""

    def prepare(self, query: str) -> PreparedQuery:
        """The part of a search that needs nothing but the words, to be done while other work, such
        as embedding, is under way. What is prepared before a change is prepared anew."""

    def search(self, query: PreparedQuery, k: int, *, allowed: Ids | None = None) -> Ids:
        """The k best of `allowed` (all, if None), best first; only those that share a term."""

    def score(self, query: PreparedQuery, ids: Ids) -> LexicalScores:
        """How well passages match; an unknown id gets zeros."""

    def similarity(self, first: int, second: int) -> float:
        """The share of common terms of two passages (Jaccard), 0..1, to find near-duplicates."""
