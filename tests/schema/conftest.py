"""Applications on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from tests.application import Running, running_app, test_settings


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
