"""Runs of an inverted index in NumPy arrays: small ones are appended, and merged as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rag.index.base import Ids

Terms = NDArray[np.int32]
Counts = NDArray[np.uint16]  # as many words no passage has

_MOST = np.iinfo(np.uint16).max


class Run:
    """Passages of one batch, read-only except that they can be struck out.

    Row `r` is the passage `ids[r]` (ascending). Its terms are
    `forward_terms[forward_starts[r]:forward_starts[r + 1]]`, with `forward_counts`. The other way
    round, the rows that hold the term `terms[t]` are `rows[starts[t]:starts[t + 1]]`, ascending,
    with `counts`.
    """

    def __init__(
        self,
        ids: Ids,
        languages: NDArray[np.uint8],
        forward_starts: NDArray[np.int64],
        forward_terms: Terms,
        forward_counts: Counts,
    ) -> None:
        self.ids = ids
        self.languages = languages
        self.forward_starts = forward_starts
        self.forward_terms = forward_terms
        self.forward_counts = forward_counts
        self.alive = np.ones(len(ids), dtype=np.bool_)
        self.all_alive = True
        self.spoken = np.unique(languages)
        width = int(forward_terms.max()) + 1 if len(forward_terms) else 1
        forward = sparse.csr_matrix(
            (forward_counts, forward_terms, forward_starts), shape=(len(ids), width)
        )
        self.lengths = np.asarray(
            np.diff(np.append(0, np.cumsum(forward_counts, dtype=np.int64))[forward_starts]),
            dtype=np.float32,
        )
        turned = forward.tocsc()
        self.terms: Terms = np.flatnonzero(np.diff(turned.indptr)).astype(np.int32)
        self.starts = np.append(turned.indptr[self.terms], turned.indptr[-1]).astype(np.int64)
        # Where a term's rows start, by its number: as long as the vocabulary, so not in small runs.
        self._direct = turned.indptr if len(forward_terms) * 4 >= width else None
        self.rows: NDArray[np.int32] = turned.indices.astype(np.int32, copy=False)
        self.counts: Counts = turned.data.astype(np.uint16, copy=False)

    @classmethod
    def of(
        cls, ids: Sequence[int], languages: Sequence[int], passages: Sequence[Sequence[int]]
    ) -> Run:
        """A run of new passages, whose ids are distinct; `passages` are the numbers of their terms,
        as often as each occurs."""
        order = np.argsort(np.array(ids, dtype=np.int64), kind="stable")
        starts = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(passages[place]) for place in order], out=starts[1:])
        terms = np.fromiter(
            (number for place in order for number in passages[place]),
            dtype=np.int32,
            count=int(starts[-1]),
        )
        width = int(terms.max()) + 1 if len(terms) else 1
        counted = sparse.csr_matrix(
            (np.ones(len(terms), dtype=np.float32), terms, starts), shape=(len(ids), width)
        )
        counted.sum_duplicates()
        return cls(
            np.array(ids, dtype=np.int64)[order],
            np.array(languages, dtype=np.uint8)[order],
            counted.indptr.astype(np.int64),
            counted.indices.astype(np.int32, copy=False),
            np.minimum(counted.data, _MOST).astype(np.uint16),
        )

    @classmethod
    def merged(cls, runs: Sequence[Run]) -> Run:
        """What is alive in several runs, as one."""
        ids = np.concatenate([run.ids[run.alive] for run in runs])
        languages = np.concatenate([run.languages[run.alive] for run in runs])
        sizes = np.concatenate([np.diff(run.forward_starts)[run.alive] for run in runs])
        first = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
        kept = [np.repeat(run.alive, np.diff(run.forward_starts)) for run in runs]
        terms = np.concatenate(
            [run.forward_terms[mask] for run, mask in zip(runs, kept, strict=True)]
        )
        counts = np.concatenate(
            [run.forward_counts[mask] for run, mask in zip(runs, kept, strict=True)]
        )
        order = np.argsort(ids, kind="stable")
        sizes = sizes[order]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        # Where each entry of the new order comes from.
        source = np.arange(starts[-1]) + np.repeat(first[order] - starts[:-1], sizes)
        return cls(ids[order], languages[order], starts, terms[source], counts[source])

    def __len__(self) -> int:
        return len(self.ids)

    def postings(self, term: int) -> tuple[NDArray[np.int32], Counts]:
        """The rows that hold a term, struck out ones too, and how often."""
        if self._direct is not None:
            if term + 1 >= len(self._direct):
                return self.rows[:0], self.counts[:0]
            span = slice(self._direct[term], self._direct[term + 1])
        else:
            place = int(self.terms.searchsorted(term))
            if place == len(self.terms) or self.terms[place] != term:
                return self.rows[:0], self.counts[:0]
            span = slice(self.starts[place], self.starts[place + 1])
        return self.rows[span], self.counts[span]

    def postings_of(self, terms: Terms) -> tuple[NDArray[np.int64], NDArray[np.int32], Counts]:
        """`postings` of several terms, one behind the other, with the place in `terms` that each
        entry belongs to."""
        if self._direct is not None:
            known = np.minimum(terms, len(self._direct) - 2)
            starts = self._direct[known].astype(np.int64)
            sizes = np.where(terms == known, self._direct[known + 1] - starts, 0)
        else:
            at = np.minimum(self.terms.searchsorted(terms), max(0, len(self.terms) - 1))
            found = self.terms[at] == terms if len(self.terms) else np.zeros(len(terms), np.bool_)
            starts = self.starts[at]
            sizes = np.where(
                found, self.starts[np.minimum(at + 1, len(self.starts) - 1)] - starts, 0
            )
        ends = np.cumsum(sizes)
        places = np.repeat(starts - ends + sizes, sizes) + np.arange(int(sizes.sum()))
        return np.repeat(np.arange(len(terms)), sizes), self.rows[places], self.counts[places]

    def count_postings(self, terms: Terms) -> int:
        """How many entries `postings_of` gives."""
        if self._direct is not None:
            known = terms[terms < len(self._direct) - 1]
            return int((self._direct[known + 1] - self._direct[known]).sum())
        at = np.minimum(self.terms.searchsorted(terms), max(0, len(self.terms) - 1))
        found = at[self.terms[at] == terms] if len(self.terms) else at[:0]
        return int((self.starts[found + 1] - self.starts[found]).sum())

    def rows_of(self, ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The row of each id, and whether it is here and alive (else the row means nothing)."""
        rows = np.minimum(np.searchsorted(self.ids, ids), max(0, len(self.ids) - 1))
        if not len(self.ids):
            return rows, np.zeros(len(ids), dtype=np.bool_)
        return rows, (self.ids[rows] == ids) & self.alive[rows]

    def strike_out(self, rows: NDArray[np.int64]) -> None:
        self.alive[rows] = False
        self.all_alive = False

    def snapshot(self) -> Run:
        """The same run, in which what is struck out from now on stays."""
        twin = copy(self)
        twin.alive = self.alive.copy()
        return twin

    def holds(self, term: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some rows hold a term."""
        held, _ = self.postings(term)
        if not len(held):
            return np.zeros(len(rows), dtype=np.bool_)
        places = np.minimum(held.searchsorted(rows), len(held) - 1)
        return np.asarray(held[places] == rows, dtype=np.bool_)

    def terms_of(self, row: int) -> Terms:
        return self.forward_terms[self.forward_starts[row] : self.forward_starts[row + 1]]

    def terms_of_rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Terms, Counts]:
        """The terms of several rows, with the place in `rows` that each belongs to."""
        starts = self.forward_starts[rows]
        sizes = self.forward_starts[rows + 1] - starts
        ends = np.cumsum(sizes)
        places = np.repeat(starts - ends + sizes, sizes) + np.arange(int(sizes.sum()))
        owners = np.repeat(np.arange(len(rows)), sizes)
        return owners, self.forward_terms[places], self.forward_counts[places]
