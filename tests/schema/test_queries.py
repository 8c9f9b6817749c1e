"""How many SQL queries an operation takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models.sqlite import Client
from tests.application import Running
from tests.schema.operations import ASK, HISTORY, SESSIONS

pytestmark = pytest.mark.anyio

QUESTION = "Within how many days of delivery can I return an item?"


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The queries that reach SQLite."""
    queries: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("execute_query", "execute_query_dict", "execute_insert"):
            original = getattr(Client, name)

            def wrapped(original: Any) -> Any:
                async def call(self: Any, query: str, *arguments: Any) -> Any:
                    # Jobs ask for the knowledge base's revision whenever they like.
                    if "knowledge_state" not in query and "outbox_mail" not in query:
                        queries.append(query)
                    return await original(self, query, *arguments)

                return call

            patch.setattr(Client, name, wrapped(original))
        yield queries


async def test_a_page_of_history_takes_a_constant_number_of_queries(
    offline: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Login, session, messages, authors, citations, parents: the same for 4 messages as for 40."""
    token = await offline.login()
    asked = (await offline.data(ASK, {"i": {"content": QUESTION}}, token))["ask"]
    session_id = asked["session"]["id"]
    counts = []
    for turns in (1, 19):
        for _ in range(turns):
            await offline.data(ASK, {"i": {"content": QUESTION, "sessionId": session_id}}, token)
        with counted(monkeypatch) as queries:
            page = await offline.data(HISTORY, {"id": session_id, "first": 50}, token)
        counts.append((len(page["session"]["messages"]["edges"]), len(queries)))
    assert counts == [(4, 6), (42, 6)]


async def test_a_list_of_sessions_takes_a_constant_number_of_queries(
    scripted: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Login, sessions, owners: three queries for one session as for twenty."""
    token = await scripted.login()
    for expected in (1, 20):
        while True:
            with counted(monkeypatch) as queries:
                page = await scripted.data(SESSIONS, {"first": 50}, token)
            if len(page["sessions"]["edges"]) == expected:
                break
            await scripted.data("mutation { createSession { __typename } }", token=token)
        assert len(queries) == 3
