"""The writer of the log: everything that runs shares one transaction at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F

from models.chat_message import RUNNING, ChatMessage, MessageStatus
from models.citation import Citation
from models.errors import is_unavailable
from models.knowledge_state import KnowledgeState
from models.reply_log import EventKind, ReplyEvent, ReplyLog
from models.statements import Statement, delete, group, insert_values, update
from models.store import Store
from resolvers.clock import Clock
from resolvers.replies.events import Delta, Ended, Event, Sources
from resolvers.replies.running import Ending, Pending, RunningReply
from resolvers.replies.start import touch_session
from resolvers.replies.stored import read_stored

log = logging.getLogger("groundql.replies")

# While many replies run, a commit waits this long after the one before it, so that the store sees
# a steady number of transactions per second, and what arrives meanwhile merges. Seconds. Measured
# with 200 replies of 50 tokens a second: docs/decisions/reply-log.md.
TICK = 0.01
# Up to this many replies are "few": each of their tokens is committed and shown almost at once.
FEW = 4
# Then a commit waits this long after the one before it. SQLite has one connection: without it, what
# readers load for the events they were just shown would wait for the next commit. Seconds.
PAUSE = 0.005
# More pieces than this in one commit are merged all the same.
MAX_PIECES = 100
# So often a reply is tried alone while the store can be written.
MAX_FAILURES = 5
UNSTORABLE = "The answer could not be stored because of a problem on our side. Please try again."
RETRY_DELAYS = (0.1, 0.2, 0.5, 1.0)
# At a stop, the store has this long to take what is queued. Seconds.
CLOSE_SECONDS = 2.0


class LogWriter:
    """Commits what running replies have queued, then shows it to their readers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._dirty: dict[UUID, RunningReply] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="reply-log-writer")

    async def close(self) -> None:
        """Write what is queued, then stop; a store that is away holds nobody up for long."""
        self._closing = True
        self._wake.set()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        if not self._task.done():
            log.error("Giving up; the next start ends the replies that are not written")
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def touch(self, running: RunningReply) -> None:
        """Say that a reply has something queued."""
        self._dirty[running.reply_id] = running
        self._wake.set()

    async def _run(self) -> None:
        self._store.bind()
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._dirty:
                if self._closing:
                    return
                continue
            batch = [(running, running.take_pending()) for running in self._dirty.values()]
            self._dirty = {}
            try:
                unwritten = await self._commit(batch)
            except Exception:
                # Without its writer no reply would ever go on.
                log.exception("%s replies wait because of an error of ours", len(batch))
                unwritten = batch
            if unwritten:
                # Nothing of these was shown, so they can be written again as they are.
                for running, pending in unwritten:
                    running.put_back(pending)
                    self._dirty[running.reply_id] = running
                delay = RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)]
                failures += 1
                await asyncio.sleep(delay)
                self._wake.set()
                continue
            failures = 0
            if self._closing:
                self._wake.set()
            else:
                await asyncio.sleep(TICK if len(batch) > FEW else PAUSE)

    async def _commit(
        self, batch: Sequence[tuple[RunningReply, Pending]]
    ) -> Sequence[tuple[RunningReply, Pending]]:
        """Write and show; returns what could not be written and should be tried again.

        One reply that cannot be stored must not hold up the others: where the store can be written
        and a batch cannot, its replies go one by one, and one that keeps failing is ended.
        """
        try:
            written = await self._write(batch)
        except Exception as error:
            if is_unavailable(error) or not await self._is_writable():
                log.error("The store cannot be written (%s); %s replies wait", error, len(batch))
                return batch
            if len(batch) > 1:
                return [left for one in batch for left in await self._commit([one])]
            running, pending = batch[0]
            if isinstance(error, IntegrityError):
                try:
                    left = await self._take_over(running, pending)
                except Exception as unread:
                    log.error("The store cannot be read (%s); a reply waits", unread)
                    return batch
                if left is not None:
                    return left
            running.failures += 1
            if running.failures < MAX_FAILURES:
                return batch
            await self._give_up(running)
            return ()
        for running, events, closed in written:
            running.failures = 0
            running.publish(events, closed=closed)
        return ()

    async def _take_over(
        self, running: RunningReply, pending: Pending
    ) -> Sequence[tuple[RunningReply, Pending]] | None:
        """Show what the store has already; returns what is left to write, None if it has nothing.

        A commit whose answer was lost may have been made all the same. And a reply may have been
        deleted or ended by somebody else.
        """
        stored, ended = await read_stored(running.reply_id, len(running.committed))
        if ended:
            log.info("Reply %s was deleted or ended while it ran", running.reply_id)
            running.cancel()
            running.publish(stored, closed=True)
            return ()
        if not stored:
            return None
        running.publish(stored, closed=False)
        written = sum(len(event.text) for event in stored if isinstance(event, Delta))
        text = "".join(pending.text)[written:]
        has_sources = any(isinstance(event, Sources) for event in stored)
        left = Pending(
            sources=None if has_sources else pending.sources,
            text=[text] if text else [],
            ending=pending.ending,
        )
        return [(running, left)] if left else ()

    async def _is_writable(self) -> bool:
        """Whether the store takes any write at all."""
        try:
            async with self._store.transaction():
                await KnowledgeState.get_or_create(name="write-probe")
                await KnowledgeState.filter(name="write-probe").update(revision=F("revision") + 1)
        except Exception:
            return False
        return True

    async def _give_up(self, running: RunningReply) -> None:
        """End a reply whose text cannot be stored, with what readers have seen of it."""
        log.exception("Reply %s cannot be stored and is ended", running.reply_id)
        running.cancel()
        ended = Ended(running.next_seq)
        try:
            await self._store.write(
                self._finish(running, [ended], Ending(MessageStatus.FAILED, failure=UNSTORABLE))
            )
        except Exception:
            log.exception("The end of reply %s cannot be stored", running.reply_id)
            running.publish([], closed=True)
        else:
            running.publish([ended], closed=True)

    async def _write(
        self, batch: Sequence[tuple[RunningReply, Pending]]
    ) -> list[tuple[RunningReply, list[Event], bool]]:
        rows: list[list[Any]] = []
        # Sessions are locked before their messages, as `start` does: the other way round, an end
        # and a question on another branch of the session can wait for each other in PostgreSQL.
        # So ends, which lock their session first, come before what locks messages alone.
        ends: list[Statement] = []
        starts: list[Statement] = []
        written: list[tuple[RunningReply, list[Event], bool]] = []
        merge = len(batch) > FEW
        for running, pending in batch:
            events = _events(running, pending, merge=merge)
            written.append((running, events, pending.ending is not None))
            if pending.ending is not None:
                ends += self._finish(running, events, pending.ending)
                continue
            rows.extend(_row(running, event) for event in events)
            if pending.sources is not None:
                starts.append(
                    update(
                        ChatMessage,
                        {"id": running.reply_id},
                        {"status": MessageStatus.STREAMING},
                    )
                )
        # Grouped, all sessions come before all messages.
        statements = [*group(ends), *starts]
        if rows:
            statements.append(insert_values(ReplyEvent, _ROW, rows))
        await self._store.write(statements)
        return written

    def _finish(
        self, running: RunningReply, events: list[Event], ending: Ending
    ) -> list[Statement]:
        everything = [*running.committed, *events]
        texts = [event.text for event in everything if isinstance(event, Delta)]
        sources = next((event for event in everything if isinstance(event, Sources)), None)
        return finish_reply(
            running.reply_id,
            running.session_id,
            texts=texts,
            sources=None if sources is None else [hit.to_json() for hit in sources.hits],
            ending=ending,
            clock=self._clock,
        )


