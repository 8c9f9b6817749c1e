"""How many SQL queries an operation takes."""

from __future__ import annotations

import pytest
from strawberry.utils.str_converters import to_camel_case

from schema.chat_types import ChatMessage
from schema.message_columns import BRIEF_FIELDS
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


async def test_pages_that_show_little_are_read_in_part(offline: Running) -> None:
    """Each field of a message says the same whether half of its columns were read or all."""
    token = await offline.login()
    asked = (await offline.data(ASK, {"i": {"content": QUESTION}}, token))["ask"]
    rate = 'mutation($id: ID!) { rateReply(id: $id, rating: UP, comment: "So.") { __typename } }'
    await offline.data(rate, {"id": asked["reply"]["id"]}, token)
    page = "query($id: ID!) {{ session(id: $id) {{ messages {{ edges {{ node {{ {} }} }} }} }} }}"
    few = (
        "id session { id } role status content createdAt active grounded ungroundedReason "
        "author { id displayName } citations { number quote document { title } } rating "
        "ratingComment __typename"
    )
    many = f"{few} failure usage {{ provider }} siblingCount siblings {{ id }}"
    seen = []
    for fields, statement in ((few, False), (many, True)):
        async with counted(offline.services.store) as queries:
            data = await offline.data(page.format(fields), {"id": asked["session"]["id"]}, token)
        seen.append([edge["node"] for edge in data["session"]["messages"]["edges"]])
        read = next(sql for sql in queries if 'FROM "chat_message"' in sql)
        assert ('t."provider"' in read) is statement
    assert [node["usage"] is None for node in seen[1]] == [True, False]
    for node in seen[1]:
        for field in ("failure", "usage", "siblingCount", "siblings"):
            del node[field]
    assert seen[0] == seen[1]
    assert [(node["role"], node["rating"]) for node in seen[0]] == [
        ("USER", None),
        ("ASSISTANT", "UP"),
    ]


def test_all_fields_are_read_for_what_is_not_known() -> None:
    """The fields that need little are those of a message."""
    fields = ChatMessage.__strawberry_definition__.fields  # type: ignore[attr-defined]
    names = {to_camel_case(field.python_name) for field in fields}
    assert names | {"__typename"} > BRIEF_FIELDS
    assert not BRIEF_FIELDS & {"failure", "usage", "parent", "siblings", "siblingCount"}
