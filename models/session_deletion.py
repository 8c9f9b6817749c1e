"""How a conversation is deleted."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from models.chat_message import ChatMessage
from models.chat_session import ChatSession
from models.store import Store


class _StillActive(Exception):
    """Undoes the transaction."""


async def delete_session(
    store: Store, session_id: UUID, *, inactive_since: datetime | None = None
) -> bool:
    """Delete a session with everything below it; False if there was none (or it was active since).

    The messages are taken apart first. Each is the child of the one before it, and the database's
    own cascade would follow that chain: its time grows with the square of the length (900 messages:
    1.5 s instead of 0.02 s), and SQLite gives up at a depth of 1,000.
    """
    session = ChatSession.filter(id=session_id)
    if inactive_since is not None:
        session = session.filter(updated_at__lt=inactive_since)
    try:
        async with store.transaction():
            await ChatMessage.filter(session_id=session_id).update(parent_id=None)
            if not await session.delete():
                raise _StillActive
    except _StillActive:
        return False
    return True
