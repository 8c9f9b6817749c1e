"""The connection to the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionContext
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction

from models import postgres, sqlite
from models.statements import Statement, Unmet

MODEL_MODULES = [
    "models.user",
    "models.login",
    "models.email_token",
    "models.attempt",
    "models.email_change",
    "models.api_key",
    "models.outbox_mail",
    "models.chat_session",
    "models.chat_message",
    "models.participant",
    "models.message_rating",
    "models.citation",
    "models.reply_log",
    "models.collection",
    "models.document",
    "models.chunk",
    "models.knowledge_state",
    "models.ingestion",
    "models.approved_answer",
    "models.unanswered",
    "models.second_factor",
    "models.sign_in",
    "models.security_event",
]


try:
    import fcntl
except ImportError:  # Windows has no flock; there the lock is left out
    fcntl = None  # type: ignore[assignment]

IN_USE = "Another server uses this database; stop it first, or set another DATABASE_URL."
LOCK_NUMBER = 4_719_204_455  # any number: it names our lock within the database
MIGRATION_LOCK = LOCK_NUMBER + 1
_MIGRATION_POLL = 0.05  # seconds


class StoreError(Exception):
    """The database cannot be used as configured; the message says what to change."""


def tortoise_config(database_url: str) -> dict[str, Any]:
    """The configuration of Tortoise for a `sqlite://` or `postgres://` URL.

    SQLite runs in WAL mode, so readers and the writer do not wait for each other, with
    `synchronous=FULL`: every commit is on the disk before it is acknowledged, also when the power
    goes (NORMAL would only survive the process). It costs one fsync per commit, about 0.2 ms on an
    SSD; the replies that run share their commits. The busy time-out is for a second process, such
    as `server.py ingest`. On PostgreSQL nothing waits longer than `models.postgres.LIMIT`.

    Raises:
        StoreError: for a URL of another kind.
    """
    scheme = urlsplit(database_url).scheme
    # Tortoise keeps prepared statements by the connection's name, for all databases of a process:
    # the two dialects need two names.
    if scheme == "sqlite":
        name = "sqlite"
        path = database_url.removeprefix("sqlite://")
        connection: Any = {
            "engine": "models.sqlite",
            "credentials": {
                "file_path": path,
                "journal_mode": "WAL",
                "synchronous": "FULL",
                "foreign_keys": "ON",
                "busy_timeout": 5_000,
                # Keeps the write-ahead log from staying large after a burst.
                "journal_size_limit": 64 * 1024 * 1024,
            },
        }
    elif scheme in ("postgres", "postgresql", "asyncpg"):
        name = "postgres"
        url = "asyncpg" + database_url.removeprefix(scheme)
        connection = {**expand_db_url(url), "engine": "models.postgres"}
    else:
        raise StoreError(
            "DATABASE_URL must begin with sqlite:// or postgres://, "
            f"not with {scheme or 'something without a scheme'}."
        )
    return {
        "connections": {name: connection},
        "apps": {
            "models": {
                "models": MODEL_MODULES,
                "default_connection": name,
                "migrations": "models.migrations",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


# What Tortoise's own command line reads: `make migrations` compares the models with the migration
# files, which needs no database.
TORTOISE_ORM = tortoise_config("sqlite://:memory:")


class Store:
    """An open database. Several may be open in one process, each bound where it is used.

    Tortoise finds its connection through a context variable: whoever starts a task from outside
    (the server for each operation, the scheduler) calls `bind` first.
    """

    def __init__(self, database_url: str) -> None:
        self._config = tortoise_config(database_url)
        self._url = database_url
        self._context = TortoiseContext()
        self.is_sqlite = database_url.startswith("sqlite")
        name = database_url.removeprefix("sqlite://")
        self._path = Path(name) if self.is_sqlite and name != ":memory:" else None

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: the database cannot be reached.
        """
        self.bind()
        try:
            self._make_folder()
            await self._context.init(config=self._config)
            # Reads the file's header, so that a file of another kind is noticed here.
            await self.connection.execute_query(
                "SELECT count(*) FROM sqlite_master" if self.is_sqlite else "SELECT 1"
            )
        except Exception as error:  # drivers raise OSError, asyncpg and Tortoise errors alike
            await self.close()
            # What drivers say may quote the URL with its password.
            reason = str(error) if self.is_sqlite else type(error).__name__
            raise StoreError(
                f"The database of DATABASE_URL cannot be used ({reason}). "
                "Check the address, the name and that it runs."
            ) from error

    def _make_folder(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        await self._context.close_connections()

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for one in memory and for PostgreSQL."""
        return self._path

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold the database as its one server: a second one would end the replies of the first.

        The lock goes with the process, however it ends.

        Raises:
            StoreError: another server holds it.
        """
        if self._path is not None:
            with open(f"{self._path}.lock", "w") as file:  # noqa: ASYNC230 (empty and local)
                if fcntl is not None:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        raise StoreError(IN_USE) from None
                yield
        elif self.is_sqlite:
            yield
        else:
            connection = await asyncpg.connect(self._url)
            try:
                if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_NUMBER):
                    raise StoreError(IN_USE)
                yield
            finally:
                await connection.close()

    def bind(self) -> None:
        """Make this store the one that queries of the current task go to."""
        self._context.__enter__()

    @property
    def connection(self) -> BaseDBAsyncClient:
        return self._context.db()

    def transaction(self) -> TransactionContext:
        """Everything inside becomes visible together, or not at all."""
        return in_transaction(self._context.default_connection)

    async def write(self, statements: Sequence[Statement]) -> None:
        """Execute statements in order, all or none: in the current transaction, or in their own.

        Raises:
            IntegrityError: a constraint, or a statement that changed other than `expect` rows.
            OperationalError: the database cannot be written.
        """
        connection = self.connection
        if isinstance(connection, sqlite.Client | sqlite.Transaction):
            await connection.execute_statements(statements)
            return
        async with in_transaction(self._context.default_connection) as transaction:
            for statement in statements:
                if len(statement.rows) != 1 and statement.expect is None:
                    await transaction.execute_many(statement.sql, list(statement.rows))
                    continue
                changed = 0
                for row in statement.rows:
                    changed += (await transaction.execute_query(statement.sql, row))[0]
                if statement.expect is not None and changed != statement.expect:
                    raise Unmet(statement.sql)

    async def lock_name(self, name: str) -> None:
        """In a transaction: hold a name until its end; others that want the same name wait.

        For what has no row yet that could be locked. SQLite has one writer at a time anyway.
        """
        if not self.is_sqlite:
            await self.connection.execute_query(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [name]
            )

    async def migrate(self) -> list[str]:
        """Bring the tables up to date; returns the names of the migrations that were applied.

        Of processes that do so at the same moment, one does it and the others wait.
        """
        connection = self.connection
        if isinstance(connection, postgres.Client):
            connection.limit = None
        try:
            async with self._migrating():
                executor = MigrationExecutor(connection, self._config["apps"])
                plan = await executor.plan(None)
                await executor.migrate(None)
        finally:
            if isinstance(connection, postgres.Client):
                connection.limit = postgres.LIMIT
        return [step.migration.name for step in plan]

    @asynccontextmanager
    async def _migrating(self) -> AsyncIterator[None]:
        """Be the only process that changes this database's tables; the lock goes with it."""
        if not self.is_sqlite:
            connection = await asyncpg.connect(self._url)
            try:
                await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
                yield
            finally:
                await connection.close()
        elif self._path is None or fcntl is None:
            yield
        else:
            with open(f"{self._path}.migration", "w") as file:  # noqa: ASYNC230 (empty and local)
                while True:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except OSError:
                        await asyncio.sleep(_MIGRATION_POLL)
                yield

    async def unmade_migrations(self) -> list[str]:
        """Names of migrations that `make migrations` would write now; empty when all are made."""
        assert self._context.apps is not None
        detector = MigrationAutodetector(self._context.apps, self._config["apps"])
        return [writer.name for writer in await detector.changes()]
