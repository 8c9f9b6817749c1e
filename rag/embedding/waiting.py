"""Texts that wait to be embedded, by length."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rag.types import FloatMatrix

Progress = Callable[[int, int], None]


@dataclass(slots=True, eq=False)
class Request:
    """Texts that one caller waits for. `vectors`, `done` and `future` change on the event loop
    only; `vectors` has a row for each text."""

    texts: Sequence[str]
    future: asyncio.Future[FloatMatrix]
    vectors: FloatMatrix = field(repr=False)
    progress: Progress | None = None
    done: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Some texts of a request: rows of its `texts` and `vectors`."""

    request: Request
    rows: list[int]

    @property
    def texts(self) -> list[str]:
        return [self.request.texts[row] for row in self.rows]


class WaitingPassages:
    """Passages of all requests together, so that a batch has texts of like length even where each
    document has only a few. Requests take turns, so a long document does not hold up short ones.

    Not thread-safe: its owner holds a lock.
    """

    def __init__(self) -> None:
        # (length, number of the request, row), ascending
        self._texts: list[tuple[int, int, int]] = []
        self._requests: dict[int, Request] = {}
        self._rows: dict[int, set[int]] = {}
        self._turns: deque[int] = deque()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._texts)

    def add(self, request: Request) -> None:
        number = self._count
        self._count += 1
        self._requests[number] = request
        self._rows[number] = set(range(len(request.texts)))
        self._turns.append(number)
        self._texts += [(len(text), number, row) for row, text in enumerate(request.texts)]
        self._texts.sort()  # two sorted runs, nearly: cheap

    def take(self, limit: int) -> list[Part]:
        """A text of the request whose turn it is and those nearest to it in length, of all
        requests, at most `limit` together; empty if nobody waits."""
        self._drop_abandoned()
        if not self._turns:
            return []
        number = self._turns[0]
        self._turns.rotate(-1)
        row = min(self._rows[number])
        place = bisect_left(self._texts, (len(self._requests[number].texts[row]), number, row))
        start, end = self._around(place, limit)
        taken: dict[int, list[int]] = {}
        for _, owner, its_row in self._texts[start:end]:
            taken.setdefault(owner, []).append(its_row)
            self._rows[owner].discard(its_row)
        del self._texts[start:end]
        parts = [Part(self._requests[owner], rows) for owner, rows in taken.items()]
        for owner in taken:
            if not self._rows[owner]:
                self._forget(owner)
        return parts

    def clear(self) -> Iterator[Request]:
        """Forget all requests; yields them."""
        yield from self._requests.values()
        self._requests.clear()
        self._rows.clear()
        self._texts.clear()
        self._turns.clear()

    def _around(self, place: int, limit: int) -> tuple[int, int]:
        length = self._texts[place][0]
        start, end = place, place + 1
        while end - start < limit:
            below = length - self._texts[start - 1][0] if start > 0 else None
            above = self._texts[end][0] - length if end < len(self._texts) else None
            if below is None and above is None:
                break
            if above is None or (below is not None and below <= above):
                start -= 1
            else:
                end += 1
        return start, end

    def _drop_abandoned(self) -> None:
        """Forget requests whose callers were cancelled or have got an error."""
        gone = [number for number, request in self._requests.items() if request.future.done()]
        if gone:
            self._texts = [entry for entry in self._texts if entry[1] not in gone]
            for number in gone:
                self._forget(number)

    def _forget(self, number: int) -> None:
        del self._requests[number], self._rows[number]
        self._turns.remove(number)
