"""Copies of an SQLite database that are whole while it is written to."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from models.store import StoreError

_OURS: Final = "chat_session"  # a table that every database of ours has


def backup(database: Path, target: Path, *, force: bool = False) -> int:
    """Copy a database to a new file, also while a server writes to it; returns its size in bytes.

    The copy is the database at one moment: what was committed before the call is in it. It is made
    beside the target, checked, and then put in its place whole, readable by its owner alone: it
    holds people's conversations.

    Raises:
        StoreError: there is no database, the target exists (without `force`), the copy is damaged
            or cannot be written.
    """
    if not database.is_file():
        raise StoreError(f"There is no database at {database}.")
    return _copy(database, target, force=force)


def restore(source: Path, database: Path, *, force: bool = False) -> int:
    """Put a backup in the place of a database that no server uses; returns its size in bytes.

    It is checked first. The log of the database that was there is removed with it, since SQLite
    would play it into the new one.

    Raises:
        StoreError: the file is no backup of ours or is damaged; a database is there (without
            `force`).
    """
    if not source.is_file():
        raise StoreError(f"There is no file {source}.")
    _check(source)
    return _copy(source, database, force=force)


def _copy(source: Path, target: Path, *, force: bool) -> int:
    if target.exists() and (not force or target.samefile(source)):
        raise StoreError(f"{target} exists; it is overwritten only with --force.")
    draft = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(_opened(source)) as read, closing(sqlite3.connect(draft)) as written:
            # In one step, which reads one commit and stops no writer; copied in pieces, it would
            # begin anew after each write of the server.
            read.backup(written)
            # One file without a log beside it, which could be lost on its way.
            written.execute("PRAGMA journal_mode = DELETE")
        _check(draft)
        with open(draft, "rb") as file:
            os.fsync(file.fileno())
        if target.exists():
            for end in ("-wal", "-shm"):
                target.with_name(target.name + end).unlink(missing_ok=True)
        os.replace(draft, target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{target} cannot be written: {error}.") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return target.stat().st_size


def _check(path: Path) -> None:
    try:
        with closing(_opened(path)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
            tables = {
                row[0]
                for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
    except sqlite3.Error:
        raise StoreError(f"{path} is not an SQLite database, or is damaged.") from None
    if found != ["ok"] or broken is not None:
        raise StoreError(f"{path} is damaged.")
    if _OURS not in tables:
        raise StoreError(f"{path} is not a backup of this server.")


def _opened(path: Path) -> sqlite3.Connection:
    """Opened if it exists. Not with mode=ro: a database with a log, which no server has open, could
    not be read so."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)
