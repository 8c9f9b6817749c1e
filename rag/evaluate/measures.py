"""Measures of retrieval and of abstention, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """The share of questions whose answer is among the first k; a rank counts from 1."""
    if not ranks:
        return float("nan")
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """The mean of 1 / rank, 0 for a question whose answer was not found."""
    if not ranks:
        return float("nan")
    return sum(1 / rank for rank in ranks if rank is not None) / len(ranks)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The probability that a positive scores higher than a negative, ties counting half.

    It is the area under the ROC curve, computed as the Mann-Whitney statistic.
    """
    if not positive or not negative:
        return float("nan")
    high = np.asarray(positive, dtype=np.float64)[:, None]
    low = np.asarray(negative, dtype=np.float64)[None, :]
    return float(((high > low) + 0.5 * (high == low)).mean())
