"""How many documents are read, cut and embedded at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

T = TypeVar("T")

# So many that the model always finds texts of like length, while others are read, cut and stored.
AT_ONCE: Final = 32
# With its vectors, a text takes some 30 times its size: long ones wait for each other, and short
# ones, which may be many, for none of them. Bytes or characters.
LONG: Final = 100_000
_LONG_AT_ONCE: Final = 2


class Lanes:
    """Bounds what is in memory of documents on their way: `AT_ONCE` short ones and two long ones,
    whether they were sent or lie in the folder."""

    def __init__(self) -> None:
        self._short = asyncio.Semaphore(AT_ONCE)
        self._long = asyncio.Semaphore(_LONG_AT_ONCE)

    @asynccontextmanager
    async def lane(self, size: int) -> AsyncIterator[Lane]:
        """A place for a document of this size; to be held until it is stored."""
        lane = Lane(self._long)
        # Long ones have no place among the short ones, which would soon be full of them.
        if size <= LONG:
            async with self._short:
                try:
                    yield lane
                finally:
                    lane.leave()
            return
        await lane.widen(size)
        try:
            yield lane
        finally:
            lane.leave()


class Lane:
    """A document's place."""

    def __init__(self, long: asyncio.Semaphore) -> None:
        self._long = long
        self._is_long = False

    async def widen(self, size: int) -> None:
        """The document turns out to be of this size: wait until there is room for it."""
        if size > LONG and not self._is_long:
            await self._long.acquire()
            self._is_long = True

    def leave(self) -> None:
        if self._is_long:
            self._long.release()


async def in_parallel(work: Callable[[T], Awaitable[None]], things: Iterable[T]) -> None:
    """Do something with each of many things: as many at once as there are lanes, and a few, so that
    the next are at hand. The first error ends the rest."""
    waiting = iter(things)

    async def take() -> None:
        for thing in waiting:
            await work(thing)

    tasks = [asyncio.create_task(take()) for _ in range(AT_ONCE + AT_ONCE // 4)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
