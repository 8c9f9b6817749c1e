"""Pages of a conversation with what belongs to their messages."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from models.chat_message import ChatMessage, MessageRole
from models.citation import Citation
from models.reading import Query, Table, among_step, select_step, steps
from models.user import User

# What most pages show of a message. The other half of its columns is about how a reply was made.
BRIEF: Final = (
    "id",
    "session_id",
    "author_id",
    "role",
    "status",
    "content",
    "created_at",
    "active",
    "grounded",
    "ungrounded_reason",
)


@dataclass(frozen=True, slots=True)
class MessageRows:
    """Messages in order of their ids; `citations` (in order of message and number) and `authors`
    are None if nobody wanted them."""

    messages: Table[ChatMessage]
    citations: Table[Citation] | None
    authors: Table[User] | None


async def read_messages(
    session_id: UUID,
    *,
    after: UUID | None,
    before: UUID | None,
    newest_first: bool,
    limit: int,
    brief: bool = False,
    with_citations: bool = False,
    with_authors: bool = False,
) -> MessageRows:
    """Messages of a session's active branch between two ids; all their fields, or those of
    `BRIEF`."""
    values: list[UUID | int] = [session_id]
    where = 't."session_id" = $1 AND t."active" = TRUE'
    for key, sign in ((after, ">"), (before, "<")):
        if key is not None:
            values.append(key)
            where += f' AND t."id" {sign} ${len(values)}'
    values.append(limit)
    order = "DESC" if newest_first else "ASC"
    tail = f'WHERE {where} ORDER BY t."id" {order} LIMIT ${len(values)}'

    def work(is_sqlite: bool) -> Generator[Query, Sequence[Any], MessageRows]:
        messages = yield from select_step(
            ChatMessage, tail, values, is_sqlite, only=BRIEF if brief else None
        )
        citations = authors = None
        if with_citations:
            replies = [
                key
                for key, role in zip(messages.raw("id"), messages.raw("role"), strict=True)
                if role == MessageRole.ASSISTANT
            ]
            citations = yield from among_step(
                Citation, "message_id", replies, is_sqlite, order="message_id, number"
            )
        if with_authors:
            ids = {key for key in messages.raw("author_id") if key is not None}
            authors = yield from among_step(User, "id", ids, is_sqlite)
        return MessageRows(messages, citations, authors)

    return await steps(ChatMessage, work)
