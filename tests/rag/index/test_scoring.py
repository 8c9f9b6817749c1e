from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.index import scoring
from rag.index.postings import Run
from rag.index.scoring import Clause, best_rows, score_rows

# Passages are lists of terms 0..9, where low ones are common; each has one of three languages.
PASSAGES = st.lists(
    st.lists(st.integers(0, 9).map(lambda term: term * term // 9), max_size=12),
    min_size=1,
    max_size=40,
)
CLAUSES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 11), min_size=1, max_size=3, unique=True),
        st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.6]), min_size=3, max_size=3),
    ),
    max_size=6,
)


def run_of(passages: list[list[int]]) -> Run:
    return Run.of(range(len(passages)), [row % 3 for row in range(len(passages))], passages)


def clauses_of(drawn: list[tuple[list[int], list[float]]]) -> list[Clause]:
    made = []
    for numbers, weights in drawn:
        factors = np.zeros(256, dtype=np.float32)
        factors[:3] = weights
        variants = tuple((number, 1.0 / (1 + place)) for place, number in enumerate(numbers))
        made.append(Clause(variants, factors))
    return made


def exhaustive(
    passages: list[list[int]], norm: list[float], drawn: list[tuple[list[int], list[float]]]
) -> list[float]:
    """The formula, written out."""
    scores = []
    for row, terms in enumerate(passages):
        score = 0.0
        for numbers, weights in drawn:
            occurring = sum(terms.count(number) / (1 + at) for at, number in enumerate(numbers))
            score += weights[row % 3] * occurring / (occurring + norm[row])
        scores.append(score)
    return scores


@settings(deadline=None, max_examples=60)
@given(PASSAGES, CLAUSES, st.integers(1, 5), st.none() | st.sets(st.integers(0, 39)))
def test_the_best_rows_are_those_of_scoring_all(
    passages: list[list[int]],
    drawn: list[tuple[list[int], list[float]]],
    k: int,
    chosen: set[int] | None,
) -> None:
    """However many clauses are skipped, the k best rows and their scores are the true ones, and
    what ties with the last of them is there; nothing is left behind for the next query."""
    run = run_of(passages)
    norm = np.linspace(0.6, 2.0, len(passages), dtype=np.float32)
    scratch = np.zeros(len(passages), dtype=np.float32)
    mask = None if chosen is None else np.isin(np.arange(len(passages)), list(chosen))
    true = np.array(exhaustive(passages, norm.tolist(), drawn))
    if mask is not None:
        true = np.where(mask, true, 0)
    for few, look_up in ((scoring.ALL, 8), (0, 8), (0, 0)):
        with pytest.MonkeyPatch.context() as patch:
            # All at once, or either way of completing what is left: one by one, or by the whole
            # list.
            patch.setattr(scoring, "ALL", few)
            patch.setattr(scoring, "_LOOK_UP", look_up)
            rows, scores = best_rows(run, norm, clauses_of(drawn), k, mask=mask, scratch=scratch)
        assert not scratch.any()
        assert len(set(rows.tolist())) == len(rows)
        np.testing.assert_allclose(scores, true[rows], atol=1e-5)
        best = np.sort(true[true > 0])[::-1][:k]
        np.testing.assert_allclose(np.sort(scores)[::-1][:k], best, atol=1e-5)
        if len(best) == k:
            assert set(np.flatnonzero(true > best[-1] + 1e-5)) <= set(rows.tolist())


@settings(deadline=None, max_examples=40)
@given(PASSAGES, CLAUSES)
def test_rows_are_scored_from_their_own_terms(
    passages: list[list[int]], drawn: list[tuple[list[int], list[float]]]
) -> None:
    """The same scores, for any rows in any order."""
    run = run_of(passages)
    norm = np.linspace(0.6, 2.0, len(passages), dtype=np.float32)
    rows = np.arange(len(passages))[::-1]
    np.testing.assert_allclose(
        score_rows(run, norm, clauses_of(drawn), rows),
        np.array(exhaustive(passages, norm.tolist(), drawn), dtype=np.float32)[::-1],
        atol=1e-5,
    )


def test_common_terms_are_not_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they cannot change who is among the best, only the best are looked up in them."""
    rare, common = 1, 0
    run = Run.of(range(1000), [0] * 1000, [[common] + [rare] * (row < 9) for row in range(1000)])
    factors = np.zeros((2, 256), dtype=np.float32)
    factors[:, 0] = (0.1, 0.9)
    clauses = [Clause(((number, 1.0),), factors[number]) for number in (common, rare)]
    added: list[int] = []
    add = scoring._add

    def record(*arguments: object) -> object:
        added.append(len(arguments[4]))  # type: ignore[arg-type]
        return add(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "_add", record)
    monkeypatch.setattr(scoring, "ALL", 0)
    norm, scratch = np.ones(1000, dtype=np.float32), np.zeros(1000, dtype=np.float32)
    rows, scores = best_rows(run, norm, clauses, 4, mask=None, scratch=scratch)
    assert added == [9]
    assert sorted(rows.tolist()) == list(range(9))
    np.testing.assert_allclose(scores, 0.5, atol=1e-6)
