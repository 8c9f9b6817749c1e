"""The store on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tortoise.exceptions import IntegrityError

from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.citation import Citation
from models.statements import insert_values
from models.store import Store, StoreError, tortoise_config
from models.user import User

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def make_user(email: str = "a@example.com") -> User:
    return await User.create(email=email, display_name="A", password_hash="x")


async def test_migrations_are_made_and_applied_once(store: Store) -> None:
    """A second start applies nothing, and the models hold nothing that no migration makes."""
    assert await store.migrate() == []
    assert await store.unmade_migrations() == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_several_processes_may_make_the_tables(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One makes them, and the others wait for it, whoever comes first."""
    if kind == "sqlite":
        url = f"sqlite://{tmp_path / 'fresh.db'}"
    else:
        url = request.getfixturevalue("postgres").create()

    async def migrate() -> int:
        store = Store(url)
        await store.open()
        try:
            return len(await store.migrate())
        finally:
            await store.close()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        migrating = [tasks.create_task(migrate()) for _ in range(3)]
    made = sorted(task.result() for task in migrating)
    assert made[:2] == [0, 0]
    assert made[2] > 10


async def test_rows_from_before_a_column_get_its_default(store: Store) -> None:
    """A citation that was stored without headings has none, and a person has chosen no language."""
    user = await make_user()
    session = await ChatSession.create(owner=user, title="x", updated_at=NOW)
    message = await ChatMessage.create(
        session=session,
        role=MessageRole.ASSISTANT,
        status=MessageStatus.COMPLETE,
        content="x [1]",
    )
    columns = ("message_id", "number", "title", "quote", "start_offset", "end_offset", "score")
    await store.write([insert_values(Citation, columns, [[message.id, 1, "T", "q", 0, 1, 0.5]])])
    assert (await Citation.get(message_id=message.id)).headings == []
    assert (await User.get(id=user.id)).language is None
    assert (await ChatMessage.get(id=message.id)).ungrounded_reason is None


async def test_ids_sort_by_time(store: Store) -> None:
    """Ten thousand ids made in a row sort in that order, as text and in the database."""
    ids = [new_id() for _ in range(10_000)]
    assert sorted(ids) == ids
    assert sorted(map(str, ids)) == list(map(str, ids))
    users = [await make_user(f"{n}@example.com") for n in range(20)]
    found = await User.all().order_by("id")
    assert [user.id for user in found] == [user.id for user in users]


async def test_a_transaction_is_seen_whole_or_not_at_all(store: Store) -> None:
    """What a failed transaction wrote is not there afterwards."""

    async def fail() -> None:
        async with store.transaction():
            await make_user()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await User.all().count() == 0


async def test_concurrent_transactions_do_not_mix(store: Store) -> None:
    """Of twenty transactions at once, every second one fails and leaves nothing."""

    async def write(number: int) -> None:
        async with store.transaction():
            await make_user(f"{number}@example.com")
            await asyncio.sleep(0)
            if number % 2:
                raise ValueError

    await asyncio.gather(*(write(number) for number in range(20)), return_exceptions=True)
    emails = [user.email for user in await User.all()]
    assert sorted(emails) == sorted(f"{number}@example.com" for number in range(0, 20, 2))


async def test_one_message_per_author_and_client_key(store: Store) -> None:
    """The database itself refuses a second message with the same key; no key is no restriction."""
    user = await make_user()
    session = await ChatSession.create(owner_id=user.id, title="t", updated_at=NOW)

    async def add(key: str | None) -> ChatMessage:
        return await ChatMessage.create(
            session_id=session.id,
            role=MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content="x",
            author_id=user.id,
            client_key=key,
        )

    await add("k")
    await add(None)
    await add(None)
    with pytest.raises(IntegrityError):
        await add("k")


async def test_deleting_a_person_deletes_their_sessions(store: Store) -> None:
    """Foreign keys are enforced, on SQLite too."""
    user = await make_user()
    await ChatSession.create(owner_id=user.id, title="t", updated_at=NOW)
    await user.delete()
    assert await ChatSession.all().count() == 0
    with pytest.raises(IntegrityError):
        await ChatSession.create(owner_id=new_id(), title="t", updated_at=NOW)


async def test_text_comes_back_unchanged(store: Store) -> None:
    """Any text but NUL and lone surrogates is stored as it is."""
    user = await make_user()
    text = "e\u0301 é \u202e 🎉 '\"; -- \\ %s $1 ?\r\n\t"
    session = await ChatSession.create(owner_id=user.id, title=text, updated_at=NOW)
    assert (await ChatSession.get(id=session.id)).title == text


async def test_a_database_has_one_server(store: Store) -> None:
    """A second server is refused while the first holds the lock, and only then."""
    second = Store(store._url)
    await second.open()
    try:
        async with store.exclusive():
            with pytest.raises(StoreError, match="Another server"):
                async with second.exclusive():
                    pass
        async with second.exclusive():
            pass
    finally:
        await second.close()


async def test_sqlite_is_configured_to_lose_nothing(tmp_path: Path) -> None:
    """WAL, full synchronisation, foreign keys and a busy time-out are in force."""
    store = Store(f"sqlite://{tmp_path / 'test.db'}")
    await store.open()
    try:
        values = {}
        for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
            row = (await store.connection.execute_query_dict(f"PRAGMA {pragma}"))[0]
            values[pragma] = next(iter(row.values()))
    finally:
        await store.close()
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5_000,
    }


async def test_a_database_that_is_away_is_told_in_a_sentence() -> None:
    """The refusal names the variable and holds no password."""
    store = Store("postgres://user:secret@127.0.0.1:1/name")
    with pytest.raises(StoreError) as refused:
        await store.open()
    assert "DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_other_databases_are_refused() -> None:
    """Only SQLite and PostgreSQL are supported."""
    with pytest.raises(StoreError, match="sqlite:// or postgres://"):
        tortoise_config("mysql://host/name")


async def test_columns_that_are_described_anew_keep_their_indexes(store: Store) -> None:
    """Tortoise makes an altered table of SQLite's anew, without them: our migrations do not."""
    rows = await store.connection.execute_query_dict(
        "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if store.is_sqlite
        else "SELECT tablename AS tbl_name, indexdef AS sql FROM pg_indexes"
    )
    columns = ("user_id", "expires_at")
    found = [row["sql"] for row in rows if row["tbl_name"] == "email_token"]
    assert all(any(column in sql for sql in found) for column in columns), found
