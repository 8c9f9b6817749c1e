"""The full-text index on databases that were filled before it was made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.message_search import Phrase, find_messages
from models.participant import Participant, ParticipantRole
from models.statements import insert, insert_values
from models.store import Store
from models.user import User
from tests.postgres import PostgresServer
from tests.stores import copied_store

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
async def before(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Store]:
    """A store that knows nothing of the search yet."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create()
    else:
        url = f"sqlite://{tmp_path / 'test.db'}"
    store = Store(url)
    await store.open()
    executor = MigrationExecutor(store.connection, store._config["apps"])
    await executor.migrate([MigrationTarget("models", "0002_sharing")])
    yield store
    await store.close()


async def fill(*contents: str) -> User:
    user = await User.create(email="a@example.com", display_name="A", password_hash="x")
    session = await ChatSession.create(owner_id=user.id, title="t", updated_at=NOW)
    await Participant.create(
        session_id=session.id, user_id=user.id, role=ParticipantRole.OWNER, active_at=NOW
    )
    for content in contents:
        await ChatMessage.create(
            session_id=session.id,
            role=MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content=content,
        )
    return user


async def fill_before(store: Store, *contents: str) -> User:
    """Like `fill`, in tables that lack the columns which came later."""
    user = User(email="a@example.com", display_name="A", password_hash="x")
    session = ChatSession(owner_id=user.id, title="t", updated_at=NOW, created_at=NOW)
    part = Participant(
        session_id=session.id,
        user_id=user.id,
        role=ParticipantRole.OWNER,
        active_at=NOW,
        created_at=NOW,
    )
    rows = [
        (new_id(), NOW, session.id, MessageRole.USER, MessageStatus.COMPLETE, content, True)
        for content in contents
    ]
    await store.write(
        [
            insert_values(
                User,
                (
                    "id",
                    "created_at",
                    "updated_at",
                    "email",
                    "display_name",
                    "role",
                    "password_hash",
                ),
                [(user.id, NOW, NOW, user.email, user.display_name, user.role, "x")],
            ),
            insert(session),
            insert(part),
            insert_values(
                ChatMessage,
                ("id", "created_at", "session_id", "role", "status", "content", "active"),
                rows,
            ),
        ]
    )
    return user


async def found(store: Store, user_id: UUID, word: str) -> list[str]:
    hits = await find_messages(store, user_id, [Phrase((word,))], after=None, limit=100)
    rows = {row.id: row.content for row in await ChatMessage.all()}
    return [rows[hit.message_id] for hit in hits]


async def test_earlier_messages_are_indexed(before: Store) -> None:
    """The migration indexes what is there, and what comes later is indexed as it comes."""
    user = await fill_before(before, "Grüße aus Köln", "", "Köln again")
    assert "0003_message_search" in await before.migrate()
    assert await found(before, user.id, "koln") == ["Köln again", "Grüße aus Köln"]
    await ChatMessage.filter(content="").update(content="KÖLN!")
    assert sorted(await found(before, user.id, "koln")) == ["Grüße aus Köln", "KÖLN!", "Köln again"]


async def test_a_very_long_text_is_stored(store: Store) -> None:
    """A reply that is longer than an index takes is kept, and found by its first 200,000
    characters at least."""
    text = "begin " + " ".join(f"word{number}" for number in range(300_000))
    user = await fill(text)
    hits = await find_messages(store, user.id, [Phrase(("begin",))], after=None, limit=1)
    assert len(hits) == 1


async def test_vacuum_leaves_the_index_right(empty_sqlite: Path, tmp_path: Path) -> None:
    """VACUUM may number the rows of a table anew; the index still finds the same messages."""
    async with copied_store(empty_sqlite, tmp_path) as store:
        user = await fill("one gone", "two kept", "three kept")
        await ChatMessage.filter(content="one gone").delete()
        await store.connection.execute_query("VACUUM")
        assert await found(store, user.id, "two") == ["two kept"]
        assert await found(store, user.id, "kept") == ["three kept", "two kept"]
