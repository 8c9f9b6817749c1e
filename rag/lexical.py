"""BM25 over passages with stemming in each passage's language. Importing it imports bm25s."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import bm25s
import numpy as np
from numpy.typing import NDArray

from rag.index.base import Ids
from rag.index.lexical import LexicalScores, LexicalText, PreparedQuery
from rag.stemming import stems

# Importing bm25s sets its logger to DEBUG, and each rebuilt index would be a line in the log.
logging.getLogger("bm25s").setLevel(logging.WARNING)

DEFAULT_LANGUAGE: Final = "en"
_MAX_QUERY_TERMS: Final = 64

K1: Final = 1.5
B: Final = 0.75


class Bm25Index:
    """A `LexicalIndex` on bm25s (Lucene's BM25: k1 1.5, b 0.75), rebuilt at the first search after
    a change.

    A query is stemmed once for each language that occurs, and each passage is scored with the stems
    of its own language. Lucene's variant bounds a term's part by its idf, so the score divided by
    the sum of the query's idfs lies within 0..1. A term that no passage has counts in that sum, and
    function words count nowhere.
    """

    def __init__(self) -> None:
        self._terms: dict[int, list[str]] = {}
        self._sets: dict[int, frozenset[str]] = {}
        self._languages: dict[int, str] = {}
        self._stale = False
        self._version = 0
        self._bm25: Any = None
        self._vocabulary: dict[str, int] = {}
        self._idf: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._ids: Ids = np.zeros(0, dtype=np.int64)
        self._rows: dict[int, int] = {}
        self._masks: dict[str, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self._terms)

    @property
    def is_stale(self) -> bool:
        return self._stale

    def add(self, texts: Sequence[LexicalText]) -> None:
        for text in texts:
            language = text.language or DEFAULT_LANGUAGE
            terms = stems(text.text, language)
            self._terms[text.chunk_id] = terms
            self._sets[text.chunk_id] = frozenset(terms)
            self._languages[text.chunk_id] = language
        self._stale = self._stale or bool(texts)

    def remove(self, ids: Sequence[int]) -> None:
        for number in ids:
            if self._terms.pop(number, None) is not None:
                del self._sets[number], self._languages[number]
                self._stale = True

    def prepare(self, query: str) -> PreparedQuery:
        self._refresh()
        parts: dict[str, tuple[tuple[str, ...], float, NDArray[np.float32] | None]] = {}
        for language in self._masks:
            terms = _query_terms(query, language)
            known = [self._vocabulary[term] for term in terms if term in self._vocabulary]
            scores = self._bm25.get_scores(known) if known else None
            parts[language] = terms, self._bound(terms), scores
        return PreparedQuery(query, self._version, parts)

    def search(self, query: PreparedQuery, k: int, *, allowed: Ids | None = None) -> Ids:
        query = self._current(query)
        if not len(self._ids):
            return self._ids
        scores = np.zeros(len(self._ids), dtype=np.float32)
        for language, (_, bound, bm25) in query.parts.items():
            if bm25 is not None:
                scores = np.where(self._masks[language], bm25 / bound, scores)
        if allowed is not None:
            scores = np.where(np.isin(self._ids, allowed), scores, 0)
        found = np.flatnonzero(scores > 0)
        order = np.lexsort((self._ids[found], -scores[found]))[:k]
        return self._ids[found[order]]

    def score(self, query: PreparedQuery, ids: Ids) -> LexicalScores:
        query = self._current(query)
        scores = np.zeros(len(ids), dtype=np.float32)
        coverage = np.zeros(len(ids), dtype=np.float32)
        for place, number in enumerate(ids.tolist()):
            row = self._rows.get(number)
            if row is None:
                continue
            terms, bound, bm25 = query.parts[self._languages[number]]
            if bm25 is not None:
                scores[place] = bm25[row] / bound
                present = self._sets[number].intersection(terms)
                coverage[place] = self._mass(tuple(present)) / bound
        return LexicalScores(ids, scores, coverage)

    def _current(self, query: PreparedQuery) -> PreparedQuery:
        if self._stale or query.version != self._version:
            return self.prepare(query.text)
        return query

    def similarity(self, first: int, second: int) -> float:
        one, other = self._sets.get(first), self._sets.get(second)
        if not one or not other:
            return 0.0
        shared = len(one & other)
        return shared / (len(one) + len(other) - shared)

    def _mass(self, terms: Sequence[str]) -> float:
        unknown = _idf(len(self._ids), 0)
        known = (self._vocabulary.get(term) for term in terms)
        return sum(unknown if row is None else float(self._idf[row]) for row in known)

    def _bound(self, terms: Sequence[str]) -> float:
        return max(self._mass(terms), 1e-6)

    def _refresh(self) -> None:
        if not self._stale:
            return
        ids = sorted(self._terms)
        self._ids = np.array(ids, dtype=np.int64)
        self._rows = {number: row for row, number in enumerate(ids)}
        self._vocabulary = {}
        rows = [
            [
                self._vocabulary.setdefault(term, len(self._vocabulary))
                for term in self._terms[number]
            ]
            for number in ids
        ]
        frequency = np.zeros(len(self._vocabulary), dtype=np.int64)
        for row in rows:
            frequency[list(set(row))] += 1
        self._idf = _idf(len(ids), frequency).astype(np.float32)
        self._bm25 = None
        if self._vocabulary:
            self._bm25 = bm25s.BM25(k1=K1, b=B, method="lucene")
            self._bm25.index(
                (rows, self._vocabulary), create_empty_token=False, show_progress=False
            )
        self._masks = {
            language: np.array([self._languages[number] == language for number in ids], dtype=bool)
            for language in sorted(set(self._languages.values()))
        }
        self._stale = False
        self._version += 1


@lru_cache(maxsize=1024)
def _query_terms(query: str, language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stems(query, language)))[:_MAX_QUERY_TERMS]


def _idf(count: int, frequency: Any) -> Any:
    """ln(1 + (N - n + 0.5) / (n + 0.5)), the idf of Lucene's BM25 (Robertson and Zaragoza 2009)."""
    return np.log1p((count - frequency + 0.5) / (frequency + 0.5))
