"""Whether the database is away, or what was asked of it was wrong."""

from __future__ import annotations

import sqlite3
from typing import Final

import asyncpg
from tortoise.exceptions import DBConnectionError, OperationalError


class StoreUnavailable(OperationalError):
    """The database did not take or answer a statement in time. It may be tried again later.

    A transaction whose end was not answered may have been written all the same.
    """


_SQLITE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    }
)
_POSTGRES: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.OperatorInterventionError,  # it stops, or is not ready yet
    asyncpg.PostgresSystemError,  # the disk fails
    asyncpg.ReadOnlySQLTransactionError,  # a standby took over
)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error of the store says that the database cannot be used at the moment: it is
    away, full or held by somebody else. The same statements may succeed later."""
    if isinstance(error, (StoreUnavailable, DBConnectionError, *_POSTGRES)):
        return True
    # What asyncpg says of a connection that is gone; wrong values are ValueErrors, too.
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)
    if isinstance(error, OperationalError) and error.args:
        error = error.args[0]  # Tortoise wraps the driver's error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE
    return False
