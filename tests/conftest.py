"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from models.store import Store
from rag.embedding.base import Embedder
from rag.embedding.sentence_transformers import SentenceTransformersEmbedder
from rag.generation.scripted import ScriptedGenerator
from tests.application import (
    Running,
    postgres_with_documents,
    running_app,
    sqlite_with_documents,
    test_settings,
)
from tests.postgres import PostgresServer, postgres_server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI a test that was skipped for want of a tool has failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and os.environ.get("GROUNDQL_FORBID_SKIPS") == "1":
        if hasattr(report, "wasxfail"):
            return
        report.outcome = "failed"
        report.longrepr = f"Skipped, which is forbidden here: {report.longrepr}"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


# These start one server after another, wait for outages, or measure: `make test-slow` runs them.
SLOW = ("attack/", "faults/", "benchmarks/", "e2e/test_commands.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        if item.path.relative_to(tests).as_posix().startswith(SLOW):
            item.add_marker("slow")


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests run in one worker, and so do all end-to-end tests, which share servers."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "tests/e2e" if path.startswith("tests/e2e/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The real default model, loaded once."""
    return SentenceTransformersEmbedder.load()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def template_folder(
    tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path, embedder: Embedder
) -> Path:
    """A folder with the small knowledge base in `kb` and an SQLite database that holds it."""
    return sqlite_with_documents(tmp_path_factory.mktemp("knowledge"), empty_sqlite, embedder)


@pytest.fixture(scope="session")
def postgres_template(
    postgres: PostgresServer,
    empty_postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
    embedder: Embedder,
) -> str:
    """The URL of a PostgreSQL database that holds the small knowledge base."""
    folder = tmp_path_factory.mktemp("knowledge-postgres")
    return postgres_with_documents(folder, postgres.create(empty_postgres), embedder)


async def _migrate(url: str) -> None:
    store = Store(url)
    await store.open()
    await store.migrate()
    await store.close()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with its tables and nothing in them."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    asyncio.run(_migrate(f"sqlite://{path}"))
    return path


@pytest.fixture(scope="session")
def empty_postgres(postgres: PostgresServer) -> str:
    """The URL of a PostgreSQL database with its tables and nothing in them."""
    url = postgres.create()
    asyncio.run(_migrate(url))
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind with its tables: migrating takes longer than most tests."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.create(request.getfixturevalue("empty_postgres"))
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(request.getfixturevalue("empty_sqlite"), folder / "test.db")
    return f"sqlite://{folder / 'test.db'}"


@pytest.fixture
def sqlite_url(template_folder: Path, tmp_path: Path) -> str:
    """A fresh copy of the prepared SQLite database; `tmp_path/kb` holds its documents."""
    shutil.copytree(template_folder / "kb", tmp_path / "kb")
    shutil.copy(template_folder / "template.db", tmp_path / "test.db")
    return f"sqlite://{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh prepared database of each kind."""
    url: str = request.getfixturevalue("sqlite_url")
    if request.param == "postgres":
        template: str = request.getfixturevalue("postgres_template")
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.create(template)
    return url


@pytest.fixture
async def offline(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application as `make run` starts it, on SQLite."""
    async with running_app(test_settings(tmp_path, sqlite_url), embedder=embedder) as running:
        yield running


@pytest.fixture
async def scripted(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application with a generator that plays `running.generator.script`."""
    generator = ScriptedGenerator(["Hello", " world", " [1]."])
    settings = test_settings(tmp_path, sqlite_url)
    async with running_app(settings, embedder=embedder, generator=generator) as running:
        yield running
