"""Whether figures got worse than those that were written down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rag.evaluate.golden import GoldenResult

# Of these, less is better.
_COSTS: Final = frozenset({"false_refusals"})
_EPSILON: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Drop:
    """A figure that is worse than the baseline allows; None: it is missing now."""

    name: str
    measure: str
    before: float
    now: float | None
    tolerance: float

    def __str__(self) -> str:
        found = "missing" if self.now is None else f"{self.now:.4f}"
        return (
            f"{self.name}: {self.measure} was {self.before:.4f} and is {found} "
            f"(tolerance {self.tolerance:g})."
        )


def golden_summary(results: Sequence[GoldenResult]) -> dict[str, dict[str, float | None]]:
    """The figures of each split, null where there is nothing to measure."""
    return {
        one.name: {
            "recall@1": _number(one.recall_at_1),
            "recall@5": _number(one.recall_at_5),
            "mrr": _number(one.mrr),
            "citation_precision": _number(one.citation_precision),
            "supported_answers": _number(one.supported),
            "abstention_auroc": one.abstention.auroc if one.abstention else None,
            "false_refusals": one.abstention.false_refusals if one.abstention else None,
            "caught_unanswerable": one.abstention.caught if one.abstention else None,
        }
        for one in results
    }


def find_drops(
    baseline: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, Mapping[str, Any]],
    *,
    tolerance: float,
) -> list[Drop]:
    """Each figure of the baseline that is missing now, or worse by more than the tolerance."""
    drops = []
    for name, measures in baseline.items():
        for measure, before in measures.items():
            if not isinstance(before, int | float):
                continue
            now = figures.get(name, {}).get(measure)
            if now is not None:
                worse = now - before if measure in _COSTS else before - now
                if worse <= tolerance + _EPSILON:
                    continue
            drops.append(Drop(name, measure, float(before), now, tolerance))
    return drops


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
