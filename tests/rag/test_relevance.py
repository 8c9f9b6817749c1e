from __future__ import annotations

import numpy as np
import pytest

from rag.index.knowledge import Candidate
from rag.relevance import INTERCEPT, SLOPE, best_sentence_cosine, relevance, support


def test_relevance_grows_with_support_within_bounds() -> None:
    """It is the logistic function of the support, also far outside."""
    assert relevance(-INTERCEPT / SLOPE) == pytest.approx(0.5)
    values = [relevance(value) for value in (-1e6, 0.0, 0.5, 1.5, 1e6)]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] <= 1


def test_support_adds_the_best_sentence() -> None:
    """The cosine of the best sentence counts fully; a passage without sentences gets none."""
    candidate = Candidate(1, cosine=0.4, lexical=0.4, coverage=1.0, fused=0.7)
    vectors = np.eye(3, dtype=np.float32)
    query = np.array([0.6, 0.8, 0.0], dtype=np.float32)
    best = best_sentence_cosine(query, vectors)
    assert best == pytest.approx(0.8)
    assert support(candidate, best) == pytest.approx(1.5)
    assert best_sentence_cosine(query, np.zeros((0, 3), dtype=np.float32)) == 0.0
