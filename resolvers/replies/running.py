"""A reply that is being generated: what is committed of it, what waits, and who reads along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from uuid import UUID

from models.chat_message import MessageStatus, UngroundedReason
from rag.types import CitedPassage
from resolvers.replies.events import Delta, Event, StoredHit

# A generator that is ahead of the store by this many characters waits for it.
MAX_PENDING_CHARACTERS = 32_768


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended: what its last commit writes beside the event.

    `documents` are the ids of those whose text or title it may hold.
    """

    status: MessageStatus
    failure: str | None = None
    grounded: bool | None = None
    ungrounded_reason: UngroundedReason | None = None
    citations: tuple[CitedPassage, ...] = ()
    documents: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_ms: int | None = None
    total_ms: int | None = None


@dataclass(slots=True)
class Pending:
    """What a reply wants written with the next commit."""

    sources: tuple[StoredHit, ...] | None = None
    text: list[str] = field(default_factory=list)
    ending: Ending | None = None

    def __bool__(self) -> bool:
        return self.sources is not None or bool(self.text) or self.ending is not None


class RunningReply:
    """Shared by the one task that generates, the log's writer and any number of readers.

    `committed` grows only after a commit, so a reader can never see what a crash could lose. A
    reader is a position in that list: a slow one costs nothing and holds nobody up.
    """

    def __init__(self, reply_id: UUID, session_id: UUID, *, started: Event) -> None:
        self.reply_id = reply_id
        self.session_id = session_id
        self.committed: list[Event] = [started]
        self.pending = Pending()
        self.closed = False
        self.stop_requested = False
        self.cancelled = False
        self.failures = 0
        self.generating = False
        self.used_tokens: int | None = None
        self.task: asyncio.Task[None] | None = None
        self.started_at = time.perf_counter()
        self.first_delta_committed_at: float | None = None
        self._changed: set[asyncio.Future[None]] = set()
        self._pending_characters = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def text(self) -> str:
        """The committed text."""
        return "".join(event.text for event in self.committed if isinstance(event, Delta))

    @property
    def next_seq(self) -> int:
        return len(self.committed) + 1

    def add_text(self, text: str) -> None:
        """Queue a piece of text for the next commit."""
        self.pending.text.append(text)
        self._pending_characters += len(text)
        if self._pending_characters > MAX_PENDING_CHARACTERS:
            self._room.clear()

    @property
    def is_full(self) -> bool:
        """Whether the generator is too far ahead of the store."""
        return self._pending_characters > MAX_PENDING_CHARACTERS

    async def wait_for_room(self) -> None:
        """Return at once, unless the store is behind."""
        await self._room.wait()

    def cancel(self) -> None:
        """End the generation early; safe at any moment of the reply's life.

        A task that has not begun is not cancelled, since it would then never write its ending: it
        sees `cancelled` when it begins. One that has queued its ending is left to finish.
        """
        self.cancelled = True
        if self.generating and self.task is not None:
            self.task.cancel()

    def take_pending(self) -> Pending:
        taken, self.pending = self.pending, Pending()
        self._pending_characters = 0
        self._room.set()
        return taken

    def put_back(self, taken: Pending) -> None:
        """Undo `take_pending` after a failed commit; what was queued meanwhile stays behind it."""
        self.pending = Pending(
            sources=taken.sources if taken.sources is not None else self.pending.sources,
            text=taken.text + self.pending.text,
            ending=taken.ending or self.pending.ending,
        )
        self._pending_characters = sum(map(len, self.pending.text))
        if self._pending_characters > MAX_PENDING_CHARACTERS:
            self._room.clear()

    def publish(self, events: list[Event], *, closed: bool) -> None:
        """Show committed events to the readers."""
        if self.first_delta_committed_at is None and any(isinstance(e, Delta) for e in events):
            self.first_delta_committed_at = time.perf_counter()
        self.committed.extend(events)
        self.closed = self.closed or closed
        waiting, self._changed = self._changed, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait_shown(self) -> None:
        """Return when the first text is committed, or when none will be."""
        while self.first_delta_committed_at is None and not self.closed:
            await self._wait_for_change()

    async def wait_closed(self) -> None:
        """Return when the last event is committed."""
        while not self.closed:
            await self._wait_for_change()

    async def read(self, after: int) -> AsyncGenerator[Event, None]:
        """The events after seq `after`: committed ones at once, later ones as they come."""
        position = max(after, 0)
        while True:
            while position < len(self.committed):
                event = self.committed[position]
                position += 1
                yield event
            if self.closed:
                return
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed.add(future)
        try:
            await future
        finally:
            self._changed.discard(future)
