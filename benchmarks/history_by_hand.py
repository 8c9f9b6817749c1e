"""A page of a session as one would write it by hand: SQL in, JSON out, nothing between.

It answers with the same bytes as GraphQL does for `benchmarks.history.QUERY`. `read_page` reads on
the spot, which a server that has anything else to do cannot afford; `read_page_beside` reads as the
application does, on the connection that the store keeps for reading, beside the event loop.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Generator, Sequence
from typing import Any, cast

import orjson

from models.sqlite import Client
from models.store import Store

_MESSAGES = """SELECT m.id, m.role, m.status, m.content, m.created_at, u.id, u.display_name
FROM chat_message m LEFT JOIN user_account u ON u.id = m.author_id
WHERE m.session_id = ? AND m.active = 1 AND m.id > ? AND m.id < ?
ORDER BY m.id {order} LIMIT ?
"""
_CITATIONS = """SELECT message_id, number, title, quote, start_offset, end_offset, score
FROM citation WHERE message_id IN ({places}) ORDER BY message_id, number
"""


def read_page(connection: sqlite3.Connection, **place: Any) -> bytes:
    """The response's body; see `_page` for the arguments."""
    page = _page(**place)
    sql, values = next(page)
    while True:
        try:
            sql, values = page.send(connection.execute(sql, values).fetchall())
        except StopIteration as end:
            return cast(bytes, end.value)


async def read_page_beside(store: Store, **place: Any) -> bytes:
    """Like `read_page`, in one switch to the thread of the connection that only reads."""
    page: bytes = await cast(Client, store.connection).read_steps(_page(**place))
    return page


def _page(
    *,
    reader: str,
    session: str,
    size: int,
    backward: bool,
    after: str | None,
    before: str | None,
) -> Generator[tuple[str, list[Any]], Sequence[Any], bytes]:
    """Statements out, their rows in, at last the body. All ids are row ids; the session must be one
    that the reader is in."""
    found = yield (
        "SELECT 1 FROM participant WHERE session_id = ? AND user_id = ?",
        [session, reader],
    )
    if not found:
        return b'{"data":{"session":null}}'
    sql = _MESSAGES.format(order="DESC" if backward else "ASC")
    rows = list((yield sql, [session, after or "", before or "g", size + 1]))
    more = len(rows) > size
    rows = rows[:size]
    if backward:
        rows.reverse()
    replies = [row[0] for row in rows if row[1] == "ASSISTANT"]
    citations: dict[str, list[dict[str, Any]]] = {}
    for cited in (yield _CITATIONS.format(places=",".join("?" * len(replies))), replies):
        citations.setdefault(cited[0], []).append(
            {
                "number": cited[1],
                "title": cited[2],
                "quote": cited[3],
                "startOffset": cited[4],
                "endOffset": cited[5],
                "score": cited[6],
            }
        )
    edges = [
        {
            "cursor": _cursor(row[0]),
            "node": {
                "id": _id("ChatMessage", row[0]),
                "role": row[1],
                "status": row[2],
                "content": row[3],
                "createdAt": row[4].replace(" ", "T"),
                "author": row[5] and {"id": _id("User", row[5]), "displayName": row[6]},
                "citations": citations.get(row[0], []),
            },
        }
        for row in rows
    ]
    page = {
        "pageInfo": {
            "hasNextPage": before is not None if backward else more,
            "hasPreviousPage": more if backward else after is not None,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
        "edges": edges,
    }
    return orjson.dumps({"data": {"session": {"messages": page}}})


def _id(kind: str, row: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{row}".encode()).decode()


def _cursor(row: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([row], separators=(",", ":")).encode()).decode()
