"""How likely a found passage answers the question: a calibrated number between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from rag.index.knowledge import Candidate
from rag.types import FloatMatrix

# Logistic regression over the features below, in their order. Written by
# `python -m benchmarks.calibrate`, which sees the development half of the golden questions only.
INTERCEPT: Final = -6.5
COEFFICIENTS: Final = (4.0, 4.0, 2.0, 3.0)
# At or above it an answer is grounded.
THRESHOLD: Final = 0.5


def features(candidate: Candidate, sentence_cosine: float) -> tuple[float, ...]:
    """cosine, lexical score, coverage of the question's rare words, cosine of the best sentence."""
    return (candidate.cosine, candidate.lexical, candidate.coverage, sentence_cosine)


def relevance(values: Sequence[float]) -> float:
    """The logistic function of the weighted features, 0..1."""
    logit = INTERCEPT + sum(
        weight * value for weight, value in zip(COEFFICIENTS, values, strict=True)
    )
    return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, logit))))


def best_sentence_cosine(query_vector: FloatMatrix, sentence_vectors: FloatMatrix) -> float:
    """The highest cosine of a passage's sentences with the question; 0 without sentences."""
    if not len(sentence_vectors):
        return 0.0
    return float(np.max(sentence_vectors @ query_vector))
