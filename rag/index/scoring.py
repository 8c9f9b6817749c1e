"""BM25 over one run of an inverted index: the best rows, and the scores of given rows.

The best are found without scoring all: a query's clauses are added up from the rarest on, and once
the rest cannot lift another row among the best, only rows that may still be among them are looked
up in it (MaxScore: Turtle and Flood, "Query Evaluation: Strategies and Optimizations", 1995). What
is found is exactly what scoring all rows would find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rag.index.postings import Run

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]

# So many rows at most are scored from their own terms instead of the terms' rows.
FEW: Final = 512
# With so few entries in all, adding up all of them takes less time than leaving some out.
ALL: Final = 60_000
# Sums of the same numbers in another order differ by less.
_SLACK: Final = 1e-5
_ABOVE_ZERO: Final = 1e-30
# Looking a row up in a list takes as long as adding up so many of its entries.
_LOOK_UP: Final = 8


@dataclass(frozen=True, slots=True)
class Clause:
    """A term of a query. `variants` are the numbers of the terms that count as occurrences of it,
    with what one of them counts; `factors` has, by the number of a passage's language, what the
    clause adds to the score at most."""

    variants: tuple[tuple[int, float], ...]
    factors: Scores = field(repr=False)

    @property
    def bound(self) -> float:
        return float(self.factors.max())


def best_rows(
    run: Run,
    norm: Scores,
    clauses: Sequence[Clause],
    k: int,
    *,
    mask: NDArray[np.bool_] | None,
    scratch: Scores,
) -> tuple[Rows, Scores]:
    """The k best rows with a score above 0, in any order, and all that tie with the last of them.

    `norm` is BM25's K1 * (1 - B + B * length / average length) by row. Only rows in `mask` count
    (all, if None). `scratch` has room for a number per row, all 0 before and after.
    """
    terms = _variants(clauses)
    if run.count_postings(terms.numbers) <= ALL:
        scores = _score_all(run, norm, clauses, terms)
        if mask is not None:
            scores[~mask] = 0
        found = np.flatnonzero(scores > 0)
        return _best(found, scores[found], k)
    ordered = sorted(clauses, key=lambda clause: (-clause.bound, clause.variants))
    bounds = [clause.bound for clause in ordered]
    least = 0.0  # the k-th best of all rows is no worse
    touched: list[NDArray[np.int32]] = []
    rest: Sequence[Clause] = ()
    for place, clause in enumerate(ordered):
        remaining = sum(bounds[place:])
        if least > remaining + _SLACK:
            rest = ordered[place:]
            break
        rows, occurring = _occurrences(run, clause, mask)
        if not len(rows):
            continue
        scores = _add(scratch, run, norm, clause, rows, occurring)
        touched.append(rows)
        least = _kth_best(scores, k, least)
    if not touched:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    remaining = sum(clause.bound for clause in rest)
    found = np.flatnonzero(scratch >= max(least - remaining - _SLACK, _ABOVE_ZERO))
    for place, clause in enumerate(rest):
        _add_looked_up(scratch, run, norm, clause, found)
        remaining = sum(other.bound for other in rest[place + 1 :])
        scores = scratch[found]
        least = _kth_best(scores, k, least)
        # Those given up are cleaned up with the others: they were touched before.
        found = found[scores >= least - remaining - _SLACK]
    scores = scratch[found]
    if sum(map(len, touched)) > len(scratch) // 4:
        scratch.fill(0)
    else:
        for rows in touched:
            scratch[rows] = 0
    return _best(found, scores, k)


def _best(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """The k best, and all that tie with the last of them."""
    if len(rows) <= k:
        return rows, scores
    limit = np.partition(scores, len(rows) - k)[len(rows) - k] - _SLACK / 10
    return rows[scores >= limit], scores[scores >= limit]


@dataclass(frozen=True, slots=True)
class _Variants:
    """The variants of all clauses: their terms, the clause that each belongs to, and its weight."""

    numbers: NDArray[np.int32]
    places: Rows
    weights: Scores


def _variants(clauses: Sequence[Clause]) -> _Variants:
    flat = [
        (number, place, weight)
        for place, clause in enumerate(clauses)
        for number, weight in clause.variants
    ]
    return _Variants(
        np.array([number for number, _, _ in flat], dtype=np.int32),
        np.array([place for _, place, _ in flat], dtype=np.int64),
        np.array([weight for _, _, weight in flat], dtype=np.float32),
    )


def _score_all(run: Run, norm: Scores, clauses: Sequence[Clause], terms: _Variants) -> Scores:
    """The score of every row."""
    entries, rows, counts = run.postings_of(terms.numbers)
    # A matrix of rows and clauses; variants of a clause in one row are added up.
    occurring = sparse.coo_matrix(
        (terms.weights[entries] * counts, (rows, terms.places[entries])),
        shape=(len(run), max(1, len(clauses))),
    ).tocsr()
    owners = np.repeat(np.arange(len(run)), np.diff(occurring.indptr))
    parts = occurring.data / (occurring.data + norm[owners])
    if len(run.spoken) == 1:
        code = run.spoken[0]
        factors = np.array([clause.factors[code] for clause in clauses], dtype=np.float32)
        parts *= factors[occurring.indices]
    elif len(clauses):
        table = np.stack([clause.factors for clause in clauses])
        parts *= table[occurring.indices, run.languages[owners]]
    return np.bincount(owners, weights=parts, minlength=len(run)).astype(np.float32)


def score_rows(run: Run, norm: Scores, clauses: Sequence[Clause], rows: Rows) -> Scores:
    """The scores of some rows, from their own terms."""
    if not len(rows) or not clauses:
        return np.zeros(len(rows), dtype=np.float32)
    wanted = sorted(
        (number, place, weight)
        for place, clause in enumerate(clauses)
        for number, weight in clause.variants
    )
    numbers = np.array([number for number, _, _ in wanted], dtype=np.int32)
    places = np.array([place for _, place, _ in wanted], dtype=np.int64)
    weights = np.array([weight for _, _, weight in wanted], dtype=np.float32)
    owners, terms, counts = run.terms_of_rows(rows)
    first = numbers.searchsorted(terms)
    times = numbers.searchsorted(terms, side="right") - first
    hits = np.flatnonzero(times)
    times = times[hits]
    # A term may be a variant in several clauses: one entry for each of them.
    entry = np.repeat(hits, times)
    ends = np.cumsum(times)
    which = np.repeat(first[hits] - ends + times, times) + np.arange(len(entry))
    occurring = np.zeros((len(rows), len(clauses)), dtype=np.float32)
    np.add.at(occurring, (owners[entry], places[which]), weights[which] * counts[entry])
    factors = np.stack([clause.factors for clause in clauses])[:, run.languages[rows]].T
    parts = factors * occurring / (occurring + norm[rows, None])
    return np.asarray(parts.sum(axis=1), dtype=np.float32)


def _occurrences(
    run: Run, clause: Clause, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int32], Scores]:
    """The rows in which a clause occurs, each once, and how often by the variants' weights."""
    lists: list[tuple[NDArray[np.int32], Scores]] = []
    for number, weight in clause.variants:
        rows, counts = run.postings(number)
        if mask is not None and len(rows):
            keep = mask[rows]
            rows, counts = rows[keep], counts[keep]
        if len(rows):
            lists.append((rows, np.float32(weight) * counts))
    if not lists:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
    largest = max(range(len(lists)), key=lambda place: len(lists[place][0]))
    rows, occurring = lists.pop(largest)
    if not lists:
        return rows, occurring
    # The others are few beside the most frequent one, mostly.
    others = np.concatenate([one for one, _ in lists])
    amounts = np.concatenate([one for _, one in lists])
    order = np.argsort(others)
    others, amounts = others[order], amounts[order]
    starts = np.flatnonzero(np.concatenate([[True], others[1:] != others[:-1]]))
    others, amounts = others[starts], np.add.reduceat(amounts, starts)
    at = np.minimum(rows.searchsorted(others), len(rows) - 1)
    both = rows[at] == others
    occurring[at[both]] += amounts[both]
    return (
        np.concatenate([rows, others[~both]]),
        np.concatenate([occurring, amounts[~both]]),
    )


