"""What happens in a session, told to everyone who follows it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

from resolvers.errors import RateLimited

# A reader that is this far behind has lost touch: its stream ends with an error, and it reads the
# session anew. About 200 kB at most.
MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class MessageAdded:
    """`author_id` ends that person's typing; None for a reply."""

    message_id: UUID
    author_id: UUID | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class MessageChanged:
    message_id: UUID


@dataclass(frozen=True, slots=True)
class ParticipantsChanged:
    """Somebody joined, left, or got another role: whoever left loses the streams at once."""


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """What all participants share: the title, the branch that is shown, a setting. Not what each
    keeps for themselves."""


@dataclass(frozen=True, slots=True)
class SessionDeleted:
    """All streams of the session end."""


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    pass


@dataclass(frozen=True, slots=True)
class TypingChanged:
    user_id: UUID


@dataclass(frozen=True, slots=True)
class ReadChanged:
    user_id: UUID


SessionEvent: TypeAlias = (
    MessageAdded
    | MessageChanged
    | ParticipantsChanged
    | SessionChanged
    | SessionDeleted
    | PresenceChanged
    | TypingChanged
    | ReadChanged
)
Listener: TypeAlias = Callable[[UUID, SessionEvent], None]


class Relay(Protocol):
    """Carries events to the other servers on the same database, and theirs to `SessionBus.deliver`.

    Who is present and typing would need more than this: each server knows its own sockets only.
    """

    def send(self, session_id: UUID, event: SessionEvent) -> None:
        """Take an event that happened here. Neither waits nor raises."""


class SessionBus:
    """Publish only after the commit of what an event tells: a write and its event become visible
    together. An event names rows and holds none, so a reader sees them as they are then."""

    def __init__(self, relay: Relay | None = None) -> None:
        self._relay = relay
        self._readers: defaultdict[UUID, set[SessionReader]] = defaultdict(set)
        self._listeners: list[Listener] = []
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def publish(self, session_id: UUID, event: SessionEvent) -> None:
        """Tell everyone who follows the session, here and at other servers."""
        self.deliver(session_id, event)
        if self._relay is not None:
            self._relay.send(session_id, event)

    def deliver(self, session_id: UUID, event: SessionEvent) -> None:
        """Tell those who follow the session here; the relay calls it for events from elsewhere."""
        for reader in self._readers.get(session_id, ()):
            reader.add(event)
        for listener in self._listeners:
            listener(session_id, event)

    def listen(self, listener: Listener) -> None:
        """Call `listener` for every event of every session, as long as the server runs."""
        self._listeners.append(listener)

    @contextmanager
    def reader(self, session_id: UUID) -> Iterator[SessionReader]:
        """Collects what happens in a session until the block ends."""
        reader = SessionReader()
        self._readers[session_id].add(reader)
        try:
            yield reader
        finally:
            self._readers[session_id].discard(reader)
            if not self._readers[session_id]:
                del self._readers[session_id]

    async def follow(self, session_id: UUID) -> AsyncGenerator[SessionEvent, None]:
        """What happens from the first step on. Closing the generator ends the reading."""
        with self.reader(session_id) as reader:
            async for event in reader:
                yield event

    @asynccontextmanager
    async def in_order(self, session_id: UUID | None) -> AsyncIterator[None]:
        """Held from before a message's commit until it is published: of two that are written at the
        same time, the one that is committed first is told first. None: a session that is new."""
        if session_id is None:
            yield
            return
        async with self._turns.setdefault(session_id, asyncio.Lock()):
            yield

    @property
    def open_readers(self) -> int:
        return sum(map(len, self._readers.values()))


class SessionReader:
    """The events that one reader has not taken yet, oldest first; one that waits already is not
    added again."""

    def __init__(self) -> None:
        self._waiting: dict[SessionEvent, None] = {}
        self._wake = asyncio.Event()
        self._lost = False

    def add(self, event: SessionEvent) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting[event] = None
        elif event not in self._waiting:
            self._lost = True
        self._wake.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def __aiter__(self) -> SessionReader:
        return self

    async def __anext__(self) -> SessionEvent:
        """The next event; waits for it.

        Raises:
            RateLimited: the reader is so far behind that events were dropped.
        """
        while not self._waiting and not self._lost:
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            self._waiting.clear()
            raise RateLimited(
                "This stream was read too slowly, and events were lost; open it again and read "
                "the session anew.",
                retry_after_seconds=1,
            )
        event = next(iter(self._waiting))
        del self._waiting[event]
        return event
