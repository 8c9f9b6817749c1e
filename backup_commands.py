"""The subcommands `backup` and `restore`; docs/backup.md says how they are used."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tortoise.exceptions import BaseORMException

from commands import command_line
from console import console, describe_store
from models.backup import backup as copy_database
from models.backup import restore as put_back
from models.security_event import EventKind
from models.store import Store, StoreError
from resolvers.clock import SystemClock
from resolvers.event_log import write
from settings import Settings

_POSTGRES = "DATABASE_URL is PostgreSQL, which has tools of its own: pg_dump and pg_restore."


async def backup(settings: Settings, file: Path, force: bool) -> int:
    """Copy the database as it is now; a running server goes on meanwhile.

    Raises:
        StoreError: it cannot be copied, or the file exists.
    """
    size = await asyncio.to_thread(copy_database, _database(settings), file, force=force)
    console.print(f"{describe_store(settings.store_url)}: copied to {file}, {size:,} bytes.")
    await _note_backup(settings)
    return 0


async def _note_backup(settings: Settings) -> None:
    """The copy is made: whatever keeps the event from being written does not undo it."""
    store = Store(settings.store_url)
    try:
        await store.open()
        await write(SystemClock().now(), EventKind.BACKUP_MADE, command_line("backup"))
    except (StoreError, BaseORMException) as error:
        console.print(f"[yellow]Warning:[/yellow] The backup is not in the audit log: {error}")
    finally:
        await store.close()


async def restore(settings: Settings, file: Path, force: bool) -> int:
    """Put a backup in the place of the database and bring its tables up to date.

    The index is deleted: the server builds it from the database at its next start.

    Raises:
        StoreError: a server runs, a database is there, or the file is no whole backup.
    """
    database = _database(settings)
    store = Store(settings.store_url)
    await asyncio.to_thread(database.parent.mkdir, parents=True, exist_ok=True)
    async with store.exclusive():
        size = await asyncio.to_thread(put_back, file, database, force=force)
        index = settings.data_dir / "index"
        await asyncio.to_thread(shutil.rmtree, index, ignore_errors=True)
        await store.open()
        try:
            applied = await store.migrate()
            await write(SystemClock().now(), EventKind.BACKUP_RESTORED, command_line("restore"))
        finally:
            await store.close()
    console.print(f"{describe_store(settings.store_url)}: restored, {size:,} bytes.")
    if applied:
        console.print(f"Tables brought up to date: {', '.join(applied)}")
    return 0


def _database(settings: Settings) -> Path:
    store = Store(settings.store_url)
    if not store.is_sqlite:
        raise StoreError(_POSTGRES)
    if store.file is None:
        raise StoreError("A database in memory can be neither copied nor restored.")
    return store.file
