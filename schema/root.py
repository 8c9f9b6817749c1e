"""The schema as a whole."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import strawberry
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types
from strawberry.types import ExecutionContext

from resolvers import chat, collections, groups, public_links
from resolvers.answers import approving, unanswered
from resolvers.knowledge import search
from schema.account import AccountMutation, AccountQuery, User
from schema.answers import AnswersMutation, AnswersQuery, ApprovedAnswer, UnansweredGroup
from schema.api_keys import ApiKeyMutation, ApiKeyQuery
from schema.branches import BranchMutation
from schema.chat import ChatMutation, ChatQuery, ChatSubscription
from schema.chat_types import ChatMessage, ChatSession, PublicLink
from schema.collection_types import Collection, UserGroup
from schema.collections import CollectionMutation, CollectionQuery
from schema.context import Info
from schema.conversation import ConversationMutation
from schema.documents import DocumentMutation, DocumentSubscription
from schema.explain import ExplainQuery
from schema.export import ExportQuery
from schema.groups import GroupMutation, GroupQuery
from schema.knowledge import Document, KnowledgeQuery
from schema.limits import OperationLimits, QueryLimits
from schema.message_search import MessageSearchQuery
from schema.node import Node, parse_global_id
from schema.organising import OrganisingMutation, OrganisingQuery
from schema.own_account import OwnAccountMutation
from schema.passwords import LoginsQuery, PasswordMutation
from schema.public_links import PublicLinkMutation, PublicLinkQuery
from schema.ratings import RatingMutation
from schema.reply_events import ReplyEnded, ReplyStarted, SourcesFound, TextDelta
from schema.scopes import guard_roots
from schema.second_factor import SecondFactorMutation, SecondFactorQuery
from schema.security_events import SecurityEventQuery
from schema.session_events import (
    SESSION_EVENTS,
    SessionEventsMutation,
    SessionEventsSubscription,
)
from schema.sharing import SharingMutation
from schema.sign_in import SignInMutation, SignInQuery
from transport.breadth import BreadthFirstExecution
from transport.documents import DocumentCache
from transport.extensions import KnownHooks


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
            case ("Collection", key):
                collection = await collections.get_collection(context, key)
                return None if collection is None else Collection.from_row(collection)
            case ("UserGroup", key):
                group = await groups.get_group(context, key)
                return None if group is None else UserGroup.from_row(group)
            case ("PublicLink", key):
                link = await public_links.get_public_link(context, key)
                return None if link is None else PublicLink.from_row(link)
            case ("ApprovedAnswer", key):
                approved = await approving.get_approved(context, key)
                return None if approved is None else ApprovedAnswer.from_row(approved)
            case ("UnansweredGroup", key):
                asked = await unanswered.get_group(context, key)
                return None if asked is None else UnansweredGroup.from_data(asked)
        return None


Query = merge_types(
    "Query",
    (
        AccountQuery,
        LoginsQuery,
        ApiKeyQuery,
        SecondFactorQuery,
        SignInQuery,
        SecurityEventQuery,
        NodeQuery,
        ChatQuery,
        MessageSearchQuery,
        OrganisingQuery,
        ExportQuery,
        KnowledgeQuery,
        CollectionQuery,
        GroupQuery,
        ExplainQuery,
        PublicLinkQuery,
        AnswersQuery,
    ),
)
Mutation = merge_types(
    "Mutation",
    (
        AccountMutation,
        PasswordMutation,
        OwnAccountMutation,
        ApiKeyMutation,
        SecondFactorMutation,
        SignInMutation,
        ChatMutation,
        BranchMutation,
        RatingMutation,
        OrganisingMutation,
        ConversationMutation,
        SharingMutation,
        PublicLinkMutation,
        CollectionMutation,
        GroupMutation,
        SessionEventsMutation,
        DocumentMutation,
        AnswersMutation,
    ),
)
Subscription = merge_types(
    "Subscription", (ChatSubscription, SessionEventsSubscription, DocumentSubscription)
)

for root, description in (
    (Query, "Reading; nothing changes."),
    (Mutation, "Changes. Outcomes for the user are members of each field's result union."),
    (Subscription, "Streams, over graphql-transport-ws, multipart HTTP or server-sent events."),
):
    root.__strawberry_definition__.description = description  # type: ignore[attr-defined]


class _Schema(strawberry.Schema):
    """Strawberry's schema without its own logging: `format_error` is the one place for that."""

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        return KnownHooks(execution_context, extensions)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        return


def build_schema(limits: QueryLimits | None = None) -> strawberry.Schema:
    """The executable schema. Parsed and validated documents are kept, the least used one goes."""
    chosen = limits or QueryLimits()
    subscribed: Counter[str] = Counter()
    schema = _Schema(
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
            PublicLink,
            Document,
            Collection,
            UserGroup,
            ApprovedAnswer,
            UnansweredGroup,
        ],
        extensions=[DocumentCache().extension, lambda: OperationLimits(chosen, subscribed)],
        execution_context_class=BreadthFirstExecution,
        config=StrawberryConfig(),
    )
    guard_roots(schema._schema)
    return schema
