"""The turns before a question."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from models.chat_message import ChatMessage, MessageRole
from models.user import User
from rag.types import Turn

HISTORY_MESSAGES = 20
FORMER_USER = "Someone"


async def read_history(last: ChatMessage | None, asker: UUID | None) -> tuple[Turn, ...]:
    """The turns that end with `last`, oldest first, at most HISTORY_MESSAGES.

    If others than `asker`, who goes on from there, wrote some of them, each says who did. On the
    active branch the turns are one range of the index; elsewhere the parents are followed.
    """
    if last is None:
        return ()
    if last.active:
        rows = (
            await ChatMessage.filter(session_id=last.session_id, active=True, id__lte=last.id)
            .order_by("-id")
            .limit(HISTORY_MESSAGES)
        )
    else:
        rows = [last]
        while len(rows) < HISTORY_MESSAGES and rows[-1].parent_id is not None:
            rows.append(await ChatMessage.get(id=rows[-1].parent_id))
    names = await _names(rows, asker)
    return tuple(
        Turn("user", row.content, author=names.get(row.author_id))
        if row.role is MessageRole.USER
        else Turn("assistant", row.content)
        for row in reversed(rows)
        if row.content
    )


async def _names(rows: Sequence[ChatMessage], asker: UUID | None) -> dict[UUID | None, str]:
    """The display names of those who wrote; empty if that is only `asker`."""
    authors = {row.author_id for row in rows if row.role is MessageRole.USER}
    if authors <= {asker}:
        return {}
    users = await User.filter(id__in=authors - {None})
    # The message of an account that is gone has no author.
    return {None: FORMER_USER, **{user.id: user.display_name for user in users}}
