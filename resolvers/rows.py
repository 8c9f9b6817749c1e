"""Rows by their ids, for batch loaders.

No rights are checked here: a loader only follows references of objects that the viewer may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from tortoise.functions import Count

from models.chat_message import ChatMessage, MessageRole
from models.chat_session import ChatSession
from models.citation import Citation
from models.collection import Collection, CollectionMember
from models.document import Document
from models.message_rating import MessageRating
from models.participant import Invitation, Participant, PublicLink
from models.reading import Table, select_among
from models.user import User

# What siblings share: session, parent and role.
Place: TypeAlias = tuple[UUID, UUID | None, MessageRole]


async def users(ids: Sequence[UUID | str]) -> Table[User]:
    return await select_among(User, "id", set(ids))


async def sessions(ids: Sequence[UUID]) -> Table[ChatSession]:
    return await select_among(ChatSession, "id", set(ids))


async def messages(ids: Sequence[UUID]) -> Table[ChatMessage]:
    return await select_among(ChatMessage, "id", set(ids))


async def citations(message_ids: Sequence[UUID | str]) -> Table[Citation]:
    return await select_among(Citation, "message_id", set(message_ids), order="message_id, number")


async def collections(ids: Sequence[UUID]) -> list[Collection]:
    return await Collection.filter(id__in=set(ids))


async def document_counts(collection_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many documents stand in each of these collections; empty ones are left out."""
    counted = (
        await Document.filter(collection_id__in=set(collection_ids), deleted_at__isnull=True)
        .annotate(count=Count("id"))
        .group_by("collection_id")
        .values("collection_id", "count")
    )
    return {row["collection_id"]: row["count"] for row in counted}


async def collection_members(collection_ids: Sequence[UUID]) -> list[CollectionMember]:
    """Whom these collections name, with the account or the group, in the order of naming."""
    return (
        await CollectionMember.filter(collection_id__in=set(collection_ids))
        .select_related("user", "group")
        .order_by("id")
    )


async def participants(session_ids: Sequence[UUID]) -> list[Participant]:
    """Everyone in these sessions, with the person, in the order of joining."""
    return (
        await Participant.filter(session_id__in=set(session_ids))
        .select_related("user")
        .order_by("created_at", "id")
    )


async def invitations(session_ids: Sequence[UUID]) -> list[Invitation]:
    """All that are open, in the order in which they were made."""
    return await Invitation.filter(session_id__in=set(session_ids)).order_by("created_at", "id")


async def public_links(session_ids: Sequence[UUID]) -> list[PublicLink]:
    """All that have not been revoked, in the order in which they were made."""
    return await PublicLink.filter(
        session_id__in=set(session_ids), revoked_at__isnull=True
    ).order_by("id")


async def ratings(keys: Sequence[tuple[UUID, UUID]]) -> list[MessageRating]:
    """By person and message."""
    return await MessageRating.filter(
        user_id__in={user for user, _ in keys}, message_id__in={message for _, message in keys}
    )


async def siblings(places: Sequence[Place]) -> list[ChatMessage]:
    """All messages at these places, oldest first."""
    parents = {parent for _, parent, _ in places if parent is not None}
    roots = {session for session, parent, _ in places if parent is None}
    found: list[ChatMessage] = []
    if roots:
        found += await ChatMessage.filter(session_id__in=roots, parent_id__isnull=True)
    if parents:
        found += await ChatMessage.filter(parent_id__in=parents)
    return sorted(found, key=lambda row: row.id)
