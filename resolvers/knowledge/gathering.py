"""Versions that become ready at about the same time, stored together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

from models.errors import is_unavailable
from resolvers.knowledge.storing import Stored, Superseded, Version

# A transaction holds up all others that write, so it takes no more than this. Passages; at least
# one version.
MOST: Final = 300
# While others are being prepared, a version waits so long for them. Seconds.
LINGER: Final = 0.25

_Waiting: TypeAlias = tuple[Version, asyncio.Future[None]]


class Gathering:
    """Stores versions in groups: each costs a dozen statements and a flush to the disk, however
    many versions there are in it.

    A version that comes alone is stored at once. If a group cannot be stored, each of its versions
    is tried alone, so that one fails for itself. What has begun ends, even if the callers are gone.
    """

    def __init__(self, store: Callable[[Sequence[Version]], Awaitable[Stored]]) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._preparing = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """A version is on its way: those that are ready wait for it a little."""
        self._preparing += 1
        try:
            yield
        finally:
            self._preparing -= 1
            self._changed.set()

    async def store(self, version: Version) -> None:
        """
        Raises:
            Superseded: see `Version`.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((version, future))
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="storing-versions")
        await future

    async def close(self) -> None:
        """Wait for what has begun."""
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        try:
            while self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER):
                        while self._preparing and not self._is_full():
                            self._changed.clear()
                            await self._changed.wait()
                if group := self._take():
                    await self._store_group(group)
        finally:
            self._task = None

    def _is_full(self) -> bool:
        return sum(len(version.prepared) for version, _ in self._waiting) >= MOST

    def _take(self) -> list[_Waiting]:
        """Versions of different documents that fit into one transaction."""
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        documents = set()
        passages = 0
        closed = False
        for version, future in self._waiting:
            if future.done():  # the caller was cancelled
                continue
            size = len(version.prepared)
            fits = not group or (
                version.within is None
                and group[0][0].within is None
                and passages + size <= MOST
                and version.document.id not in documents
            )
            if closed or not fits:
                # Of one document, what comes later must not go first.
                closed = True
                left.append((version, future))
                continue
            group.append((version, future))
            documents.add(version.document.id)
            passages += size
        self._waiting = left
        return group

    async def _store_group(self, group: Sequence[_Waiting]) -> None:
        try:
            stored = await self._store([version for version, _ in group])
        except Exception as error:
            if len(group) > 1 and not is_unavailable(error):
                for one in group:
                    await self._store_group([one])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for version, future in group:
            if version in stored.late:
                await self._store_group([(version, future)])
            elif not future.done():
                if version in stored.superseded:
                    future.set_exception(Superseded())
                else:
                    future.set_result(None)
