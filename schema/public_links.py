"""Public links, and what everyone who has one may read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

import strawberry
from strawberry import UNSET

from models.chat_message import ChatMessage as MessageRow
from models.chat_message import MessageRole, MessageStatus
from models.citation import Citation as CitationRow
from resolvers import public_links
from schema.absent import given
from schema.chat import Deleted, DeleteResult
from schema.chat_types import PublicLink
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.errors import InvalidInput, NotFound, answers_problems
from schema.node import global_id, row_id

PublicLinkResult: TypeAlias = Annotated[
    PublicLink | InvalidInput | NotFound,
    strawberry.union("PublicLinkResult", description="The outcome of making a public link."),
]


@strawberry.type(description="A source of a reply, as everyone with the link sees it.")
class PublicCitation:
    number: int = strawberry.field(description="The n of [n] in the content.")
    title: str = strawberry.field(description="The document's title when it was cited.")
    quote: str = strawberry.field(description="Verbatim text of the document, as it was cited.")
    start_offset: int = strawberry.field(
        description="Where the quote begins in the document, in Unicode code points."
    )
    end_offset: int = strawberry.field(
        description="Where the quote ends in the document, in Unicode code points."
    )
    page: int | None = strawberry.field(
        description="The page of the PDF, or the slide, that the quote begins on, counted from 1. "
        "Null for documents without pages."
    )

    @classmethod
    def from_row(cls, row: CitationRow) -> PublicCitation:
        return cls(
            number=row.number,
            title=row.title,
            quote=row.quote,
            start_offset=row.start_offset,
            end_offset=row.end_offset,
            page=row.page,
        )


@strawberry.type(description="A message, as everyone with the link sees it.")
class PublicMessage:
    row: strawberry.Private[MessageRow]
    role: MessageRole = strawberry.field(description="Who it is from.")
    status: MessageStatus = strawberry.field(description="How far it is.")
    content: str = strawberry.field(description="The text; empty while a reply is being written.")
    created_at: datetime = strawberry.field(description="When it was begun.")
    grounded: bool | None = strawberry.field(
        description="Of a reply: did the knowledge base support it? Null while pending."
    )
    withheld: bool = strawberry.field(
        description="Of a reply: whether it was made from documents that are not open to everyone. "
        "Then content and citations are empty."
    )

    @strawberry.field(
        description="The display name of its author, never the address; null for the assistant "
        "and for accounts that are gone."
    )
    async def author_name(self, info: Info) -> str | None:
        if self.row.author_id is None:
            return None
        author = await info.context.loaders.users.load(self.row.author_id)
        if author is None:
            return None
        # Nothing keeps a person from choosing the address as the name.
        shown = author.display_name.casefold() != author.email.casefold()
        return author.display_name if shown else author.email.partition("@")[0]

    @strawberry.field(description="Of a reply: the sources that it names as [1], [2], …")
    async def citations(self, info: Info) -> list[PublicCitation]:
        if self.role is MessageRole.USER or self.withheld:
            return []
        found = await info.context.loaders.citations.load(self.row.id)
        return [PublicCitation.from_row(row) for row in found]

    @classmethod
    def from_shown(cls, shown: public_links.PublicMessage) -> PublicMessage:
        row = shown.row
        return cls(
            row=row,
            role=row.role,
            status=row.status,
            content="" if shown.withheld else row.content,
            created_at=row.created_at,
            grounded=row.grounded,
            withheld=shown.withheld,
        )


@strawberry.type(
    description="A conversation, or one reply of it, as everyone with the link sees it."
)
class PublicConversation:
    shown: strawberry.Private[public_links.PublicConversation]
    title: str = strawberry.field(
        description="The session's title; of one reply, the beginning of its question."
    )

    @strawberry.field(
        description="The messages of the active branch, or one reply with its question, oldest "
        "first."
    )
    async def messages(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[PublicMessage]:
        request = page_request(first, after, last, before)
        services = info.context.app.services
        page = await public_links.list_public_messages(services, self.shown, request)
        return connection(page, PublicMessage.from_shown)


@strawberry.type
class PublicLinkQuery:
    @strawberry.field(
        description="What a public link shows, as it is now; null if there is no such link, it was "
        "revoked, or its session was deleted. Needs no login."
    )
    async def public_conversation(
        self,
        info: Info,
        token: Annotated[str, strawberry.argument(description="The link's token.")],
    ) -> PublicConversation | None:
        shown = await public_links.read_public_conversation(info.context.app.services, token)
        return None if shown is None else PublicConversation(shown=shown, title=shown.title)


@strawberry.type
class PublicLinkMutation:
    @strawberry.mutation(
        description="Let anyone who has the link read a session, also what is added to it later, "
        "or only one reply with its question. At most 50 links at a time. Only for its owners."
    )
    @answers_problems
    async def create_public_link(
        self,
        info: Info,
        session_id: Annotated[strawberry.ID, strawberry.argument(description="The session's id.")],
        message_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="A reply of the session; absent: the whole session."),
        ] = UNSET,
    ) -> PublicLinkResult:
        wanted = given(message_id)
        # An id of nothing must not become the whole session.
        reply = None if wanted is None else row_id("ChatMessage", wanted) or UUID(int=0)
        key = row_id("ChatSession", session_id)
        row = await public_links.create_public_link(info.context.app, key, reply)
        return PublicLink.from_row(row)

    @strawberry.mutation(
        description="End a public link: from now on it shows nothing. Only for owners."
    )
    @answers_problems
    async def revoke_public_link(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The link's id.")],
    ) -> DeleteResult:
        key = row_id("PublicLink", id)
        revoked = await public_links.revoke_public_link(info.context.app, key)
        return Deleted(id=global_id("PublicLink", revoked))
