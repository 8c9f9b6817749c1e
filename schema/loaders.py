"""Batch loaders: related objects of one operation come in one query per kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from models.chat_message import ChatMessage
from models.chat_session import ChatSession
from models.citation import Citation
from models.collection import Collection, CollectionMember
from models.document import Document
from models.message_rating import MessageRating
from models.participant import Invitation, Participant, PublicLink
from models.user import User
from resolvers import rows
from resolvers.context import Services
from resolvers.knowledge.audiences import readable_documents

R = TypeVar("R", User, ChatSession, ChatMessage, Collection)


class Loaders:
    """The loaders of one operation.

    They batch but do not cache: a subscription lives long, and must see what has changed since.
    """

    def __init__(self, services: Services, viewer_id: UUID | None) -> None:
        self.users = DataLoader(load_users, cache=False)
        self.sessions = DataLoader(_load_sessions, cache=False)
        self.messages = DataLoader(_load_messages, cache=False)
        self.citations = DataLoader(_load_citations, cache=False)
        self.siblings = DataLoader(_load_siblings, cache=False)
        self.participants = DataLoader(_load_participants, cache=False)
        self.invitations = DataLoader(_load_invitations, cache=False)
        self.public_links = DataLoader(_load_public_links, cache=False)
        self.ratings = DataLoader(_load_ratings, cache=False)
        self.documents = DataLoader(self._load_documents, cache=False)
        self.collections = DataLoader(_load_collections, cache=False)
        self.document_counts = DataLoader(_load_document_counts, cache=False)
        self.collection_members = DataLoader(_load_collection_members, cache=False)
        self._services = services
        self._viewer_id = viewer_id

    async def _load_documents(self, keys: list[UUID]) -> list[Document | None]:
        """None, too, for documents that the viewer may not read: every reference comes by here."""
        if self._viewer_id is None:
            return [None] * len(keys)
        found = await readable_documents(
            self._services.store, self._services.knowledge.documents, self._viewer_id, keys
        )
        return [found.get(key) for key in keys]


def _in_order(keys: Sequence[UUID], found: Iterable[R]) -> list[R | None]:
    by_id = {row.id: row for row in found}
    return [by_id.get(key) for key in keys]


async def load_users(keys: list[UUID]) -> list[User | None]:
    return _in_order(keys, await rows.users(keys))


async def _load_sessions(keys: list[UUID]) -> list[ChatSession | None]:
    return _in_order(keys, await rows.sessions(keys))


async def _load_messages(keys: list[UUID]) -> list[ChatMessage | None]:
    return _in_order(keys, await rows.messages(keys))


async def _load_collections(keys: list[UUID]) -> list[Collection | None]:
    return _in_order(keys, await rows.collections(keys))


async def _load_document_counts(collection_ids: list[UUID]) -> list[int]:
    found = await rows.document_counts(collection_ids)
    return [found.get(key, 0) for key in collection_ids]


async def _load_collection_members(keys: list[UUID]) -> list[list[CollectionMember]]:
    grouped: defaultdict[UUID, list[CollectionMember]] = defaultdict(list)
    for row in await rows.collection_members(keys):
        grouped[row.collection_id].append(row)
    return [grouped[key] for key in keys]


async def _load_citations(keys: list[UUID]) -> list[list[Citation]]:
    grouped: defaultdict[UUID, list[Citation]] = defaultdict(list)
    for row in await rows.citations(keys):
        grouped[row.message_id].append(row)
    return [grouped[key] for key in keys]


async def _load_siblings(keys: list[rows.Place]) -> list[list[ChatMessage]]:
    grouped: defaultdict[rows.Place, list[ChatMessage]] = defaultdict(list)
    for row in await rows.siblings(keys):
        grouped[row.session_id, row.parent_id, row.role].append(row)
    return [grouped[key] for key in keys]


async def _load_participants(session_ids: list[UUID]) -> list[list[Participant]]:
    grouped: defaultdict[UUID, list[Participant]] = defaultdict(list)
    for row in await rows.participants(session_ids):
        grouped[row.session_id].append(row)
    return [grouped[key] for key in session_ids]


async def _load_invitations(session_ids: list[UUID]) -> list[list[Invitation]]:
    grouped: defaultdict[UUID, list[Invitation]] = defaultdict(list)
    for row in await rows.invitations(session_ids):
        grouped[row.session_id].append(row)
    return [grouped[key] for key in session_ids]


async def _load_public_links(session_ids: list[UUID]) -> list[list[PublicLink]]:
    grouped: defaultdict[UUID, list[PublicLink]] = defaultdict(list)
    for row in await rows.public_links(session_ids):
        grouped[row.session_id].append(row)
    return [grouped[key] for key in session_ids]


async def _load_ratings(keys: list[tuple[UUID, UUID]]) -> list[MessageRating | None]:
    """By person and message."""
    found = {(row.user_id, row.message_id): row for row in await rows.ratings(keys)}
    return [found.get(key) for key in keys]
