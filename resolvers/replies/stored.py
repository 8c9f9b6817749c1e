"""Reading the log of a reply that does not run in this process."""

from __future__ import annotations

from uuid import UUID

from models.chat_message import RUNNING, ChatMessage
from models.reply_log import EventKind, ReplyEvent, ReplyLog
from resolvers.replies.events import Delta, Event, Sources, Started, StoredHit, replay


async def read_stored(reply_id: UUID, after: int) -> tuple[list[Event], bool]:
    """The stored events after seq `after`, and whether the last of them is the reply's end.

    No events and True for a reply that is gone.
    """
    message = await ChatMessage.get_or_none(id=reply_id)
    if message is None:
        return [], True
    if message.status in RUNNING:
        return await read_growing(reply_id, after), False
    log = await ReplyLog.get(reply_id=reply_id)
    return (
        replay(message.content, sources=log.sources, delta_ends=log.delta_ends, after=after),
        True,
    )


async def read_growing(reply_id: UUID, after: int) -> list[Event]:
    """The committed events of a reply that has not ended.

    ReplyStarted needs no row of its own: it is committed when the reply is.
    """
    rows = await ReplyEvent.filter(reply_id=reply_id, seq__gt=after).order_by("seq")
    started: list[Event] = [Started(1)] if after < 1 else []
    return started + [_event(row) for row in rows]


def _event(row: ReplyEvent) -> Event:
    match row.kind:
        case EventKind.SOURCES:
            return Sources(row.seq, tuple(StoredHit.from_json(hit) for hit in row.data or ()))
        case EventKind.DELTA:
            return Delta(row.seq, row.text or "")
    raise TypeError(f"{row.kind.name} is never a row of its own")
