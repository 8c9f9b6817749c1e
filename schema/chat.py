"""Sessions, messages, replies and their events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeAlias
from uuid import UUID

import strawberry
from strawberry import UNSET

from models.chat_message import ChatMessage as MessageRow
from models.chat_message import MessageRole, MessageStatus, Rating
from models.chat_session import ChatSession as SessionRow
from models.citation import Citation as CitationRow
from resolvers import chat, errors
from resolvers.replies.events import Delta, Ended, Event, Sources, Started, StoredHit
from resolvers.replies.start import Accepted, Question
from schema.absent import given
from schema.account import User
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.enums import describe_enum
from schema.errors import InvalidInput, NotFound, RateLimited, answers_problems
from schema.knowledge import Document, DocumentFilter, SearchHit, to_filter
from schema.node import Node, global_id, require_row_id, row_id


class ParticipantRole(StrEnum):
    OWNER = "OWNER"
    WRITER = "WRITER"
    READER = "READER"


describe_enum(
    ParticipantRole,
    "What a participant of a session may do.",
    {
        "OWNER": "Everything, also deleting it.",
        "WRITER": "Read and ask.",
        "READER": "Read.",
    },
)
describe_enum(
    MessageRole,
    "Who a message is from.",
    {"USER": "A person: a question.", "ASSISTANT": "The server: a reply."},
)
describe_enum(
    MessageStatus,
    "How far a message is. Questions are COMPLETE.",
    {
        "PENDING": "There is no text yet.",
        "STREAMING": "The text is being generated.",
        "COMPLETE": "Finished.",
        "STOPPED": "Ended by stopReply; what was generated is there.",
        "INTERRUPTED": "Ended by a restart of the server; what was generated is there.",
        "FAILED": "Ended by an error; what was generated is there.",
    },
)
describe_enum(Rating, "How a reply was rated.", {"UP": "It helped.", "DOWN": "It did not help."})


@strawberry.type(description="A person in a session.")
class Participant:
    user: User = strawberry.field(description="Who.")
    role: ParticipantRole = strawberry.field(description="What they may do.")


@strawberry.type(description="A conversation.")
class ChatSession(Node):
    row: strawberry.Private[SessionRow]
    title: str = strawberry.field(
        description="At most 200 characters; made from the first question."
    )
    archived: bool = strawberry.field(description="Whether it was put away.")
    created_at: datetime = strawberry.field(description="When it was begun.")
    updated_at: datetime = strawberry.field(description="Its last activity; lists sort by it.")
    my_role: ParticipantRole = strawberry.field(description="What the viewer may do in it.")

    @strawberry.field(description="Everyone in the session, the owner first.")
    async def participants(self, info: Info) -> list[Participant]:
        owner = await info.context.loaders.users.load(self.row.owner_id)
        assert owner is not None, "a session goes with its owner"
        return [Participant(user=User.from_row(owner), role=ParticipantRole.OWNER)]

    @strawberry.field(description="The messages of the active branch, oldest first.")
    async def messages(
        self,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[ChatMessage]:
        page = await chat.list_messages(self.row, page_request(first, after, last, before))
        return connection(page, ChatMessage.from_row)

    @classmethod
    def from_row(cls, row: SessionRow) -> ChatSession:
        return cls(
            row=row,
            id=global_id("ChatSession", row.id),
            title=row.title,
            archived=row.archived,
            created_at=row.created_at,
            updated_at=row.updated_at,
            my_role=ParticipantRole.OWNER,
        )


@strawberry.type(description="The source behind one [number] of a reply, as it was cited.")
class Citation:
    document_id: strawberry.Private[UUID | None]
    number: int = strawberry.field(description="The n of [n] in the content.")
    title: str = strawberry.field(description="The document's title when it was cited.")
    quote: str = strawberry.field(
        description="Verbatim text of the document at startOffset..endOffset, as it was cited."
    )
    start_offset: int = strawberry.field(description="Its begin, in Unicode code points.")
    end_offset: int = strawberry.field(description="Its end, in Unicode code points.")
    score: float = strawberry.field(description="Relevance of the passage, 0 to 1.")

    @strawberry.field(description="The document as it is now; null once it was deleted.")
    async def document(self, info: Info) -> Document | None:
        if self.document_id is None:
            return None
        row = await info.context.loaders.documents.load(self.document_id)
        return None if row is None or row.deleted_at is not None else Document.from_row(row)

    @classmethod
    def from_row(cls, row: CitationRow) -> Citation:
        return cls(
            document_id=row.document_id,
            number=row.number,
            title=row.title,
            quote=row.quote,
            start_offset=row.start_offset,
            end_offset=row.end_offset,
            score=row.score,
        )


@strawberry.type(description="What a reply cost.")
class Usage:
    provider: str = strawberry.field(description="Who generated it: offline, openai or gemini.")
    model: str = strawberry.field(description="The model's name at the provider.")
    prompt_tokens: int = strawberry.field(
        description="Tokens of the prompt; estimated where the provider does not say."
    )
    completion_tokens: int = strawberry.field(
        description="Tokens of the reply; estimated where the provider does not say."
    )
    first_token_ms: int = strawberry.field(
        description="Milliseconds from the question to the first text."
    )
    total_ms: int = strawberry.field(description="Milliseconds from the question to the end.")


@strawberry.type(description="A question or a reply. Messages form a tree.")
class ChatMessage(Node):
    row: strawberry.Private[MessageRow]
    role: MessageRole = strawberry.field(description="Who it is from.")
    status: MessageStatus = strawberry.field(description="How far it is; a question is COMPLETE.")
    content: str = strawberry.field(
        description="The text. Of a running reply it is empty: follow it with `reply`."
    )
    created_at: datetime = strawberry.field(description="When it was begun.")
    grounded: bool | None = strawberry.field(
        description="Of a reply: did the knowledge base support it? Null while pending."
    )
    rating: Rating | None = strawberry.field(description="The viewer's rating of a reply.")
    failure: str | None = strawberry.field(
        description="Of a reply: why it FAILED or was INTERRUPTED, in words for the user."
    )

    @strawberry.field(description="The session that it belongs to.")
    async def session(self, info: Info) -> ChatSession:
        row = await info.context.loaders.sessions.load(self.row.session_id)
        assert row is not None, "a message goes with its session"
        return ChatSession.from_row(row)

    @strawberry.field(description="Who wrote it; null for the assistant.")
    async def author(self, info: Info) -> User | None:
        if self.row.author_id is None:
            return None
        row = await info.context.loaders.users.load(self.row.author_id)
        return None if row is None else User.from_row(row)

    @strawberry.field(
        description="The message before it; an edit or a regeneration is a sibling. "
        "Null for the first."
    )
    async def parent(self, info: Info) -> ChatMessage | None:
        if self.row.parent_id is None:
            return None
        row = await info.context.loaders.messages.load(self.row.parent_id)
        return None if row is None else ChatMessage.from_row(row)

    @strawberry.field(description="Of a reply: the sources that it names as [1], [2], …")
    async def citations(self, info: Info) -> list[Citation]:
        if self.role is MessageRole.USER:
            return []
        found = await info.context.loaders.citations.load(self.row.id)
        return [Citation.from_row(row) for row in found]

    @strawberry.field(description="Of a reply that has ended: what it cost.")
    def usage(self) -> Usage | None:
        row = self.row
        if row.provider is None or row.total_ms is None:
            return None
        return Usage(
            provider=row.provider,
            model=row.model or "",
            prompt_tokens=row.prompt_tokens or 0,
            completion_tokens=row.completion_tokens or 0,
            first_token_ms=row.first_token_ms if row.first_token_ms is not None else row.total_ms,
            total_ms=row.total_ms,
        )

    @classmethod
    def from_row(cls, row: MessageRow) -> ChatMessage:
        return cls(
            row=row,
            id=global_id("ChatMessage", row.id),
            role=row.role,
            status=row.status,
            content=row.content,
            created_at=row.created_at,
            grounded=row.grounded,
            rating=row.rating,
            failure=row.failure,
        )


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
    ) -> Connection[ChatSession]:
        page = await chat.list_sessions(
            info.context.app, page_request(first, after, last, before), archived=given(archived)
        )
        return connection(page, ChatSession.from_row)

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
        return _payload(await chat.send_message(info.context.app, _question(input)))

    @strawberry.mutation(
        description="Ask a question; answers once the reply has ended. Needs a login."
    )
    @answers_problems
    async def ask(self, info: Info, input: MessageInput) -> SendMessageResult:
        return _payload(await chat.ask(info.context.app, _question(input)))

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
        events = info.context.app.services.replies.follow(accepted.reply.id)
        async with aclosing(_reply_events(info, events, accepted.reply)) as stream:
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
        events = await chat.follow_reply(info.context.app, key, after or 0)
        async with aclosing(_reply_events(info, events, row)) as stream:
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


def _payload(accepted: Accepted) -> SendMessagePayload:
    return SendMessagePayload(
        session=ChatSession.from_row(accepted.session),
        message=ChatMessage.from_row(accepted.message),
        reply=ChatMessage.from_row(accepted.reply),
    )


async def _reply_events(
    info: Info, events: AsyncGenerator[Event, None], reply: MessageRow
) -> AsyncGenerator[ReplyEvent, None]:
    """The events as GraphQL types.

    Raises:
        NotFound: the session was deleted meanwhile; there is no reply left to end with.
    """
    reply_id = global_id("ChatMessage", reply.id)
    async with aclosing(events):
        async for event in events:
            match event:
                case Started():
                    yield ReplyStarted(seq=event.seq, reply_id=reply_id, reply=reply)
                case Sources():
                    hits = [_hit(hit) for hit in event.hits]
                    yield SourcesFound(seq=event.seq, reply_id=reply_id, hits=hits)
                case Delta():
                    yield TextDelta(seq=event.seq, reply_id=reply_id, text=event.text)
                case Ended():
                    row = await info.context.loaders.messages.load(reply.id)
                    if row is None:
                        raise errors.NotFound("reply")
                    ended = ChatMessage.from_row(row)
                    yield ReplyEnded(seq=event.seq, reply_id=reply_id, reply=ended)


def _hit(hit: StoredHit) -> SearchHit:
    return SearchHit(
        document_id=UUID(hit.document_id),
        text=hit.text,
        headings=list(hit.headings),
        start_offset=hit.start,
        end_offset=hit.end,
        score=hit.score,
    )


__all__ = ["ChatMutation", "ChatQuery", "ChatSubscription"]
