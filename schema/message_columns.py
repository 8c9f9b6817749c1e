"""Fields of many messages at once: what a page reads, and what it makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from models.chat_message import ChatMessage as MessageRow
from models.chat_message import MessageRole
from models.user import User as UserRow
from schema.account import User
from schema.citations import citations_of
from schema.columns import RowColumns
from schema.context import Info
from schema.loaders import load_users
from transport.columns import Grouped

BRIEF_FIELDS: Final = {
    "__typename",
    "id",
    "session",
    "role",
    "status",
    "content",
    "createdAt",
    "active",
    "grounded",
    "ungroundedReason",
    "author",
    "citations",
    "rating",
    "ratingComment",
}
"""The fields of `ChatMessage` for which `models.history.BRIEF` is enough."""

Messages = RowColumns[MessageRow] | list[Any]
"""What a batch of `ChatMessage` gets."""


async def authors(messages: Messages, info: Info) -> list[User | None]:
    found: Iterable[UserRow | None] | None = None
    if isinstance(messages, RowColumns):
        ids, found = messages.table.column("author_id"), messages.related.authors
    else:
        ids = [one.row.author_id for one in messages]
    if found is None:
        found = await load_users(list({key for key in ids if key is not None}))
    users = {row.id: User.from_row(row) for row in found if row is not None}
    known = {id(key): users.get(key) for key in ids}  # the same few objects, again and again
    return [known[id(key)] for key in ids]


async def citations(messages: Messages, info: Info) -> Grouped:
    found = None
    if isinstance(messages, RowColumns):
        keys, roles = messages.table.raw("id"), messages.table.column("role")
        found = messages.related.citations
    else:
        keys, roles = [one.row.id for one in messages], [one.role for one in messages]
    replies = [
        str(key) if role is MessageRole.ASSISTANT else None
        for key, role in zip(keys, roles, strict=True)
    ]
    return await citations_of(replies, found)
