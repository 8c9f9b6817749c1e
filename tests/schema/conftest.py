"""Applications on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from rag.generation.scripted import ScriptedGenerator
from tests.application import Running, running_app, test_settings
from tests.schema.shared_session import Shared, make_shared


@pytest.fixture
async def app(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application as `make run` starts it, with the small knowledge base. Files whose tests
    need a generator that plays a script have a fixture of their own with this name."""
    async with running_app(test_settings(tmp_path, database_url), embedder=embedder) as running:
        yield running


@pytest.fixture
async def empty_app(
    anyio_backend: str, empty_database_url: str, tmp_path: Path
) -> AsyncIterator[Running]:
    """The application without documents, on a model that needs no time."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, empty_database_url)
    async with running_app(settings, embedder=FakeEmbedder()) as running:
        running.services.store.bind()
        await running.services.knowledge.pipeline()
        yield running


@pytest.fixture
async def shared(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Shared]:
    """On SQLite, where typing and polls are quick."""
    async with running_app(
        test_settings(tmp_path, sqlite_url),
        embedder=embedder,
        generator=ScriptedGenerator(["Hello", " world."]),
        access_poll=0.05,
        typing_seconds=0.3,
    ) as app:
        yield await make_shared(app)


@pytest.fixture
async def shared_anywhere(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Shared]:
    """On each database, with the poll of a real server."""
    async with running_app(
        test_settings(tmp_path, database_url),
        embedder=embedder,
        generator=ScriptedGenerator(["Hello", " world."]),
    ) as app:
        yield await make_shared(app)
