"""Rows by their ids, for batch loaders.

No rights are checked here: a loader only follows references of objects that the viewer may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from models.chat_message import ChatMessage
from models.chat_session import ChatSession
from models.citation import Citation
from models.message_rating import MessageRating
from models.participant import Participant
from models.user import User


async def users(ids: Sequence[UUID]) -> list[User]:
    return await User.filter(id__in=set(ids))


async def sessions(ids: Sequence[UUID]) -> list[ChatSession]:
    return await ChatSession.filter(id__in=set(ids))


async def messages(ids: Sequence[UUID]) -> list[ChatMessage]:
    return await ChatMessage.filter(id__in=set(ids))


async def citations(message_ids: Sequence[UUID]) -> list[Citation]:
    return await Citation.filter(message_id__in=set(message_ids)).order_by("message_id", "number")


async def participants(session_ids: Sequence[UUID]) -> list[Participant]:
    """Everyone in these sessions, with the person, in the order of joining."""
    return (
        await Participant.filter(session_id__in=set(session_ids))
        .select_related("user")
        .order_by("created_at", "id")
    )


async def ratings(keys: Sequence[tuple[UUID, UUID]]) -> list[MessageRating]:
    """By person and message."""
    return await MessageRating.filter(
        user_id__in={user for user, _ in keys}, message_id__in={message for _, message in keys}
    )
