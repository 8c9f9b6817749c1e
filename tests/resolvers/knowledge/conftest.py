"""What tests of the queue share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.store import Store
from tests.resolvers.knowledge.queue_world import World
from wiring import prepare_knowledge


@pytest.fixture
async def world(
    anyio_backend: str, empty_database_url: str, tmp_path: Path
) -> AsyncIterator[World]:
    store = Store(empty_database_url)
    await store.open()
    world = World(store, tmp_path)
    await prepare_knowledge(world.knowledge, world.folder)
    yield world
    await world.knowledge.embedding.close()
    await world.knowledge.close()
    await store.close()
