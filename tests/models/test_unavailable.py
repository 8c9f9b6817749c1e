"""A database that is held, away or silent: callers are told in time, and can use it afterwards."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from tortoise.exceptions import IntegrityError, OperationalError

from models import sqlite
from models.errors import StoreUnavailable, is_unavailable
from models.knowledge_state import KnowledgeState
from models.postgres import Client
from models.store import Store
from tests.postgres import PostgresServer

pytestmark = pytest.mark.anyio


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another connection has the write lock."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def opened(template: Path, path: Path, *, busy: int) -> Store:
    shutil.copy(template, path)
    store = Store(f"sqlite://{path}")
    await store.open()
    await store.connection.execute_query(f"PRAGMA busy_timeout={busy}")
    return store


async def test_a_transaction_that_cannot_begin_keeps_nothing(
    empty_sqlite: Path, tmp_path: Path, anyio_backend: str
) -> None:
    """A refused transaction leaves the connection to the next one."""
    store = await opened(empty_sqlite, tmp_path / "test.db", busy=50)
    with held(tmp_path / "test.db"):
        for _ in range(2):
            with pytest.raises(OperationalError) as refused:
                async with store.transaction():
                    raise AssertionError("not reached")
            assert is_unavailable(refused.value)
    async with asyncio.timeout(5), store.transaction():
        await KnowledgeState.create(name="a")
    assert await KnowledgeState.all().count() == 1
    await store.close()


async def test_a_caller_who_leaves_while_a_transaction_begins(
    empty_sqlite: Path, tmp_path: Path, anyio_backend: str
) -> None:
    """The transaction that begins after its caller has gone is undone before anyone else writes."""
    store = await opened(empty_sqlite, tmp_path / "test.db", busy=5000)

    async def begin() -> None:
        async with store.transaction():
            raise AssertionError("not reached")

    with held(tmp_path / "test.db"):
        caller = asyncio.create_task(begin())
        await asyncio.sleep(0.1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    async with asyncio.timeout(8):
        async with store.transaction():
            await KnowledgeState.create(name="a")
        await KnowledgeState.create(name="b")
    assert await KnowledgeState.all().count() == 2
    await store.close()


async def test_nobody_queues_behind_those_who_get_nowhere(
    empty_sqlite: Path, tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten writers of a database that is held are all told after the two limits, not one by one."""
    monkeypatch.setattr(sqlite, "TURN", 0.3)
    store = await opened(empty_sqlite, tmp_path / "test.db", busy=300)
    begun = time.monotonic()
    with held(tmp_path / "test.db"):
        results = await asyncio.gather(
            *(KnowledgeState.create(name=str(number)) for number in range(10)),
            return_exceptions=True,
        )
    assert time.monotonic() - begun < 2
    assert all(isinstance(result, Exception) and is_unavailable(result) for result in results)
    await KnowledgeState.create(name="a")
    await store.close()


async def test_postgres_that_does_not_answer(
    postgres: PostgresServer, empty_postgres: str, anyio_backend: str
) -> None:
    """A statement and a transaction are given up at the limit, and their connection with them."""
    store = Store(postgres.create(empty_postgres))
    await store.open()
    client = store.connection
    assert isinstance(client, Client)
    assert client.limit == 10.0
    client.limit = 0.3
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await client.execute_query("SELECT pg_sleep(20)")

    async def write_and_sleep() -> None:
        async with store.transaction() as transaction:
            await KnowledgeState.create(name="a")
            await transaction.execute_query("SELECT pg_sleep(20)")

    with pytest.raises(StoreUnavailable):
        await write_and_sleep()
    assert time.monotonic() - begun < 3
    client.limit = 10.0
    assert await KnowledgeState.all().count() == 0
    async with store.transaction():
        await KnowledgeState.create(name="b")
    assert await KnowledgeState.all().count() == 1
    await store.close()


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (StoreUnavailable("late"), True),
        (asyncpg.DiskFullError("full"), True),
        (asyncpg.CannotConnectNowError("starting"), True),
        (asyncpg.ConnectionDoesNotExistError("closed"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.exceptions._base.DataError("wrong value"), False),
        (asyncpg.UniqueViolationError("twice"), False),
        (IntegrityError("twice"), False),
        (OperationalError("no such table"), False),
        (OSError("a file"), False),
    ],
)
def test_what_says_that_the_database_is_away(error: Exception, away: bool) -> None:
    """Errors of the connection and the disk do; those of the statement and its values do not."""
    assert is_unavailable(error) is away
