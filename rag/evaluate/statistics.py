"""How sure a figure is, and whether two runs differ. Importing it imports scipy.stats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

RESAMPLES: Final = 9_999
CONFIDENCE: Final = 0.95
_SEED: Final = 20_100


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: Sequence[float]) -> Interval:
    """The mean and its 95 % interval by the percentile bootstrap over questions.

    The same values give the same interval. Of a single value the interval is that value.
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2 or np.all(array == array[0]):
        return Interval(mean, mean, mean)
    result = stats.bootstrap(
        (array,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        batch=max(1, 2_000_000 // len(array)),
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(mean, float(result.low), float(result.high))


def randomisation_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of Fisher's paired randomisation test on the difference of means.

    It is the test that Smucker, Allan and Carterette recommend in "A Comparison of Statistical
    Significance Tests for Information Retrieval Evaluation" (2007). With few pairs all sign changes
    are tried, else 9,999 random ones, always the same. Pairs that are all equal give 1.
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if len(differences) < 2 or not np.any(differences):
        return 1.0
    result = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        batch=max(1, 2_000_000 // len(differences)),
        rng=np.random.default_rng(_SEED),
    )
    return float(result.pvalue)
