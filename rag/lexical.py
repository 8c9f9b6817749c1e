"""BM25 over passages, with stemming in each passage's language; a change is searchable at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Ids
from rag.index.lexical import (
    LexicalScores,
    LexicalTerms,
    LexicalText,
    PreparedQuery,
    QueryProfile,
)
from rag.index.postings import Run
from rag.index.rows import KeptByObject
from rag.index.scoring import FEW, Clause, Scores, best_rows, score_rows
from rag.stemming import stems
from rag.vocabulary import Vocabulary

DEFAULT_LANGUAGE: Final = "en"
_MAX_QUERY_TERMS: Final = 64
_FEW_PASSAGES: Final = 300  # fewer than in any collection that relevance was fitted on
_MAX_LANGUAGES: Final = 255  # a passage's language is kept in one byte

K1: Final = 1.2
B: Final = 0.5
# A term in the title or a heading counts as often as this.
HEAD_WEIGHT: Final = 2
# What a term that only looks like the one asked for counts, times the square of its likeness.
SIMILAR_WEIGHT: Final = 0.7

# Larger runs, in passages, are merged beside the searches: half a second for so many.
INLINE_MERGE: Final = 50_000
# Sets of allowed ids whose rows are kept.
_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query's term: its number (-1: unknown), what counts as an occurrence, and its idf."""

    number: int
    variants: tuple[tuple[int, float], ...]
    idf: float


