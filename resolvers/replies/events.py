"""The events of a reply as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Started:
    """Always seq 1: question and reply are stored."""

    seq: int


@dataclass(frozen=True, slots=True)
class StoredHit:
    """A search hit as the log keeps it: the passage's text, not a pointer to it.

    Offsets count Unicode code points of the document's version that was searched.
    """

    document_id: str
    text: str
    headings: tuple[str, ...]
    start: int
    end: int
    score: float
    page: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "document": self.document_id,
            "text": self.text,
            "headings": list(self.headings),
            "start": self.start,
            "end": self.end,
            "score": self.score,
        } | ({} if self.page is None else {"page": self.page})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> StoredHit:
        return cls(
            document_id=value["document"],
            text=value["text"],
            headings=tuple(value["headings"]),
            start=value["start"],
            end=value["end"],
            score=value["score"],
            page=value.get("page"),
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """Seq 2, unless the reply ended before: what was found."""

    seq: int
    hits: tuple[StoredHit, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of text, never empty. The deltas joined are the reply's content."""

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event; the reply's row says how it ended."""

    seq: int


Event: TypeAlias = Started | Sources | Delta | Ended


def replay(
    content: str,
    *,
    sources: list[dict[str, Any]] | None,
    delta_ends: list[int],
    after: int,
) -> list[Event]:
    """The events after seq `after` of an ended reply, from its compact log.

    The order is fixed, so each seq follows from the position: Started is 1, Sources (if any) 2,
    then the deltas, then Ended.
    """
    events: list[Event] = []
    first_delta = 2 if sources is None else 3
    if after < 1:
        events.append(Started(1))
    if sources is not None and after < 2:
        events.append(Sources(2, tuple(StoredHit.from_json(hit) for hit in sources)))
    skipped = max(0, after - first_delta + 1)
    start = delta_ends[skipped - 1] if 0 < skipped <= len(delta_ends) else 0
    for index in range(skipped, len(delta_ends)):
        events.append(Delta(first_delta + index, content[start : delta_ends[index]]))
        start = delta_ends[index]
    last = first_delta + len(delta_ends)
    if after < last:
        events.append(Ended(last))
    return events