def _kth_best(scores: Scores, k: int, known: float) -> float:
    """The k-th best of some scores, or `known` if that is more."""
    better = scores[scores > known]
    if len(better) < k:
        return known
    return float(np.partition(better, len(better) - k)[len(better) - k])


def _add(
    scratch: Scores,
    run: Run,
    norm: Scores,
    clause: Clause,
    rows: NDArray[np.int32],
    occurring: Scores,
) -> Scores:
    """Add a clause's part to rows, each once; returns their sums until now."""
    wide = rows.astype(np.int64)  # once, not for each access
    part = norm.take(wide, mode="clip")
    part += occurring
    np.divide(occurring, part, out=part)
    part *= _factors(run, clause, wide)
    part += scratch.take(wide, mode="clip")
    scratch[wide] = part
    return part


def _add_looked_up(scratch: Scores, run: Run, norm: Scores, clause: Clause, rows: Rows) -> None:
    """Add a clause's part to some rows, ascending."""
    size = sum(len(run.postings(number)[0]) for number, _ in clause.variants)
    if len(rows) * len(clause.variants) * _LOOK_UP > size:
        wanted = np.zeros(len(scratch), dtype=np.bool_)
        wanted[rows] = True
        found, amounts = _occurrences(run, clause, wanted)
        _add(scratch, run, norm, clause, found, amounts)
        return
    occurring = np.zeros(len(rows), dtype=np.float32)
    for number, weight in clause.variants:
        held, counts = run.postings(number)
        if len(held):
            at = np.minimum(held.searchsorted(rows), len(held) - 1)
            occurring += np.where(held[at] == rows, np.float32(weight) * counts[at], 0)
    scratch[rows] += _factors(run, clause, rows) * occurring / (occurring + norm[rows])


def _factors(run: Run, clause: Clause, rows: Rows) -> Scores | np.float32:
    spoken = clause.factors[run.spoken]
    if len(spoken) and (spoken == spoken[0]).all():
        return np.float32(spoken[0])
    return clause.factors.take(run.languages.take(rows, mode="clip"), mode="clip")
