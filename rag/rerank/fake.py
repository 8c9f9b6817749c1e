"""A deterministic reranker for tests: the share of the query's words that a passage has."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


class FakeReranker:
    """`calls` records the query and the passages of each call."""

    name = "fake"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.calls.append((query, tuple(passages)))
        wanted = set(_WORD.findall(query.lower()))
        return [
            len(wanted & set(_WORD.findall(passage.lower()))) / max(1, len(wanted))
            for passage in passages
        ]
