"""How well relevance tells questions that can be answered from those that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rag.evaluate.measures import auroc

# The rate of false refusals at which systems are compared, whatever their thresholds.
REFERENCE_REFUSALS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Judged:
    """What was decided about a question: its relevance (0..1), and whether it was answered."""

    relevance: float
    grounded: bool


@dataclass(frozen=True, slots=True)
class Abstention:
    """`auroc` is the chance that an answerable question has the higher relevance. The rates are
    0..1: `false_refusals` of the answerable, `caught` of the unanswerable questions at the default
    threshold; `caught_at_reference` is the second at the threshold where the first is 5 %."""

    answerable: int
    unanswerable: int
    auroc: float
    false_refusals: float
    caught: float
    caught_at_reference: float


def measure_abstention(
    answerable: Sequence[Judged], unanswerable: Sequence[Judged]
) -> Abstention | None:
    """None if one of the two kinds is missing."""
    if not answerable or not unanswerable:
        return None
    known = [one.relevance for one in answerable]
    unknown = [one.relevance for one in unanswerable]
    limit = float(np.quantile(known, REFERENCE_REFUSALS))
    return Abstention(
        answerable=len(known),
        unanswerable=len(unknown),
        auroc=auroc(known, unknown),
        false_refusals=sum(not one.grounded for one in answerable) / len(known),
        caught=sum(not one.grounded for one in unanswerable) / len(unknown),
        caught_at_reference=sum(score < limit for score in unknown) / len(unknown),
    )
