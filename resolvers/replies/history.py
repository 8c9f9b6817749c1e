"""The turns before a question."""

from __future__ import annotations

from models.chat_message import ChatMessage, MessageRole
from rag.types import Turn

HISTORY_MESSAGES = 20


async def read_history(last: ChatMessage | None) -> tuple[Turn, ...]:
    """The turns that end with `last`, oldest first, at most HISTORY_MESSAGES.

    On the active branch that is one range of the index; elsewhere the parents are followed.
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
    return tuple(
        Turn("user" if row.role is MessageRole.USER else "assistant", row.content)
        for row in reversed(rows)
        if row.content
    )
