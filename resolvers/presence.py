"""Who is in a session right now, and who is writing. None of it is stored."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Protocol, TypeAlias
from uuid import UUID

from resolvers.session_bus import (
    MessageAdded,
    PresenceChanged,
    SessionBus,
    SessionEvent,
    TypingChanged,
)

# How long typing lasts without a renewal. Seconds.
TYPING_SECONDS = 6.0


class Timer(Protocol):
    def cancel(self) -> None: ...


StartTimer: TypeAlias = Callable[[float, Callable[[], None]], Timer]


def start_timer(seconds: float, action: Callable[[], None]) -> Timer:
    """Call `action` after so many seconds, unless the timer is cancelled."""
    return asyncio.get_running_loop().call_later(seconds, action)


class Presence:
    """Knows the streams of this server. A person with several devices counts once."""

    def __init__(
        self,
        sessions: SessionBus,
        *,
        typing_seconds: float = TYPING_SECONDS,
        start_timer: StartTimer = start_timer,
    ) -> None:
        self._sessions = sessions
        self._typing_seconds = typing_seconds
        self._start_timer = start_timer
        self._streams: defaultdict[UUID, Counter[UUID]] = defaultdict(Counter)
        self._typing: defaultdict[UUID, dict[UUID, Timer]] = defaultdict(dict)
        sessions.listen(self._heard)

    @contextmanager
    def enter(self, session_id: UUID, user_id: UUID) -> Iterator[None]:
        """The person follows the session, with one more stream, until the block ends."""
        streams = self._streams[session_id]
        streams[user_id] += 1
        if streams[user_id] == 1:
            self._sessions.publish(session_id, PresenceChanged())
        try:
            yield
        finally:
            streams[user_id] -= 1
            if not streams[user_id]:
                del streams[user_id]
                if not streams:
                    del self._streams[session_id]
                self.set_typing(session_id, user_id, typing=False)
                self._sessions.publish(session_id, PresenceChanged())

    def present(self, session_id: UUID) -> Set[UUID]:
        """Who has a stream open."""
        streams = self._streams.get(session_id)
        return frozenset() if streams is None else streams.keys()

    def set_typing(self, session_id: UUID, user_id: UUID, *, typing: bool) -> None:
        """Begin, renew or end; only a change is told."""
        timers = self._typing[session_id]
        before = timers.pop(user_id, None)
        if before is not None:
            before.cancel()
        if typing:
            timers[user_id] = self._start_timer(
                self._typing_seconds,
                lambda: self.set_typing(session_id, user_id, typing=False),
            )
        if not timers:
            del self._typing[session_id]
        if typing != (before is not None):
            self._sessions.publish(session_id, TypingChanged(user_id))

    def typing(self, session_id: UUID) -> Set[UUID]:
        """Who is writing."""
        typing = self._typing.get(session_id)
        return frozenset() if typing is None else typing.keys()

    @property
    def is_empty(self) -> bool:
        return not self._streams and not self._typing

    def _heard(self, session_id: UUID, event: SessionEvent) -> None:
        if isinstance(event, MessageAdded) and event.author_id is not None:
            self.set_typing(session_id, event.author_id, typing=False)
