"""SQLite as this product uses it. Tortoise finds `client_class` here by the name of the module."""

from __future__ import annotations

import asyncio
import math
import re
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar, cast

import aiosqlite
from tortoise.backends.base.client import (
    ConnectionWrapper,
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
)
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.connection import get_connections
from tortoise.exceptions import IntegrityError, OperationalError

from models.errors import StoreUnavailable
from models.statements import Statement, Unmet

_PARAMETER = re.compile(r"\$(\d+)")
# An INSERT of one row of parameters in their order, as `models.statements` makes them.
_INSERT = re.compile(r"(INSERT INTO [^()]+ \([^()]+\) VALUES )\(([$\d,]+)\)")
# SQLite takes 32,766 parameters; more than some thousands gain nothing.
_MAX_VALUES = 4_096
# How long a write waits for those before it while none of them succeeds. The lock of another
# process is waited for besides (`busy_timeout`), so that nobody waits longer than the two together
# for a database that cannot be written. Seconds.
TURN = 5.0


T = TypeVar("T")

Steps = Generator[tuple[str, list[Any]], Sequence[Any], T]
"""Statements that depend on each other's rows: each that is given comes back as its rows."""


class Client(SqliteClient):
    """Three connections to one file: one reads and writes, the others only read.

    In WAL mode a reader sees the last commit and never waits for a writer, so a history is read
    while a commit is on its way to the disk. One reader has a thread of its own. The other reads
    rows by their keys within the event loop: that takes a tenth of the switch to a thread and back.
    A database in memory has one connection for everything.
    """

    def __init__(self, file_path: str, **kwargs: Any) -> None:
        super().__init__(file_path, **kwargs)
        self._reader: aiosqlite.Connection | None = None
        self._point_reader: sqlite3.Connection | None = None
        self._lock = _Queue()

    async def create_connection(self, with_db: bool) -> None:
        await super().create_connection(with_db)
        if self._reader is None and self.filename != ":memory:":
            reader = await aiosqlite.connect(self.filename, isolation_level=None)
            reader._conn.row_factory = sqlite3.Row
            timeout = self.pragmas.get("busy_timeout", 0)
            for pragma in ("query_only=ON", f"busy_timeout={timeout}"):
                cursor = await reader.execute(f"PRAGMA {pragma}")
                await cursor.close()
            self._reader = reader
            # It never waits for a lock, since nothing else would run meanwhile.
            point_reader = sqlite3.connect(self.filename, isolation_level=None, timeout=0)
            point_reader.execute("PRAGMA query_only=ON")
            self._point_reader = point_reader

    async def close(self) -> None:
        # The writer last: the connection that closes last folds the log into the file.
        point_reader, self._point_reader = self._point_reader, None
        if point_reader is not None:
            point_reader.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
        await super().close()

    @translate_exceptions
    async def execute_query(
        self, query: str, values: list[Any] | None = None
    ) -> tuple[int, Sequence[dict[str, Any]]]:
        if self._reader is None or not query.startswith("SELECT"):
            done: tuple[int, Sequence[dict[str, Any]]] = await super().execute_query(query, values)
            return done
        rows = await self._read(self._reader, query, values)
        return len(rows), cast("list[dict[str, Any]]", rows)

    @translate_exceptions
    async def execute_query_dict(
        self, query: str, values: list[Any] | None = None
    ) -> list[dict[str, Any]]:
        if self._reader is None or not query.startswith("SELECT"):
            found: list[dict[str, Any]] = await super().execute_query_dict(query, values)
            return found
        return [dict(row) for row in await self._read(self._reader, query, values)]

    @property
    def has_reader(self) -> bool:
        return self._reader is not None

    def read_by_key(self, query: str, values: list[Any]) -> Sequence[Any] | None:
        """The few rows that a key finds, read within the event loop; None if that cannot be done
        without waiting."""
        if self._point_reader is None:
            return None
        try:
            self.log.debug("%s: %s", query, values)
            return self._point_reader.execute(query, values).fetchall()
        except sqlite3.Error:
            return None

    @translate_exceptions
    async def read_steps(self, steps: Steps[T]) -> T:
        """All steps in one go of the reader's thread."""
        assert self._reader is not None
        in_its_thread: Any = self._reader._execute
        return cast(T, await in_its_thread(_take_steps, self._reader._conn, steps))

    async def _read(
        self, reader: aiosqlite.Connection, query: str, values: list[Any] | None
    ) -> list[sqlite3.Row]:
        self.log.debug("%s: %s", query, values)
        query = query.replace("\x00", "'||CHAR(0)||'")  # as Tortoise does
        return list(await reader.execute_fetchall(query, values))

    def acquire_connection(self) -> ConnectionWrapper[aiosqlite.Connection]:
        return _Turn(self._lock, self)

    def _in_transaction(self) -> TransactionContext:
        return _TransactionTurn(Transaction(self), self._lock)

    async def execute_statements(self, statements: Sequence[Statement]) -> None:
        """All statements in a transaction of their own, in one step of the connection's thread."""
        async with self.acquire_connection() as connection:
            await _execute(connection, statements, own_transaction=True)


