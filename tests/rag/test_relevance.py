from __future__ import annotations

from dataclasses import replace

import pytest

from rag.relevance import FOREIGN_WEIGHTS, WEIGHTS, Evidence, hit_scores, relevance

STRONG = Evidence(
    cosine=0.8, sentence=0.8, lexical=0.7, coverage=1.0, margin=0.6, terms=5, rarity=0.7
)
WEAK = Evidence(
    cosine=0.1, sentence=0.1, lexical=0.0, coverage=0.0, margin=0.0, terms=5, rarity=0.7
)


def test_relevance_grows_with_the_evidence_within_bounds() -> None:
    """No evidence speaks against an answer, in a known language as in a foreign one."""
    assert min(WEIGHTS[1:]) >= 0
    assert min(FOREIGN_WEIGHTS[1:]) >= 0
    for foreign in (False, True):
        low = relevance(replace(WEAK, foreign=foreign))
        high = relevance(replace(STRONG, foreign=foreign))
        assert 0 < low < 0.3 < 0.7 < high < 1


def test_relevance_is_the_logistic_function_of_the_evidence() -> None:
    """At the point where the logit is 0 it is one half, also far outside it stays in bounds."""
    cosine = -WEIGHTS[0] / WEIGHTS[1] if WEIGHTS[1] else 0.0
    assert relevance(Evidence(cosine, 0, 0, 0, 0)) == pytest.approx(0.5)
    assert 0 < relevance(Evidence(-1e9, 0, 0, 0, 0)) < relevance(Evidence(1e9, 0, 0, 0, 0)) <= 1


def test_hits_score_less_the_lower_they_rank() -> None:
    """The first hit has the question's relevance; others fall with their ranking score."""
    scores = hit_scores(0.6, [1.5, 1.5, 1.0, 0.2])
    assert scores[:2] == [0.6, pytest.approx(0.6)]
    assert scores[2] == pytest.approx(1.5 / (1.5 + 2.718281828))
    assert scores == sorted(scores, reverse=True)
    assert hit_scores(0.6, []) == []
    assert hit_scores(1.0, [1.0, 0.9]) == [1.0, pytest.approx(1.0)]
