"""The events of a reply as GraphQL types."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from uuid import UUID

import strawberry

from models.chat_message import ChatMessage as MessageRow
from resolvers import errors
from resolvers.replies.events import Delta, Ended, Event, Sources, Started, StoredHit
from schema.chat_types import ChatMessage, ChatSession
from schema.context import Info
from schema.knowledge import SearchHit
from schema.node import global_id
from transport.direct import Direct, plain_selection


@strawberry.interface(
    description="An event of one reply. seq counts 1, 2, 3 … without a gap, whoever reads and "
    "however often."
)
class ReplyEvent:
    seq: int = strawberry.field(description="The event's number in its reply, from 1.")
    reply_id: strawberry.ID = strawberry.field(description="The reply's id.")


@strawberry.type(description="Always first: question and reply are stored.")
class ReplyStarted(ReplyEvent):
    reply: strawberry.Private[MessageRow]

    @strawberry.field(description="The session of the reply.")
    async def session(self, info: Info) -> ChatSession:
        row = await info.context.loaders.sessions.load(self.reply.session_id)
        assert row is not None, "a message goes with its session"
        return ChatSession.from_row(row)

    @strawberry.field(description="The question.")
    async def message(self, info: Info) -> ChatMessage:
        assert self.reply.parent_id is not None, "a reply has its question as parent"
        row = await info.context.loaders.messages.load(self.reply.parent_id)
        assert row is not None, "a reply goes with its question"
        return ChatMessage.from_row(row)


@strawberry.type(description="What was found; hits[n - 1] is what [n] in the text refers to.")
class SourcesFound(ReplyEvent):
    hits: list[SearchHit] = strawberry.field(
        description="The passages given to the generator; empty when nothing fits."
    )


@strawberry.type(description="The next piece of text. All pieces joined are the reply's content.")
class TextDelta(ReplyEvent):
    text: str = strawberry.field(description="The piece, never empty.")


@strawberry.type(description="Always last; reply.status tells which end it was.")
class ReplyEnded(ReplyEvent):
    reply: ChatMessage = strawberry.field(description="The reply as it ended.")


async def reply_events(
    info: Info, events: AsyncGenerator[Event, None], reply: MessageRow
) -> AsyncGenerator[ReplyEvent, None]:
    """The events as GraphQL types. Pieces of text, of which there are many, go to the client the
    short way if nothing but their own fields is selected.

    Raises:
        NotFound: the session was deleted meanwhile; there is no reply left to end with.
    """
    reply_id = global_id("ChatMessage", reply.id)
    send = _direct(info, reply_id)
    async with aclosing(events):
        async for event in events:
            match event:
                case Started():
                    yield ReplyStarted(seq=event.seq, reply_id=reply_id, reply=reply)
                case Sources():
                    hits = [_hit(hit) for hit in event.hits]
                    yield SourcesFound(seq=event.seq, reply_id=reply_id, hits=hits)
                case Delta() if send is not None:
                    if not await send(event):
                        return
                case Delta():
                    yield TextDelta(seq=event.seq, reply_id=reply_id, text=event.text)
                case Ended():
                    row = await info.context.loaders.messages.load(reply.id)
                    if row is None:
                        raise errors.NotFound("reply")
                    ended = ChatMessage.from_row(row)
                    yield ReplyEnded(seq=event.seq, reply_id=reply_id, reply=ended)


def _direct(info: Info, reply_id: str) -> Callable[[Delta], Awaitable[bool]] | None:
    """What sends a piece of text without executing it; None if that takes the executor."""
    direct: object = info.root_value
    if not isinstance(direct, Direct):
        return None
    selected = plain_selection(info._raw_info, "TextDelta", ("seq", "replyId", "text"))
    if selected is None:
        return None
    key = str(info.path.key)
    items = list(selected.items())

    async def send(delta: Delta) -> bool:
        values = {
            "__typename": "TextDelta",
            "seq": delta.seq,
            "replyId": reply_id,
            "text": delta.text,
        }
        return await direct.send({key: {name: values[field] for name, field in items}})

    return send


def _hit(hit: StoredHit) -> SearchHit:
    return SearchHit(
        document_id=UUID(hit.document_id),
        text=hit.text,
        headings=list(hit.headings),
        start_offset=hit.start,
        end_offset=hit.end,
        page=hit.page,
        score=hit.score,
    )
