"""Sessions and messages as GraphQL types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import strawberry
from strawberry import UNSET

from models.chat_message import ChatMessage as MessageRow
from models.chat_message import MessageRole, MessageStatus, UngroundedReason
from models.chat_session import AnswerMode
from models.chat_session import ChatSession as SessionRow
from models.message_rating import MessageRating as RatingRow
from models.message_rating import Rating
from models.participant import Invitation as InvitationRow
from models.participant import Participant as ParticipantRow
from models.participant import ParticipantRole
from models.participant import PublicLink as LinkRow
from models.reading import Table
from resolvers import chat, errors, public_links
from resolvers.chat import History
from resolvers.message_search import FoundMessage
from resolvers.paging import Page
from schema import message_columns
from schema.account import User
from schema.citations import Citation
from schema.columns import RowColumns
from schema.connection import After, Before, First, Last, PageInfo, page_info, page_request
from schema.context import Info
from schema.enums import describe_enum
from schema.message_parts import MessageSnippet, TextRange, Usage
from schema.node import Node, global_id
from texts import translate
from transport.columns import Columns, batch, selected

describe_enum(
    ParticipantRole,
    "What a participant of a session may do.",
    {
        "OWNER": "Everything, also sharing and deleting it. There may be several.",
        "WRITER": "Read, write and ask.",
        "READER": "Read.",
    },
)
describe_enum(
    MessageRole,
    "Who a message is from.",
    {
        "USER": "A person: a question, or a message to the people of the session.",
        "ASSISTANT": "The server: a reply.",
    },
)
describe_enum(
    AnswerMode,
    "Which messages of postMessage the assistant answers.",
    {"ALL": "All.", "ADDRESSED": "Those with the word @assistant."},
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
describe_enum(
    UngroundedReason,
    "Why a reply is not grounded in the knowledge base.",
    {
        "NO_DOCUMENTS": "There is no document to search, or none that passes the filter.",
        "NOTHING_FOUND": "Not a single passage was found.",
        "NOT_RELEVANT_ENOUGH": "What was found does not answer the question.",
    },
)
describe_enum(Rating, "How a reply was rated.", {"UP": "It helped.", "DOWN": "It did not help."})


@strawberry.type(description="A person in a session.")
class Participant:
    row: strawberry.Private[ParticipantRow]
    user: User = strawberry.field(description="Who.")
    role: ParticipantRole = strawberry.field(description="What they may do.")
    read_at: datetime | None = strawberry.field(
        description="When they read that message; null before the first."
    )

    @strawberry.field(
        description="The last message that they have read, as markRead told; null before the first."
    )
    async def read_up_to(self, info: Info) -> ChatMessage | None:
        if self.row.read_message_id is None:
            return None
        row = await info.context.loaders.messages.load(self.row.read_message_id)
        return None if row is None else ChatMessage.from_row(row)

    @classmethod
    def from_row(cls, row: ParticipantRow) -> Participant:
        return cls(row=row, user=User.from_row(row.user), role=row.role, read_at=row.read_at)


@strawberry.type(description="An address that takes part in a session once it has an account.")
class Invitation:
    email: str = strawberry.field(description="The address, in lower case.")
    role: ParticipantRole = strawberry.field(description="What the person will be allowed to do.")
    created_at: datetime = strawberry.field(description="When it was invited.")

    @classmethod
    def from_row(cls, row: InvitationRow) -> Invitation:
        return cls(email=row.email, role=row.role, created_at=row.created_at)


@strawberry.type(
    description="A link through which anyone may read a session, or one reply, until it is revoked."
)
class PublicLink(Node):
    row: strawberry.Private[LinkRow]
    created_at: datetime = strawberry.field(description="When it was made.")

    @strawberry.field(
        description="What publicConversation takes, 43 characters. Whoever has it can read. It "
        "stays the same as long as the server's SECRET_KEY does."
    )
    async def token(self, info: Info) -> str:
        return public_links.link_token(info.context.app.services.tokens, self.row.id)

    @strawberry.field(
        description="PUBLIC_URL/share/<token>, where a front end shows what publicConversation "
        "gives."
    )
    async def url(self, info: Info) -> str:
        return public_links.link_url(info.context.app.services, self.row.id)

    @strawberry.field(
        description="The reply that it shows, with its question; null: the whole session."
    )
    async def message(self, info: Info) -> ChatMessage | None:
        if self.row.reply_id is None:
            return None
        row = await info.context.loaders.messages.load(self.row.reply_id)
        return None if row is None else ChatMessage.from_row(row)

    @classmethod
    def from_row(cls, row: LinkRow) -> PublicLink:
        return cls(row=row, id=global_id("PublicLink", row.id), created_at=row.created_at)


@strawberry.type(description="A conversation.")
class ChatSession(Node):
    row: strawberry.Private[SessionRow]
    # Of a viewer who has just left.
    former_part: strawberry.Private[ParticipantRow | None]
    title: str = strawberry.field(
        description="At most 200 characters; made from the first question."
    )
    created_at: datetime = strawberry.field(description="When it was begun.")
    updated_at: datetime = strawberry.field(description="Its last activity; lists sort by it.")
    answers: AnswerMode = strawberry.field(
        description="Which messages of postMessage the assistant answers."
    )

    @strawberry.field(description="Whether the viewer has put it away.")
    async def archived(self, info: Info) -> bool:
        return (await self._part(info)).archived

    @strawberry.field(description="Whether the viewer has pinned it.")
    async def pinned(self, info: Info) -> bool:
        return (await self._part(info)).pinned

    @strawberry.field(description="The viewer's own tags, in alphabetical order.")
    async def tags(self, info: Info) -> list[str]:
        return (await self._part(info)).tags

    @strawberry.field(description="What the viewer may do in it.")
    async def my_role(self, info: Info) -> ParticipantRole:
        return (await self._part(info)).role

    @strawberry.field(description="Everyone in the session, in the order of joining.")
    async def participants(self, info: Info) -> list[Participant]:
        parts = await info.context.loaders.participants.load(self.row.id)
        return [Participant.from_row(part) for part in parts]

    @strawberry.field(
        description="Addresses that are invited, in the order of inviting; only owners see them, "
        "for others the list is empty."
    )
    async def invitations(self, info: Info) -> list[Invitation]:
        if (await self._part(info)).role is not ParticipantRole.OWNER:
            return []
        found = await info.context.loaders.invitations.load(self.row.id)
        return [Invitation.from_row(row) for row in found]

    @strawberry.field(
        description="The public links that are in force, at most 50; only owners see them, for "
        "others the list is empty."
    )
    async def public_links(self, info: Info) -> list[PublicLink]:
        if (await self._part(info)).role is not ParticipantRole.OWNER:
            return []
        found = await info.context.loaders.public_links.load(self.row.id)
        return [PublicLink.from_row(row) for row in found]

    @strawberry.field(description="The messages of the active branch, oldest first.")
    async def messages(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> ChatMessageConnection:
        wanted = selected(info, "edges", "node")
        history = await chat.list_messages(
            self.row,
            page_request(first, after, last, before),
            brief=wanted <= message_columns.BRIEF_FIELDS,
            with_citations="citations" in wanted,
            with_authors="author" in wanted,
        )
        return ChatMessageConnection.from_page(history.page, history)

    async def _part(self, info: Info) -> ParticipantRow:
        """The viewer's part in it.

        Raises:
            NotFound: it was taken away while the operation ran.
        """
        viewer = info.context.app.require_viewer()
        for part in await info.context.loaders.participants.load(self.row.id):
            if part.user_id == viewer.id:
                return part
        if self.former_part is not None:
            return self.former_part
        raise errors.NotFound("session")

    @classmethod
    def from_row(cls, row: SessionRow, *, former_part: ParticipantRow | None = None) -> ChatSession:
        return cls(
            row=row,
            former_part=former_part,
            id=global_id("ChatSession", row.id),
            title=row.title,
            created_at=row.created_at,
            updated_at=row.updated_at,
            answers=row.answers,
        )


@strawberry.type(
    description="A question, a message to the people of the session, or a reply. Messages form a "
    "tree."
)
class ChatMessage(Node):
    row: strawberry.Private[MessageRow]
    role: MessageRole = strawberry.field(description="Who it is from.")
    status: MessageStatus = strawberry.field(description="How far it is; a question is COMPLETE.")
    content: str = strawberry.field(
        description="The text. Of a running reply it is empty: follow it with `reply`."
    )
    created_at: datetime = strawberry.field(description="When it was begun.")
    active: bool = strawberry.field(description="Whether it is on the branch that is shown.")
    grounded: bool | None = strawberry.field(
        description="Of a reply: did the knowledge base support it? Null while pending."
    )
    ungrounded_reason: UngroundedReason | None = strawberry.field(
        description="Of a reply that is not grounded: why. Null for all others, and for replies "
        "from before it was kept."
    )

    @strawberry.field(
        description="Of a reply: why it FAILED or was INTERRUPTED, in words for the user, in the "
        "viewer's language."
    )
    def failure(self, info: Info) -> str | None:
        failure = self.row.failure
        return None if failure is None else translate(failure, info.context.app.language)

    @strawberry.field(description="The viewer's rating of a reply.")
    async def rating(self, info: Info) -> Rating | None:
        row = await self._rating(info)
        return None if row is None else row.rating

    @strawberry.field(description="What the viewer wrote with their rating of a reply.")
    async def rating_comment(self, info: Info) -> str | None:
        row = await self._rating(info)
        return None if row is None else row.comment

    async def _rating(self, info: Info) -> RatingRow | None:
        if self.role is MessageRole.USER:
            return None
        viewer = info.context.app.require_viewer()
        return await info.context.loaders.ratings.load((viewer.id, self.row.id))

    @strawberry.field(description="The session that it belongs to.")
    async def session(self, info: Info) -> ChatSession:
        row = await info.context.loaders.sessions.load(self.row.session_id)
        assert row is not None, "a message goes with its session"
        return ChatSession.from_row(row)

    @strawberry.field(
        description="Who wrote it; null for the assistant.", metadata=batch(message_columns.authors)
    )
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

    @strawberry.field(
        description="This message and the others at its place, oldest first: edits of a question, "
        "regenerations of a reply."
    )
    async def siblings(self, info: Info) -> list[ChatMessage]:
        return [ChatMessage.from_row(row) for row in await self._siblings(info)]

    @strawberry.field(description="How many messages are at this place, itself included.")
    async def sibling_count(self, info: Info) -> int:
        return len(await self._siblings(info))

    @strawberry.field(description="Its number among them, from 1.")
    async def sibling_number(self, info: Info) -> int:
        ids = [row.id for row in await self._siblings(info)]
        return ids.index(self.row.id) + 1

    async def _siblings(self, info: Info) -> list[MessageRow]:
        # Of a message that was deleted meanwhile, only itself is left.
        key = (self.row.session_id, self.row.parent_id, self.role)
        return await info.context.loaders.siblings.load(key) or [self.row]

    @strawberry.field(
        description="Of a reply: the sources that it names as [1], [2], …",
        metadata=batch(message_columns.citations),
    )
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
            active=row.active,
            grounded=row.grounded,
            ungrounded_reason=row.ungrounded_reason,
        )


@strawberry.type(description="One message of a connection.")
class ChatMessageEdge:
    found: strawberry.Private[FoundMessage | None]
    cursor: str = strawberry.field(description="Opaque; give it as after or before.")
    node: ChatMessage = strawberry.field(description="The message itself.")

    @strawberry.field(
        description="Of a search: the part of the message to show. Null in other connections."
    )
    def snippet(self) -> MessageSnippet | None:
        if self.found is None:
            return None
        snippet = self.found.snippet()
        return MessageSnippet(
            text=snippet.text,
            start_offset=snippet.start,
            highlights=[TextRange(start=start, end=end) for start, end in snippet.matches],
        )


class _Edges(Columns):
    """The edges of a page."""

    kind = ChatMessageEdge

    def __init__(self, page: Page[MessageRow], history: History | None) -> None:
        self._page = page
        self._related = history or History(page, None, None)

    def __len__(self) -> int:
        return len(self._page.rows)

    def column(self, name: str) -> Sequence[Any] | Columns | None:
        rows = self._page.rows
        if name == "cursor":
            return self._page.cursors
        if name == "node" and isinstance(rows, Table):
            return RowColumns(
                ChatMessage, rows, ChatMessage.from_row, {"id": _message_ids}, self._related
            )
        return None

    def objects(self) -> list[ChatMessageEdge]:
        return [
            ChatMessageEdge(found=None, cursor=cursor, node=ChatMessage.from_row(row))
            for row, cursor in zip(self._page.rows, self._page.cursors, strict=True)
        ]


def _message_ids(rows: Table[MessageRow]) -> list[strawberry.ID]:
    return [global_id("ChatMessage", key) for key in rows.raw("id")]


@strawberry.type(description="One page of messages; at most 100.")
class ChatMessageConnection:
    page_info: PageInfo = strawberry.field(description="Where this page lies.")
    edges: list[ChatMessageEdge] = strawberry.field(description="The messages with their cursors.")

    @classmethod
    def from_page(
        cls, page: Page[MessageRow], history: History | None = None
    ) -> ChatMessageConnection:
        # Edges as columns stand for the list; only the executor ever looks at them.
        return cls(
            page_info=page_info(page), edges=cast("list[ChatMessageEdge]", _Edges(page, history))
        )

    @classmethod
    def from_search(cls, page: Page[FoundMessage]) -> ChatMessageConnection:
        return cls(
            page_info=page_info(page),
            edges=[
                ChatMessageEdge(
                    found=found, cursor=cursor, node=ChatMessage.from_row(found.message)
                )
                for found, cursor in zip(page.rows, page.cursors, strict=True)
            ],
        )
