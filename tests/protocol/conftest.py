"""The application with a fake embedding model: the protocol does not depend on what is found."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from rag.generation.scripted import ScriptedGenerator
from settings import Settings
from tests.application import (
    Running,
    copy_sqlite,
    postgres_with_documents,
    running_app,
    sqlite_with_documents,
    test_settings,
)
from tests.postgres import PostgresServer
from tests.protocol.person import Person

Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Running]]

SCRIPT = ("Hello", " world", " [1].")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return FakeEmbedder()


@pytest.fixture(scope="session")
def template_folder(
    tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path, embedder: Embedder
) -> Path:
    """As for all tests, with the vectors of this folder's embedder."""
    return sqlite_with_documents(tmp_path_factory.mktemp("knowledge"), empty_sqlite, embedder)


@pytest.fixture(scope="session")
def postgres_template(
    postgres: PostgresServer,
    empty_postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
    embedder: Embedder,
) -> str:
    """As for all tests, with the vectors of this folder's embedder."""
    folder = tmp_path_factory.mktemp("knowledge-postgres")
    return postgres_with_documents(folder, postgres.create(empty_postgres), embedder)


class Shared:
    """One application for the tests of a section that leave it as it was.

    It rests while a test runs an application of its own: models know one store at a time.
    """

    def __init__(self, settings: Settings, embedder: Embedder) -> None:
        self._settings = settings
        self._embedder = embedder
        self._stack = AsyncExitStack()
        self._running: Running | None = None

    async def get(self) -> Running:
        if self._running is None:
            self._running = await self._stack.enter_async_context(
                running_app(
                    self._settings, embedder=self._embedder, generator=ScriptedGenerator([])
                )
            )
        return self._running

    async def close(self) -> None:
        self._running = None
        await self._stack.aclose()


@pytest.fixture(scope="module")
async def shared(
    anyio_backend: str,
    template_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    embedder: Embedder,
) -> AsyncIterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(template_folder / "kb", folder / "kb")
    url = copy_sqlite(template_folder / "template.db", folder)
    held = Shared(test_settings(folder, url), embedder)
    yield held
    await held.close()


@pytest.fixture
async def person(shared: Shared) -> Person:
    """Somebody new, and a generator with its usual script."""
    app = await shared.get()
    app.generator.script = list(SCRIPT)
    return await Person.enter(app, f"person-{next(_numbers)}@example.com")


@pytest.fixture
async def serve(shared: Shared, tmp_path: Path, embedder: Embedder) -> Serve:
    """`serve(database_url)` runs the application; called again, it is a restart."""
    await shared.close()

    def start(url: str, **parts: Any) -> AbstractAsyncContextManager[Running]:
        generator = ScriptedGenerator(SCRIPT)
        return running_app(
            test_settings(tmp_path, url), embedder=embedder, generator=generator, **parts
        )

    return start
