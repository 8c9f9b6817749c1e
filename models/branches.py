"""Branches of a conversation: which path through the tree of messages a session shows.

A child is always younger than its parent, so along any path the ids rise. `active` marks one path.
The paths are read with recursive queries, so that a branch of ten thousand messages takes as many
round trips as one of two.
"""

from __future__ import annotations

from uuid import UUID

from models.chat_message import ChatMessage
from models.store import Store

_UPDATE_AT_ONCE = 500

# From a message upwards, as far as the first that is active already.
_UP = """
WITH RECURSIVE path(id, parent_id, active) AS (
    SELECT id, parent_id, active FROM chat_message WHERE id = {}
    UNION ALL
    SELECT message.id, message.parent_id, message.active
    FROM chat_message message JOIN path ON message.id = path.parent_id WHERE NOT path.active
)
SELECT id, active FROM path
"""

# From a message downwards, always to the newest child.
_DOWN = """
WITH RECURSIVE path(id) AS (
    SELECT id FROM chat_message WHERE id = {}
    UNION ALL
    SELECT (
        SELECT child.id FROM chat_message child WHERE child.parent_id = path.id
        ORDER BY child.id DESC LIMIT 1
    )
    FROM path WHERE path.id IS NOT NULL
)
SELECT id FROM path WHERE id IS NOT NULL
"""


async def end_at(store: Store, session_id: UUID, end: ChatMessage | None) -> None:
    """Make the path from the root to `end` the active one; None for an empty path.

    Call it in a transaction that holds the session.
    """
    await _activate(store, session_id, end, [])


async def show(store: Store, message: ChatMessage) -> None:
    """Make a path through `message` active: below it, always on to the newest child.

    Call it in a transaction that holds the session.
    """
    below = await _ids(store, _DOWN, message.id)
    await _activate(store, message.session_id, message, [one for one in below if one != message.id])


async def _activate(
    store: Store, session_id: UUID, end: ChatMessage | None, below: list[UUID]
) -> None:
    path: list[UUID] = []
    fork: UUID | None = None
    if end is not None:
        for row in await store.connection.execute_query_dict(_sql(store, _UP), [str(end.id)]):
            if row["active"]:
                fork = _uuid(row["id"])
            else:
                path.append(_uuid(row["id"]))
    behind = ChatMessage.filter(session_id=session_id, active=True)
    if fork is not None:
        behind = behind.filter(id__gt=fork)
    await behind.update(active=False)
    path += below
    for start in range(0, len(path), _UPDATE_AT_ONCE):
        part = path[start : start + _UPDATE_AT_ONCE]
        await ChatMessage.filter(id__in=part).update(active=True)


async def _ids(store: Store, sql: str, start: UUID) -> list[UUID]:
    rows = await store.connection.execute_query_dict(_sql(store, sql), [str(start)])
    return [_uuid(row["id"]) for row in rows]


def _sql(store: Store, sql: str) -> str:
    return sql.format("?" if store.is_sqlite else "$1::uuid").strip()


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