class Bm25Index:
    """A `LexicalIndex`: an inverted index of its own in NumPy arrays.

    The score is Lucene's BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework",
    2009), with two additions: terms of title and headings count more often (as fields do in
    BM25F), and terms that look like a query's term count as occurrences of it, by the square of
    their likeness, before saturation. That finds compounds and inflections that no stemmer knows.

    A query is stemmed once for each language that occurs, and each passage is scored with the stems
    of its own language. Lucene's variant bounds a term's part by its idf, so the score divided by
    the sum of the query's idfs lies within 0..1. A term that no passage has counts in that sum, and
    function words count nowhere.

    New passages form a small run; runs of similar size are merged, so that there are few, and each
    passage is moved about log2(n) times in all.
    """

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._runs: list[Run] = []
        self._norms: list[Scores] = []  # per run: K1 * (1 - B + B * length / average length)
        self._languages: dict[str, int] = {}
        self._alive_by_language = np.zeros(256, dtype=np.int64)
        self._frequencies = np.zeros(1024, dtype=np.int32)  # passages per term
        self._count = 0
        self._total_length = 0.0
        self._version = 0
        self._fresh = True  # whether `_norms` fits the state
        self._scratch = np.zeros(0, dtype=np.float32)  # see `best_rows`
        # The allowed rows of sets of ids that were searched last.
        self._kept = KeptByObject[Ids, list[tuple[NDArray[np.bool_], NDArray[np.int64]]]](_KEPT)

    def __len__(self) -> int:
        return self._count

    def read(self, texts: Sequence[LexicalText]) -> list[LexicalTerms]:
        found = []
        for text in texts:
            language = text.language or DEFAULT_LANGUAGE
            head = stems(text.head, language)
            terms = (*(HEAD_WEIGHT * head), *stems(text.text, language))
            found.append(LexicalTerms(text.chunk_id, language, terms))
        return found

    def add(self, passages: Sequence[LexicalText | LexicalTerms]) -> None:
        if not passages:
            return
        last = {passage.chunk_id: passage for passage in passages}
        self.remove(list(last))
        run = Run.of(
            list(last),
            [self._language_number(passage.language) for passage in last.values()],
            [self._term_numbers(passage) for passage in last.values()],
        )
        if len(self._vocabulary) > len(self._frequencies):
            self._frequencies = np.append(
                self._frequencies,
                np.zeros(2 * len(self._vocabulary) - len(self._frequencies), dtype=np.int32),
            )
        self._frequencies[run.terms] += np.diff(run.starts).astype(np.int32)
        self._count += len(run)
        self._total_length += float(run.lengths.sum(dtype=np.float64))
        self._alive_by_language += np.bincount(run.languages, minlength=256)
        self._runs.append(run)
        while len(self._runs) > 1 and _belong_together(*self._runs[-2:]):
            if sum(map(len, self._runs[-2:])) > INLINE_MERGE:
                break  # see `merge_due`
            self._runs[-2:] = [Run.merged(self._runs[-2:])]
        self._changed()

    def remove(self, ids: Sequence[int]) -> None:
        if not len(ids):
            return
        wanted = np.unique(np.asarray(ids, dtype=np.int64))
        for place, run in enumerate(self._runs):
            rows, present = run.rows_of(wanted)
            if not present.any():
                continue
            rows = rows[present]
            run.strike_out(rows)
            for row in rows.tolist():
                self._frequencies[run.terms_of(row)] -= 1
            self._count -= len(rows)
            self._total_length -= float(run.lengths[rows].sum(dtype=np.float64))
            self._alive_by_language -= np.bincount(run.languages[rows], minlength=256)
            if 2 * int(run.alive.sum()) < len(run):
                self._runs[place] = Run.merged([run])
            self._changed()
        self._runs = [run for run in self._runs if len(run)]

    def merge_due(self) -> Callable[[], Callable[[], None]] | None:
        """A merge of large runs that is due, if any: to be called without the owner's guard.

        It returns what puts the merged run into its place, to be called with the guard. If the runs
        have been replaced meanwhile, that does nothing.
        """
        for one, other in pairwise(self._runs):
            if _belong_together(one, other):
                old = [one, other]
                # Passages may be struck out meanwhile.
                seen = [run.snapshot() for run in old]
                return lambda: partial(self._replace, old, seen, Run.merged(seen))
        return None

    def _replace(self, old: Sequence[Run], seen: Sequence[Run], merged: Run) -> None:
        places = [place for place, run in enumerate(self._runs) if run in old]
        if len(places) != len(old):
            return
        for run, before in zip(old, seen, strict=True):
            gone = np.flatnonzero(before.alive & ~run.alive)
            if len(gone):
                merged.strike_out(merged.rows_of(run.ids[gone])[0])
        self._runs[places[0] : places[-1] + 1] = [merged]
        self._changed()

    def prepare(self, query: str) -> PreparedQuery:
        self._refresh()
        asked = {
            name: tuple(self._asked(term) for term in _query_terms(query, name))
            for name, code in self._languages.items()
            if self._alive_by_language[code]
        }
        return PreparedQuery(
            ((query, 1.0),),
            self._version,
            {
                name: (
                    np.array([term.number for term in terms], dtype=np.int64),
                    np.array([term.idf for term in terms], dtype=np.float32),
                )
                for name, terms in asked.items()
            },
            _clauses({self._languages[name]: terms for name, terms in asked.items()}),
        )

    def combine(self, queries: Sequence[tuple[PreparedQuery, float]]) -> PreparedQuery:
        current = [(self._current(query), weight) for query, weight in queries if weight > 0]
        total = sum(weight for _, weight in current)
        texts = tuple(
            (text, weight * part / total) for query, weight in current for text, part in query.texts
        )
        factors: dict[tuple[tuple[int, float], ...], Scores] = {}
        for query, weight in current:
            for clause in query.clauses:
                part = np.float32(weight / total) * clause.factors
                known = factors.get(clause.variants)
                factors[clause.variants] = part if known is None else known + part
        clauses = tuple(Clause(variants, parts) for variants, parts in factors.items())
        return PreparedQuery(texts, self._version, current[0][0].terms, clauses)

    def search(self, query: PreparedQuery, k: int, *, allowed: Ids | None = None) -> Ids:
        query = self._current(query)
        found = [np.zeros(0, dtype=np.int64)]
        scores = [np.zeros(0, dtype=np.float32)]
        for place, (run, norm) in enumerate(zip(self._runs, self._norms, strict=True)):
            mask = None if run.all_alive else run.alive
            if allowed is not None:
                mask, rows = self._allowed_rows(allowed)[place]
                if len(rows) <= FEW:
                    values = score_rows(run, norm, query.clauses, rows)
                    found.append(run.ids[rows[values > 0]])
                    scores.append(values[values > 0])
                    continue
            if len(self._scratch) < len(run):
                self._scratch = np.zeros(len(run), dtype=np.float32)
            rows, values = best_rows(
                run, norm, query.clauses, k, mask=mask, scratch=self._scratch[: len(run)]
            )
            found.append(run.ids[rows])
            scores.append(values)
        ids, values = np.concatenate(found), np.concatenate(scores)
        return ids[np.lexsort((ids, -np.round(values, 6)))[:k]]

    def score(self, query: PreparedQuery, ids: Ids) -> LexicalScores:
        query = self._current(query)
        scores = np.zeros(len(ids), dtype=np.float32)
        coverage = np.zeros(len(ids), dtype=np.float32)
        for run, norm in zip(self._runs, self._norms, strict=True):
            places, present = run.rows_of(ids)
            rows = places[present]
            if not len(rows):
                continue
            scores[present] = score_rows(run, norm, query.clauses, rows)
            held = np.zeros(len(rows), dtype=np.float32)
            owners, terms, _ = run.terms_of_rows(rows)
            languages = run.languages[rows]
            for name, (numbers, idfs) in query.terms.items():
                own = (languages == self._languages[name])[owners]
                if not len(idfs) or not own.any():
                    continue
                order = np.argsort(numbers)
                places = np.minimum(numbers[order].searchsorted(terms), len(numbers) - 1)
                found = np.flatnonzero(own & (numbers[order][places] == terms))
                np.add.at(held, owners[found], (idfs / idfs.sum())[order][places[found]])
            coverage[present] = held
        return LexicalScores(ids, scores, coverage)

    def profile(self, query: PreparedQuery, language: str | None) -> QueryProfile:
        _, idfs = query.terms.get(language or DEFAULT_LANGUAGE, ((), ()))
        if not len(idfs):
            return QueryProfile()
        # An idf is ln((N + 1) / (n + 0.5)). Among few passages no word is rare, so they are taken
        # to be a part of more.
        more = np.log(max(1.0, (_FEW_PASSAGES + 1) / (self._count + 1)))
        return QueryProfile(
            len(idfs), float((np.mean(idfs) + more) / (_idf(self._count, 0) + more))
        )

    def terms(self, ids: Ids) -> list[NDArray[np.int32]]:
        found = [np.zeros(0, dtype=np.int32)] * len(ids)
        for run in self._runs:
            rows, present = run.rows_of(ids)
            for place in np.flatnonzero(present).tolist():
                found[place] = run.terms_of(int(rows[place]))
        return found

    def _allowed_rows(self, allowed: Ids) -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
        """The allowed rows of each run, as a mask and in order."""

        def look_up() -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
            found = []
            for run in self._runs:
                places, present = run.rows_of(allowed)
                mask = np.zeros(len(run), dtype=np.bool_)
                mask[places[present]] = True
                found.append((mask, np.flatnonzero(mask)))
            return found

        return look_up() if allowed.flags.writeable else self._kept.of(allowed, look_up)

    def _language_number(self, language: str | None) -> int:
        name = language or DEFAULT_LANGUAGE
        if name not in self._languages and len(self._languages) < _MAX_LANGUAGES:
            self._languages[name] = len(self._languages)
        return self._languages.get(name, 0)

    def _term_numbers(self, passage: LexicalText | LexicalTerms) -> list[int]:
        """Each term's number as often as it counts."""
        if isinstance(passage, LexicalText):
            (passage,) = self.read([passage])
        return [self._vocabulary.number(term) for term in passage.terms]

    def _asked(self, term: str) -> _Asked:
        number = self._vocabulary.find(term)
        similar = [
            (other, SIMILAR_WEIGHT * likeness**2)
            for other, likeness in self._vocabulary.similar(term)
            if self._frequencies[other]
        ]
        frequency = 0 if number is None else int(self._frequencies[number])
        if not frequency:  # as rare as what looks like it
            frequency = min(self._count, sum(int(self._frequencies[other]) for other, _ in similar))
        variants = similar if number is None else [(number, 1.0), *similar]
        return _Asked(
            -1 if number is None else number, tuple(variants), _idf(self._count, frequency)
        )

    def _current(self, query: PreparedQuery) -> PreparedQuery:
        if query.version == self._version:
            return query
        if len(query.texts) == 1:
            return self.prepare(query.texts[0][0])
        return self.combine([(self.prepare(text), weight) for text, weight in query.texts])

    def _changed(self) -> None:
        self._version += 1
        self._fresh = False
        self._kept.clear()

    def _refresh(self) -> None:
        if self._fresh:
            return
        average = self._total_length / self._count if self._count else 1.0
        scale = B / max(average, 1e-6)
        self._norms = [
            (K1 * (1 - B + scale * run.lengths)).astype(np.float32) for run in self._runs
        ]
        self._fresh = True


def _clauses(asked: Mapping[int, Sequence[_Asked]]) -> tuple[Clause, ...]:
    """What passages are scored by; `asked` is by the language's number.

    Words that are asked for alike in several languages are one clause.
    """
    factors: dict[tuple[tuple[int, float], ...], Scores] = {}
    for code, terms in asked.items():
        bound = max(sum(term.idf for term in terms), 1e-6)
        for term in terms:
            if term.variants:
                by_language = factors.setdefault(term.variants, np.zeros(256, dtype=np.float32))
                by_language[code] += term.idf / bound
    return tuple(Clause(variants, parts) for variants, parts in factors.items())


def _belong_together(one: Run, other: Run) -> bool:
    """Whether two neighbouring runs are of similar size, so that they become one."""
    return len(one) < 2 * len(other)


@lru_cache(maxsize=1024)
def _query_terms(query: str, language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stems(query, language)))[:_MAX_QUERY_TERMS]


def _idf(count: int, frequency: int) -> float:
    """ln(1 + (N - n + 0.5) / (n + 0.5)), the idf of Lucene's BM25."""
    return float(np.log1p((count - frequency + 0.5) / (frequency + 0.5)))
