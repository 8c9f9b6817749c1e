"""Stores of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.store import Store


@pytest.fixture
async def store(anyio_backend: str, empty_database_url: str) -> AsyncIterator[Store]:
    """An open store with its tables and nothing in them."""
    store = Store(empty_database_url)
    await store.open()
    yield store
    await store.close()
