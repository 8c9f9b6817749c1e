"""The port of a lexical index over passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Ids


@dataclass(frozen=True, slots=True)
class LexicalText:
    """A passage as the lexical index sees it; `head` is its title and headings."""

    chunk_id: int
    head: str
    text: str
    language: str | None


@dataclass(frozen=True, slots=True)
class LexicalTerms:
    """The same read: its terms, as often as each counts, in order."""

    chunk_id: int
    language: str
    terms: tuple[str, ...]


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
    """A query with its words looked up, for one state of the index.

    `texts` are what was asked, with their weights, which add up to 1. `clauses` is what passages
    are scored by, as the index keeps it; `terms` has, for each language, the numbers of the first
    text's terms (-1: unknown) and their idfs.
    """

    texts: tuple[tuple[str, float], ...]
    version: int
    terms: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]
    clauses: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class QueryProfile:
    """A query's terms in one language: how many there are, and how rare: their mean idf against
    that of a term that no passage has, 0..1."""

    terms: int = 0
    rarity: float = 0.0


class LexicalIndex(Protocol):
    """Term search over passages, keyed by chunk id. The owner guards it against concurrent use."""

    def __len__(self) -> int: ...

    def read(self, texts: Sequence[LexicalText]) -> list[LexicalTerms]:
        """What is to be added of passages. It needs no guard, and takes most of the time; but the
        terms of very many passages take more memory than their texts."""

    def add(self, passages: Sequence[LexicalText | LexicalTerms]) -> None:
        """Add passages, read before or not; an id that is present already is replaced. They are
        found at once."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove passages; unknown ids are ignored."""

    def merge_due(self) -> Callable[[], Callable[[], None]] | None:
        """Longer work that is due after changes, if any, to be called without the owner's guard; it
        returns what makes it count, to be called with the guard."""

    def prepare(self, query: str) -> PreparedQuery:
        """The part of a search that needs nothing but the words, to be done while other work, such
        as embedding, is under way. What is prepared before a change is prepared anew."""

    def combine(self, queries: Sequence[tuple[PreparedQuery, float]]) -> PreparedQuery:
        """Several texts searched as one: each passage's score is the mean by the given weights.

        The first is the question proper, whose terms `LexicalScores.coverage` is about.
        """

    def search(self, query: PreparedQuery, k: int, *, allowed: Ids | None = None) -> Ids:
        """The k best of `allowed` (all, if None), best first; only those that share a term.

        What is found out of an array that cannot be written is kept for the next search with it.
        """

    def score(self, query: PreparedQuery, ids: Ids) -> LexicalScores:
        """How well passages match; an unknown id gets zeros."""

    def profile(self, query: PreparedQuery, language: str | None) -> QueryProfile:
        """The terms of a query's first text, as passages in a language (None: the default) are
        searched for them."""

    def terms(self, ids: Ids) -> list[NDArray[np.int32]]:
        """The distinct numbers of each passage's terms, to find near-duplicates; none for an
        unknown id."""
