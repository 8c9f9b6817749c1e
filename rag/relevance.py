"""How well a found passage supports an answer, and how likely it does: a number between 0 and 1."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rag.index.knowledge import Candidate
from rag.types import FloatMatrix

# support = cosine + 0.75 * lexical + (cosine of the passage's best sentence). The last term
# finds the one sentence that answers in a passage about several matters.
SENTENCE_WEIGHT: Final = 1.0

# relevance = 1 / (1 + exp(-(INTERCEPT + SLOPE * support))): Platt's scaling of the support. Both
# numbers and the threshold were written by `python -m benchmarks.calibrate`, which sees the
# development half of the golden questions only.
INTERCEPT: Final = -1.791
SLOPE: Final = 1.642
# At or above it an answer is grounded.
THRESHOLD: Final = 0.370


def support(candidate: Candidate, best_sentence: float) -> float:
    """What hits are ordered by; `best_sentence` is the cosine of the passage's best sentence."""
    return candidate.fused + SENTENCE_WEIGHT * best_sentence


def relevance(support: float) -> float:
    """The probability that a passage with this support answers the question."""
    logit = INTERCEPT + SLOPE * support
    return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, logit))))


def best_sentence_cosine(query_vector: FloatMatrix, sentence_vectors: FloatMatrix) -> float:
    """The highest cosine of a passage's sentences with the question; 0 without sentences."""
    if not len(sentence_vectors):
        return 0.0
    return float(np.max(sentence_vectors @ query_vector))
