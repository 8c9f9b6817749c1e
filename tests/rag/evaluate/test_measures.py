from __future__ import annotations

import math

import pytest

from rag.evaluate import auroc, mean_reciprocal_rank, recall_at


def test_recall_and_reciprocal_rank() -> None:
    """A rank counts from 1; what was not found counts nothing."""
    ranks = [1, 2, None, 6]
    assert recall_at(ranks, 1) == 0.25
    assert recall_at(ranks, 5) == 0.5
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 + 1 / 2 + 1 / 6) / 4)
    assert math.isnan(recall_at([], 1))
    assert math.isnan(mean_reciprocal_rank([]))


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    """Ties count half; without pairs there is no figure."""
    assert auroc([3.0, 2.0], [1.0, 2.0]) == 0.875
    assert math.isnan(auroc([], [1.0]))
