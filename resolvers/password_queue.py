"""Who may wait for a password to be hashed: so many, and no more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from resolvers.errors import RateLimited
from texts import counted

MOST: Final = 512
# A flood from one network leaves room for everybody else.
MOST_OF_NETWORK: Final = 256
# What a hash takes until one was measured; and how much a new measure counts. Seconds, and a part.
_FIRST_GUESS: Final = 0.1
_WEIGHT: Final = 0.1


class PasswordQueue:
    """Counts those who wait or are served. Whoever comes when all places are taken is told at once
    how long that queue takes, and costs nothing else. For one event loop."""

    def __init__(
        self, *, workers: int, most: int = MOST, most_of_network: int = MOST_OF_NETWORK
    ) -> None:
        self._workers = workers
        self._most = most
        self._most_of_network = most_of_network
        self._taken: Counter[str] = Counter()
        self._seconds = _FIRST_GUESS

    @property
    def waiting(self) -> int:
        """Places that are taken."""
        return self._taken.total()

    @contextmanager
    def place(self, network: str) -> Iterator[None]:
        """A place until the block ends, for somebody from this network.

        Raises:
            RateLimited: all are taken, or all that one network may have.
        """
        if self.waiting >= self._most or self._taken[network] >= self._most_of_network:
            seconds = max(1, math.ceil(self.waiting * self._seconds / self._workers))
            raise RateLimited(
                counted(
                    "Too many people are logging in now; wait one second.",
                    "Too many people are logging in now; wait {seconds} seconds.",
                    seconds=seconds,
                ),
                retry_after_seconds=seconds,
            )
        self._taken[network] += 1
        try:
            yield
        finally:
            self._taken[network] -= 1
            if not self._taken[network]:
                del self._taken[network]

    def took(self, seconds: float) -> None:
        """A hash took so long; the next estimate knows it."""
        self._seconds += _WEIGHT * (seconds - self._seconds)
