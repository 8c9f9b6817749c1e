"""Counting the queries that reach a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from models.sqlite import Client
from models.store import Store

# Jobs ask for these whenever they like.
_OF_JOBS = ("knowledge_state", "outbox_mail")


@asynccontextmanager
async def counted(store: Store) -> AsyncIterator[list[str]]:
    """The statements that SQLite executes, as it tells them itself."""
    queries: list[str] = []

    def note(query: str) -> None:
        if query.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")) and not any(
            table in query for table in _OF_JOBS
        ):
            queries.append(query)

    store.bind()
    client = store.connection
    assert isinstance(client, Client)
    connections = [one for one in (client._connection, client._reader) if one is not None]
    for connection in connections:
        await connection.set_trace_callback(note)
    assert client._point_reader is not None
    client._point_reader.set_trace_callback(note)
    try:
        yield queries
    finally:
        client._point_reader.set_trace_callback(None)
        for connection in connections:
            await connection.set_trace_callback(None)  # type: ignore[arg-type]
