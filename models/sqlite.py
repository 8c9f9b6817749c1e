"""SQLite as this product uses it. Tortoise finds `client_class` here by the name of the module."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

import aiosqlite
from tortoise.backends.base.client import (
    ConnectionWrapper,
    NestedTransactionContext,
    TransactionContext,
)
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.exceptions import IntegrityError, OperationalError

from models.statements import Statement, Unmet

_PARAMETER = re.compile(r"\$(\d+)")
# An INSERT of one row of parameters in their order, as `models.statements` makes them.
_INSERT = re.compile(r"(INSERT INTO [^()]+ \([^()]+\) VALUES )\(([$\d,]+)\)")
# SQLite takes 32,766 parameters; more than some thousands gain nothing.
_MAX_VALUES = 4_096


class Client(SqliteClient):
    """Two connections to one file: one reads and writes, the other only reads.

    In WAL mode a reader sees the last commit and never waits for a writer, so a history is read
    while a commit is on its way to the disk. A database in memory has one connection for both.
    """

    def __init__(self, file_path: str, **kwargs: Any) -> None:
        super().__init__(file_path, **kwargs)
        self._reader: aiosqlite.Connection | None = None

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

    async def close(self) -> None:
        # The writer last: the connection that closes last folds the log into the file.
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

    async def _read(
        self, reader: aiosqlite.Connection, query: str, values: list[Any] | None
    ) -> list[sqlite3.Row]:
        self.log.debug("%s: %s", query, values)
        query = query.replace("\x00", "'||CHAR(0)||'")  # as Tortoise does
        return list(await reader.execute_fetchall(query, values))

    def _in_transaction(self) -> TransactionContext:
        return SqliteTransactionContext(Transaction(self), self._lock)

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

    async def execute_statements(self, statements: Sequence[Statement]) -> None:
        """All statements as a part of this transaction, in one step of the connection's thread."""
        async with cast("ConnectionWrapper[aiosqlite.Connection]", self.acquire_connection()) as c:
            await _execute(c, statements, own_transaction=False)


client_class = Client


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