def finish_reply(
    reply_id: UUID,
    session_id: UUID,
    *,
    texts: Sequence[str],
    sources: list[dict[str, Any]] | None,
    ending: Ending,
    clock: Clock,
) -> list[Statement]:
    """What writes a reply's end: its row, citations and compact log in place of its events.

    Written together, these raise IntegrityError if the reply is gone or has ended already.
    """
    now = clock.now()
    delta_ends: list[int] = []
    length = 0
    for text in texts:
        length += len(text)
        delta_ends.append(length)
    statements = [
        # First, since it locks the session: see LogWriter._write.
        *touch_session(session_id, now),
        update(
            ChatMessage,
            {"id": reply_id},
            {
                "content": "".join(texts),
                "status": ending.status,
                "failure": ending.failure,
                "grounded": ending.grounded,
                "ungrounded_reason": ending.ungrounded_reason,
                "provider": ending.provider,
                "model": ending.model,
                "prompt_tokens": ending.prompt_tokens,
                "completion_tokens": ending.completion_tokens,
                "first_token_ms": ending.first_token_ms,
                "total_ms": ending.total_ms,
                "ended_at": now,
            },
            among=("status", RUNNING),
            expect=1,
        ),
        insert_values(
            ReplyLog,
            ("reply_id", "sources", "delta_ends", "documents"),
            [[reply_id, sources, delta_ends, list(ending.documents) or None]],
        ),
        delete(ReplyEvent, {"reply_id": reply_id}),
    ]
    if ending.citations:
        statements.append(
            insert_values(
                Citation,
                _CITATION,
                [
                    [
                        reply_id,
                        cited.number,
                        cited.document_id,
                        cited.title,
                        cited.quote,
                        cited.start,
                        cited.end,
                        cited.page,
                        cited.score,
                        list(cited.headings),
                    ]
                    for cited in ending.citations
                ],
            )
        )
    return statements


def _events(running: RunningReply, pending: Pending, *, merge: bool) -> list[Event]:
    """Number what is queued: sources, then the text, then the end.

    While few replies run, readers get the pieces as the generator made them. Under load all that
    waits becomes one delta.
    """
    seq = running.next_seq
    events: list[Event] = []
    if pending.sources is not None:
        events.append(Sources(seq, pending.sources))
        seq += 1
    pieces = pending.text
    if pieces and (merge or len(pieces) > MAX_PIECES):
        pieces = ["".join(pieces)]
    for piece in pieces:
        events.append(Delta(seq, piece))
        seq += 1
    if pending.ending is not None:
        events.append(Ended(seq))
    return events


_ROW = ("reply_id", "seq", "kind", "text", "data")
_CITATION = (
    "message_id",
    "number",
    "document_id",
    "title",
    "quote",
    "start_offset",
    "end_offset",
    "page",
    "score",
    "headings",
)


def _row(running: RunningReply, event: Event) -> list[Any]:
    """The values of `_ROW`."""
    match event:
        case Sources():
            hits = [hit.to_json() for hit in event.hits]
            return [running.reply_id, event.seq, EventKind.SOURCES, None, hits]
        case Delta():
            return [running.reply_id, event.seq, EventKind.DELTA, event.text, None]
    raise TypeError(f"{type(event).__name__} is not written on its own")
