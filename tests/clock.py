"""A clock that tests set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class SettableClock:
    """Stands still until `forward` is called."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def forward(self, **duration: float) -> None:
        self.time += timedelta(**duration)


class RunningClock(SettableClock):
    """Moves on by a microsecond whenever it is read, as a real clock does between two requests."""

    def now(self) -> datetime:
        self.forward(microseconds=1)
        return self.time
