"""The schema as a whole."""

from __future__ import annotations

from typing import Annotated

import strawberry
from graphql import GraphQLError
from strawberry.extensions import AddValidationRules
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types
from strawberry.types import ExecutionContext

from resolvers import chat
from resolvers.knowledge import search
from schema.account import AccountMutation, AccountQuery, User
from schema.branches import BranchMutation
from schema.chat import ChatMutation, ChatQuery, ChatSubscription
from schema.chat_types import ChatMessage, ChatSession
from schema.context import Info
from schema.knowledge import Document, KnowledgeQuery
from schema.limits import OperationLimits
from schema.node import Node, parse_global_id
from schema.reply_events import ReplyEnded, ReplyStarted, SourcesFound, TextDelta
from schema.session_events import (
    SESSION_EVENTS,
    SessionEventsMutation,
    SessionEventsSubscription,
)
from transport.documents import DocumentCache


@strawberry.type
class NodeQuery:
    @strawberry.field(
        description="Any object by its id; null if it does not exist or the viewer may not see "
        "it. Needs a login."
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The object's id.")],
    ) -> Node | None:
        context = info.context.app
        viewer = context.require_viewer()
        match parse_global_id(id):
            case ("User", key):
                return User.from_row(viewer.user) if key == viewer.id else None
            case ("ChatSession", key):
                session = await chat.get_session(context, key)
                return None if session is None else ChatSession.from_row(session)
            case ("ChatMessage", key):
                message = await chat.get_message(context, key)
                return None if message is None else ChatMessage.from_row(message)
            case ("Document", key):
                document = await search.get_document(context, key)
                return None if document is None else Document.from_row(document)
        return None


Query = merge_types("Query", (AccountQuery, NodeQuery, ChatQuery, KnowledgeQuery))
Mutation = merge_types(
    "Mutation", (AccountMutation, ChatMutation, BranchMutation, SessionEventsMutation)
)
Subscription = merge_types("Subscription", (ChatSubscription, SessionEventsSubscription))

for root, description in (
    (Query, "Reading; nothing changes."),
    (Mutation, "Changes. Outcomes for the user are members of each field's result union."),
    (Subscription, "Streams, over graphql-transport-ws, multipart HTTP or server-sent events."),
):
    root.__strawberry_definition__.description = description  # type: ignore[attr-defined]


class _Schema(strawberry.Schema):
    """Strawberry's schema without its own logging: `format_error` is the one place for that."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        return


def build_schema() -> strawberry.Schema:
    """The executable schema. Parsed and validated documents are kept, the least used one goes."""
    return _Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[
            ReplyStarted,
            SourcesFound,
            TextDelta,
            ReplyEnded,
            *SESSION_EVENTS,
            User,
            ChatSession,
            ChatMessage,
            Document,
        ],
        extensions=[DocumentCache().extension, lambda: AddValidationRules([OperationLimits])],
        config=StrawberryConfig(),
    )
