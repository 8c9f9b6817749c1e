"""How many SQL queries an operation takes."""

from __future__ import annotations

import pytest

from tests.application import Running
from tests.queries import counted
from tests.schema.operations import ASK, HISTORY, SESSIONS

pytestmark = pytest.mark.anyio

QUESTION = "Within how many days of delivery can I return an item?"


async def test_a_page_of_history_takes_a_constant_number_of_queries(offline: Running) -> None:
    """Login, session, messages, authors, citations, parents: the same for 4 messages as for 40."""
    token = await offline.login()
    asked = (await offline.data(ASK, {"i": {"content": QUESTION}}, token))["ask"]
    session_id = asked["session"]["id"]
    counts = []
    for turns in (1, 19):
        for _ in range(turns):
            await offline.data(ASK, {"i": {"content": QUESTION, "sessionId": session_id}}, token)
        async with counted(offline.services.store) as queries:
            page = await offline.data(HISTORY, {"id": session_id, "first": 50}, token)
        counts.append((len(page["session"]["messages"]["edges"]), len(queries)))
    assert counts == [(4, 6), (42, 6)]


async def test_a_list_of_sessions_takes_a_constant_number_of_queries(scripted: Running) -> None:
    """Login, sessions, owners: three queries for one session as for twenty."""
    token = await scripted.login()
    for expected in (1, 20):
        while True:
            async with counted(scripted.services.store) as queries:
                page = await scripted.data(SESSIONS, {"first": 50}, token)
            if len(page["sessions"]["edges"]) == expected:
                break
            await scripted.data("mutation { createSession { __typename } }", token=token)
        assert len(queries) == 3
