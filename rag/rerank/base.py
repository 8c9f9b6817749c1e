"""The port of a reranking model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """Scores passages for a query. Synchronous and CPU-bound: never call it on the event loop, nor
    from two threads at a time."""

    @property
    def name(self) -> str:
        """What people call the model."""

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """A number for each passage, higher for a better one, of any range."""
