from __future__ import annotations

import pytest

from rag.evaluate.ranking import score_rankings
from rag.evaluate.statistics import Interval, bootstrap_mean, randomisation_test


def test_rankings_are_scored_as_trec_eval_does() -> None:
    """Grades are gains, the order given decides, and a question without documents scores 0."""
    scores = score_rankings(
        {"a": {"x": 2, "y": 1, "z": 0}, "b": {"x": 1}},
        {"a": ["y", "z", "x"], "b": []},
    )
    ideal, found = 2 + 1 / 1.584962500721156, 1 + 2 / 2
    assert scores["a"]["ndcg@10"] == pytest.approx(found / ideal)
    assert scores["a"]["recall@10"] == 1
    assert scores["a"]["mrr@10"] == 1
    assert scores["b"] == {"ndcg@10": 0, "recall@10": 0, "mrr@10": 0}


def test_only_ten_documents_count() -> None:
    """What comes eleventh is not found, though its id sorts first."""
    scores = score_rankings({"a": {"0": 1}}, {"a": [f"d{n}" for n in range(10)] + ["0"]})
    assert scores["a"] == {"ndcg@10": 0, "recall@10": 0, "mrr@10": 0}


def test_the_bootstrap_is_repeatable_and_holds_the_mean() -> None:
    """The same values give the same interval; equal values have none."""
    values = [0.0, 1.0] * 50
    interval = bootstrap_mean(values)
    assert interval == bootstrap_mean(values)
    assert interval.mean == 0.5
    # The standard error is 0.05, so the 95 % interval is about 0.5 ± 0.098.
    assert interval.low == pytest.approx(0.4, abs=0.02)
    assert interval.high == pytest.approx(0.6, abs=0.02)
    assert bootstrap_mean([0.25, 0.25]) == Interval(0.25, 0.25, 0.25)
    assert bootstrap_mean([0.75]) == Interval(0.75, 0.75, 0.75)


def test_the_randomisation_test_counts_sign_changes() -> None:
    """Of eight sign changes of three gains only two are as far from zero; equal runs give 1."""
    assert randomisation_test([1, 1, 1], [0, 0, 0]) == 0.25
    assert randomisation_test([0.5, 0.5], [0.5, 0.5]) == 1.0
    assert randomisation_test([1.0] * 40, [0.9] * 40) < 0.001
