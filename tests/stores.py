"""Stores for tests: real SQLite files, migrated once and copied."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from models.store import Store


def migrated_file(folder: Path) -> Path:
    """A database file with all tables and no rows. Needs that no event loop runs."""
    path = folder / "template.db"

    async def migrate() -> None:
        store = Store(f"sqlite://{path}")
        await store.open()
        try:
            await store.migrate()
        finally:
            await store.close()

    asyncio.run(migrate())
    return path


@asynccontextmanager
async def copied_store(template: Path, folder: Path) -> AsyncIterator[Store]:
    """An open store on a copy of the file, bound to the current task."""
    shutil.copy(template, folder / "test.db")
    store = Store(f"sqlite://{folder / 'test.db'}")
    await store.open()
    try:
        yield store
    finally:
        await store.close()
