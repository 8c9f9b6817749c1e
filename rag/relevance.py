"""How likely the found passages answer the question: a number between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for the best passage of a question.

    `cosine` and `sentence` are its cosine and that of its best sentence, `lexical` and `coverage`
    its lexical score and the share of the question's idf mass that it holds. `margin` is how far
    its score stands above the mean of the next nine (0 if there are none). `terms` is how many
    terms the question has and `rarity` how rare they are (see `QueryProfile`): no passage holds all
    words of a long question, so the same scores mean more there. `foreign` says that the embedding
    model does not know the question's language.
    """

    cosine: float
    sentence: float
    lexical: float
    coverage: float
    margin: float
    terms: int = 0
    rarity: float = 0.0
    foreign: bool = False

    def features(self) -> tuple[float, ...]:
        return (
            self.cosine,
            self.sentence,
            self.lexical,
            self.coverage,
            self.margin,
            math.log1p(self.terms),
            self.rarity,
        )


# Intercept and a weight for each feature of `Evidence`: a logistic regression by
# `benchmarks.calibrate` on half of the questions of some public collections and of the golden ones.
WEIGHTS: Final = (-10.485, 3.917, 4.156, 2.143, 2.283, 0.225, 1.131, 4.493)
FOREIGN_WEIGHTS: Final = (-6.296, 0.000, 0.461, 3.883, 2.013, 7.910, 0.591, 2.978)
# At or above it an answer is grounded. Chosen from what `benchmarks.calibrate` prints: the highest
# that refuses about 5 % on no public collection; see docs/decisions/retrieval.md.
THRESHOLD: Final = 0.2

# How much less than the best hit a hit counts, in logits per point of its ranking score.
_SLOPE: Final = 2.0


def relevance(evidence: Evidence) -> float:
    """The probability that the best passage answers the question."""
    weights = FOREIGN_WEIGHTS if evidence.foreign else WEIGHTS
    logit = weights[0] + sum(
        weight * feature for weight, feature in zip(weights[1:], evidence.features(), strict=True)
    )
    return _logistic(logit)


def hit_scores(relevance: float, ranking: Sequence[float]) -> list[float]:
    """A score 0..1 for each hit: the relevance for the first, less for each that ranks lower.

    `ranking` are the hits' ranking scores, best first.
    """
    if not ranking:
        return []
    best = math.log(relevance / (1 - relevance)) if 0 < relevance < 1 else 40 * (2 * relevance - 1)
    return [relevance, *(_logistic(best - _SLOPE * (ranking[0] - score)) for score in ranking[1:])]


def _logistic(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, logit))))
