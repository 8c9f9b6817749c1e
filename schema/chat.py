"""What can be done with sessions, messages and replies."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, TypeAlias
from uuid import UUID

import strawberry
from strawberry import UNSET

from resolvers import chat
from resolvers.replies.start import Accepted, Question
from resolvers.session_events import while_allowed
from schema.absent import given
from schema.chat_types import ChatMessage, ChatSession
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.errors import InvalidInput, NotFound, RateLimited, answers_problems
from schema.knowledge import DocumentFilter, to_filter
from schema.node import global_id, require_row_id, row_id
from schema.reply_events import ReplyEvent, reply_events


@strawberry.input(description="A question.")
class SendMessageInput:
    session_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The session; absent: a new one."
    )
    content: str = strawberry.field(description="The text, 1 to 8,000 characters, kept unchanged.")
    parent_id: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The reply to go on from; absent: the end of the session's active branch.",
    )
    client_key: str | None = strawberry.field(
        default=UNSET,
        description="Makes sending safe to repeat, at most 200 characters: the same key sent again "
        "gives the same message and reply, never a second one.",
    )
    filter: DocumentFilter | None = strawberry.field(
        default=UNSET, description="Answer only from some documents."
    )


@strawberry.type(description="A question and its reply, both stored.")
class SendMessagePayload:
    session: ChatSession = strawberry.field(description="The session that they are in.")
    message: ChatMessage = strawberry.field(description="The question.")
    reply: ChatMessage = strawberry.field(description="The reply; follow it by its id.")


@strawberry.type(description="Something was deleted.")
class Deleted:
    id: strawberry.ID = strawberry.field(description="Its former id.")


SendMessageResult: TypeAlias = Annotated[
    SendMessagePayload | InvalidInput | NotFound | RateLimited,
    strawberry.union("SendMessageResult", description="The outcome of sending a question."),
]
StopReplyResult: TypeAlias = Annotated[
    ChatMessage | NotFound,
    strawberry.union("StopReplyResult", description="The outcome of stopping a reply."),
]
SessionResult: TypeAlias = Annotated[
    ChatSession | InvalidInput | NotFound,
    strawberry.union("SessionResult", description="The outcome of a change of a session."),
]
DeleteResult: TypeAlias = Annotated[
    Deleted | NotFound,
    strawberry.union("DeleteResult", description="The outcome of a deletion."),
]

SessionId: TypeAlias = Annotated[
    strawberry.ID, strawberry.argument(description="The session's id.")
]
MessageInput: TypeAlias = Annotated[
    SendMessageInput, strawberry.argument(description="The question.")
]
ReplyId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="The reply's id.")]


@strawberry.type
class ChatQuery:
    @strawberry.field(description="The viewer's sessions, newest activity first. Needs a login.")
    async def sessions(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        archived: Annotated[
            bool | None,
            strawberry.argument(description="Only archived ones, or only others; null: both."),
        ] = UNSET,
        pinned: Annotated[
            bool | None,
            strawberry.argument(description="Only pinned ones, or only others; null: both."),
        ] = UNSET,
        tag: Annotated[
            str | None,
            strawberry.argument(description="Only those with this tag of the viewer's own."),
        ] = UNSET,
    ) -> Connection[ChatSession]:
        page = await chat.list_sessions(
            info.context.app,
            page_request(first, after, last, before),
            chat.SessionFilter(archived=given(archived), pinned=given(pinned), tag=given(tag)),
        )
        return connection(page, lambda part: ChatSession.from_row(part.session))

    @strawberry.field(
        description="One session; null if it does not exist or is not the viewer's. Needs a login."
    )
    async def session(self, info: Info, id: SessionId) -> ChatSession | None:
        info.context.app.require_viewer()
        key = row_id("ChatSession", id)
        row = None if key is None else await chat.get_session(info.context.app, key)
        return None if row is None else ChatSession.from_row(row)


@strawberry.type
class ChatMutation:
    @strawberry.mutation(description="Begin an empty session. Needs a login.")
    @answers_problems
    async def create_session(
        self,
        info: Info,
        title: Annotated[
            str | None,
            strawberry.argument(description="At most 200 characters; absent: a general one."),
        ] = UNSET,
    ) -> SessionResult:
        return ChatSession.from_row(await chat.create_session(info.context.app, given(title)))

    @strawberry.mutation(description="Give a session another title. Needs a login.")
    @answers_problems
    async def rename_session(
        self,
        info: Info,
        id: SessionId,
        title: Annotated[str, strawberry.argument(description="1 to 200 characters.")],
    ) -> SessionResult:
        row = await chat.rename_session(info.context.app, row_id("ChatSession", id), title)
        return ChatSession.from_row(row)

    @strawberry.mutation(description="Put a session away, or take it out again. Needs a login.")
    @answers_problems
    async def archive_session(
        self,
        info: Info,
        id: SessionId,
        archived: Annotated[
            bool | None, strawberry.argument(description="False takes it out again.")
        ] = True,
    ) -> SessionResult:
        key = row_id("ChatSession", id)
        return ChatSession.from_row(
            await chat.archive_session(info.context.app, key, archived=archived is not False)
        )

    @strawberry.mutation(
        description="Delete a session with all its messages, for good. A running reply is stopped. "
        "Needs a login."
    )
    @answers_problems
    async def delete_session(self, info: Info, id: SessionId) -> DeleteResult:
        deleted = await chat.delete_session(info.context.app, row_id("ChatSession", id))
        return Deleted(id=global_id("ChatSession", deleted))

    @strawberry.mutation(
        description="Ask a question; answers once message and reply are stored. Follow the reply "
        "with the subscription `reply`. Needs a login."
    )
    @answers_problems
    async def send_message(self, info: Info, input: MessageInput) -> SendMessageResult:
        return payload(await chat.send_message(info.context.app, _question(input)))

    @strawberry.mutation(
        description="Ask a question; answers once the reply has ended. Needs a login."
    )
    @answers_problems
    async def ask(self, info: Info, input: MessageInput) -> SendMessageResult:
        return payload(await chat.ask(info.context.app, _question(input)))

    @strawberry.mutation(
        description="End a running reply; what was generated stays. A reply that has ended is "
        "returned as it is. Needs a login."
    )
    @answers_problems
    async def stop_reply(self, info: Info, id: ReplyId) -> StopReplyResult:
        row = await chat.stop_reply(info.context.app, row_id("ChatMessage", id))
        return ChatMessage.from_row(row)


@strawberry.type
class ChatSubscription:
    @strawberry.subscription(
        description="sendMessage and its reply's events in one. Closing it does not end the reply: "
        "go on with `reply`, or end it with stopReply. Needs a login."
    )
    async def chat(self, info: Info, input: MessageInput) -> AsyncGenerator[ReplyEvent, None]:
        accepted = await chat.send_message(info.context.app, _question(input))
        events = while_allowed(
            info.context.app,
            accepted.session.id,
            info.context.app.services.replies.follow(accepted.reply.id),
        )
        async with aclosing(reply_events(info, events, accepted.reply)) as stream:
            async for event in stream:
                yield event

    @strawberry.subscription(
        description="The events of a reply after a seq: history first, then live, without gap or "
        "repetition. Ends after ReplyEnded. Needs a login."
    )
    async def reply(
        self,
        info: Info,
        id: ReplyId,
        after: Annotated[
            int | None,
            strawberry.argument(description="The last seq that is known; 0 gives all events."),
        ] = 0,
    ) -> AsyncGenerator[ReplyEvent, None]:
        info.context.app.require_viewer()
        key = require_row_id("ChatMessage", id, "id")
        row = await chat.require_reply(info.context.app, key)
        events = while_allowed(
            info.context.app,
            row.session_id,
            await chat.follow_reply(info.context.app, key, after or 0),
        )
        async with aclosing(reply_events(info, events, row)) as stream:
            async for event in stream:
                yield event


def _question(value: SendMessageInput) -> Question:
    """The input with row ids. An id of nothing becomes one that no row has: it is not found."""
    return Question(
        content=value.content,
        session_id=_known_or_missing("ChatSession", given(value.session_id)),
        parent_id=_known_or_missing("ChatMessage", given(value.parent_id)),
        client_key=given(value.client_key),
        filter=to_filter(given(value.filter)),
    )


def _known_or_missing(type_name: str, value: str | None) -> UUID | None:
    if value is None:
        return None
    return row_id(type_name, value) or UUID(int=0)


def payload(accepted: Accepted) -> SendMessagePayload:
    """The stored rows as GraphQL types."""
    return SendMessagePayload(
        session=ChatSession.from_row(accepted.session),
        message=ChatMessage.from_row(accepted.message),
        reply=ChatMessage.from_row(accepted.reply),
    )
