"""What happens in a session, told to everyone who follows it in this process."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID


@dataclass(frozen=True, slots=True)
class MessageAdded:
    message_id: UUID


@dataclass(frozen=True, slots=True)
class MessageChanged:
    message_id: UUID


@dataclass(frozen=True, slots=True)
class ParticipantsChanged:
    pass


SessionEvent: TypeAlias = MessageAdded | MessageChanged | ParticipantsChanged


class SessionBus:
    """Publish only after the commit of what an event tells: a write and its event become visible
    together. An event names rows and holds none, so a reader sees them as they are then."""

    def __init__(self) -> None:
        self._readers: defaultdict[UUID, set[_Reader]] = defaultdict(set)

    def publish(self, session_id: UUID, event: SessionEvent) -> None:
        """Tell everyone who follows the session."""
        for reader in self._readers.get(session_id, ()):
            reader.add(event)

    async def follow(self, session_id: UUID) -> AsyncGenerator[SessionEvent, None]:
        """What happens from now on. Closing the generator ends the reading."""
        reader = _Reader()
        self._readers[session_id].add(reader)
        try:
            while True:
                yield await reader.next()
        finally:
            self._readers[session_id].discard(reader)
            if not self._readers[session_id]:
                del self._readers[session_id]


class _Reader:
    """The events that one reader has not taken yet; an event that waits already is not added again,
    so a slow reader's memory is bounded by the session's messages."""

    def __init__(self) -> None:
        self._waiting: deque[SessionEvent] = deque()
        self._wake = asyncio.Event()

    def add(self, event: SessionEvent) -> None:
        if event not in self._waiting:
            self._waiting.append(event)
        self._wake.set()

    async def next(self) -> SessionEvent:
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()
