"""Rows that are inserted in groups."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tortoise.exceptions import IntegrityError

from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.reply_log import EventKind, ReplyEvent
from models.statements import Statement, delete, group, insert, insert_values
from models.store import Store
from models.user import User
from tests.models.test_store import NOW, make_user

pytestmark = pytest.mark.anyio

FIELDS = ("reply_id", "seq", "kind", "text", "data")


@pytest.fixture
async def store(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    shutil.copy(empty_sqlite, tmp_path / "test.db")
    store = Store(f"sqlite://{tmp_path / 'test.db'}")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def reply(store: Store) -> ChatMessage:
    user = await make_user()
    session = ChatSession(owner_id=user.id, title="T", created_at=NOW, updated_at=NOW)
    message = ChatMessage(
        session_id=session.id,
        role=MessageRole.ASSISTANT,
        status=MessageStatus.STREAMING,
        content="",
        created_at=NOW,
    )
    await store.write([insert(session), insert(message)])
    return message


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 100, 819, 820, 2_000])
async def test_many_rows_are_inserted_as_they_are(
    store: Store, reply: ChatMessage, count: int
) -> None:
    """Whatever their number, each row comes once and in order, and all are counted."""
    rows = [[reply.id, n, EventKind.DELTA, f"{n}", [{"n": n}]] for n in range(count)]
    inserted = insert_values(ReplyEvent, FIELDS, rows)
    await store.write([Statement(inserted.sql, inserted.rows, expect=count)])
    found = await ReplyEvent.all().order_by("id")
    assert [[row.reply_id, row.seq, row.kind, row.text, row.data] for row in found] == rows


async def test_a_row_that_does_not_fit_undoes_its_group(store: Store, reply: ChatMessage) -> None:
    """The same seq twice is refused, and none of the rows is there."""
    rows = [[reply.id, n, EventKind.DELTA, "x", None] for n in [*range(50), 49]]
    with pytest.raises(IntegrityError):
        await store.write([insert_values(ReplyEvent, FIELDS, rows)])
    assert await ReplyEvent.all().count() == 0


async def test_the_same_sql_is_sent_once(store: Store) -> None:
    """Statements are grouped in the order of their first, and must change as many rows together."""
    users = [User(email=f"{n}@example.com", display_name="x", password_hash="x") for n in range(3)]
    for user in users:
        user.created_at = user.updated_at = NOW
    gone = [Statement((d := delete(User, {"id": user.id})).sql, d.rows, 1) for user in users]
    inserted = [insert(user) for user in users]
    grouped = group([inserted[0], gone[0], inserted[1], gone[1], inserted[2], gone[2]])
    assert [len(statement.rows) for statement in grouped] == [3, 3]
    assert grouped[0].sql.startswith("INSERT")
    assert [statement.expect for statement in grouped] == [None, 3]
    await store.write(grouped)
    assert await User.all().count() == 0
    with pytest.raises(IntegrityError):
        await store.write(grouped[1:])
