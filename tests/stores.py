"""Stores for tests: copies of a real SQLite file that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from models.store import Store


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