class Transaction(SqliteTransactionWrapper):
    """A transaction. It takes the write lock at once: one that first reads and then writes would
    be refused if another process wrote in between."""

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(Transaction(cast(SqliteClient, self)))

    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error

    async def commit(self) -> None:
        try:
            await super().commit()
        except sqlite3.OperationalError as error:
            # Whoever comes next must find no transaction of ours.
            await self._connection.rollback()
            raise OperationalError(error) from error

    async def execute_statements(self, statements: Sequence[Statement]) -> None:
        """All statements as a part of this transaction, in one step of the connection's thread."""
        async with cast("ConnectionWrapper[aiosqlite.Connection]", self.acquire_connection()) as c:
            await _execute(c, statements, own_transaction=False)


client_class = Client


class _Queue(asyncio.Lock):
    """Those who want to use the connection, and when the last of them succeeded."""

    succeeded = -math.inf


class _Turn(ConnectionWrapper[aiosqlite.Connection]):
    """The connection, once those who came before have done with it."""

    async def __aenter__(self) -> aiosqlite.Connection:
        await _wait_turn(self._lock)
        try:
            await self.ensure_connection()
        except BaseException:
            self._lock.release()
            raise
        return self.connection

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            cast(_Queue, self._lock).succeeded = time.monotonic()
        await super().__aexit__(kind, error, traceback)


class _TransactionTurn(SqliteTransactionContext):
    """Tortoise's context keeps the connection for ever when its transaction cannot begin."""

    # What undoes transactions whose callers have gone; the loop alone would forget these tasks.
    _undoing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> TransactionalDBClient:
        await _wait_turn(self._trxlock)
        try:
            await self.ensure_connection()
            await self.connection.begin()
        except BaseException:
            # Cancelled, the connection's thread may still be about to begin the transaction.
            undoing = asyncio.create_task(self._undo())
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise
        self.token = get_connections().set(self.connection_name, self.connection)
        transaction: TransactionalDBClient = self.connection
        return transaction

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await super().__aexit__(kind, error, traceback)
        if kind is None:
            cast(_Queue, self._trxlock).succeeded = time.monotonic()

    async def _undo(self) -> None:
        try:
            await self.connection._connection.rollback()
        except (sqlite3.Error, ValueError):
            pass  # nothing had begun, or the connection was closed meanwhile
        finally:
            self._trxlock.release()


async def _wait_turn(queue: Any) -> None:
    """Acquire the lock.

    Raises:
        StoreUnavailable: those who came before get nowhere.
    """
    begun = time.monotonic()
    while True:
        left = max(begun, queue.succeeded) + TURN - time.monotonic()
        if left <= 0:
            raise StoreUnavailable(f"nothing could be written for {TURN:g} s")
        if not queue.locked():
            await queue.acquire()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await queue.acquire()
                return


async def _execute(
    connection: aiosqlite.Connection, statements: Sequence[Statement], *, own_transaction: bool
) -> None:
    # aiosqlite's public calls take one statement, and each costs a switch between threads, which
    # takes longer than the statement.
    in_its_thread: Any = connection._execute
    try:
        await in_its_thread(_run, connection._conn, statements, own_transaction)
    except sqlite3.OperationalError as error:
        raise OperationalError(error) from error
    except sqlite3.IntegrityError as error:
        raise IntegrityError(error) from error


def _run(
    connection: sqlite3.Connection, statements: Sequence[Statement], own_transaction: bool
) -> None:
    if own_transaction:
        connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            changed = 0
            for sql, values in _steps(statement):
                changed += connection.execute(sql, values).rowcount
            if statement.expect is not None and changed != statement.expect:
                raise Unmet(statement.sql)
        if own_transaction:
            connection.execute("COMMIT")
    except BaseException:
        # SQLite itself has undone everything after some errors, such as a full disk.
        if own_transaction and connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _take_steps(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    cursor = connection.cursor()
    cursor.row_factory = None  # tuples
    try:
        sql, values = next(steps)
        while True:
            sql, values = steps.send(cursor.execute(sql, values).fetchall())
    except StopIteration as end:
        return cast(T, end.value)


def _steps(statement: Statement) -> Iterator[tuple[str, list[Any]]]:
    """The statement's rows in as few calls as can be.

    Python's sqlite3 lets go of the interpreter at every call and `executemany` at every row, and
    while the event loop is busy it takes up to 5 ms to get it back each time. Rows that are
    inserted therefore go in groups. Their sizes are powers of two: each is one prepared statement,
    and there are few.
    """
    insert = _INSERT.fullmatch(statement.sql)
    rows, place = statement.rows, 0
    while place < len(rows):
        size = 1
        if insert is not None:
            most = min(len(rows) - place, _MAX_VALUES // max(1, len(rows[place])))
            size = 1 << (max(1, most).bit_length() - 1)
        if size == 1:
            yield _numbered(statement.sql), rows[place]
        else:
            group = rows[place : place + size]
            yield _grouped(statement.sql, size), [value for row in group for value in row]
        place += size


@lru_cache(maxsize=256)
def _grouped(sql: str, size: int) -> str:
    """An INSERT of one row as one of `size` rows."""
    insert = _INSERT.fullmatch(sql)
    assert insert is not None
    values = ",".join("?" * len(_PARAMETER.findall(insert[2])))
    return f"{insert[1]}{','.join([f'({values})'] * size)}"


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    return _PARAMETER.sub(r"?\1", sql)
