"""A person's sessions: their lives, their pages, and who reaches them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.application import Running, SubscriptionRefused
from tests.schema.asking import QUESTION, STRANGE_IDS, ask, follow, question, send
from tests.schema.operations import ASK, CHAT, FOLLOW, HISTORY, SEND, SESSIONS, STOP

pytestmark = pytest.mark.anyio


CREATE = """mutation($t: String) { createSession(title: $t) { __typename
  ... on ChatSession { id title archived myRole } ... on InvalidInput { message field } } }"""
RENAME = """mutation($id: ID!, $t: String!) { renameSession(id: $id, title: $t) { __typename
  ... on ChatSession { id title } ... on InvalidInput { message field } } }"""
ARCHIVE = """mutation($id: ID!, $a: Boolean) { archiveSession(id: $id, archived: $a) { __typename
  ... on ChatSession { archived } } }"""
DELETE = """mutation($id: ID!) { deleteSession(id: $id) { __typename
  ... on Deleted { id } ... on NotFound { message } } }"""


async def test_a_session_is_made_renamed_archived_and_deleted(scripted: Running) -> None:
    """The whole life of a session, each step seen by the list."""
    token = await scripted.login()
    made = (await scripted.data(CREATE, {"t": " My  title "}, token))["createSession"]
    assert made["title"] == "My title"
    assert made["myRole"] == "OWNER"
    renamed = await scripted.data(RENAME, {"id": made["id"], "t": "Other"}, token)
    assert renamed["renameSession"]["title"] == "Other"
    await scripted.data(ARCHIVE, {"id": made["id"], "a": True}, token)
    counts = []
    for archived in (True, False, None):
        found = await scripted.data(SESSIONS, {"archived": archived}, token)
        counts.append(len(found["sessions"]["edges"]))
    assert counts == [1, 0, 1]
    deleted = (await scripted.data(DELETE, {"id": made["id"]}, token))["deleteSession"]
    assert deleted == {"__typename": "Deleted", "id": made["id"]}
    gone = (await scripted.data(DELETE, {"id": made["id"]}, token))["deleteSession"]
    assert gone["__typename"] == "NotFound"


@pytest.mark.parametrize("title", ["", "  ", "x" * 201, "a\0b"])
async def test_unfit_titles_are_refused(scripted: Running, title: str) -> None:
    """Empty, too long and NUL are InvalidInput on title."""
    token = await scripted.login()
    result = (await scripted.data(CREATE, {"t": title}, token))["createSession"]
    assert result["__typename"] == "InvalidInput"
    assert result["field"] == "title"


async def test_deleting_a_session_stops_its_reply(scripted: Running) -> None:
    """A running reply is stopped, its readers' streams end, and nothing of it is left."""
    scripted.generator.script = ["Text", asyncio.Event()]
    token = await scripted.login()
    sent = await send(scripted, token)
    text_came = asyncio.Event()

    outcome: list[str] = []

    async def read() -> None:
        try:
            async for payload in scripted.subscribe(FOLLOW, {"id": sent["reply"]["id"]}, token):
                outcome[:] = [payload["data"]["reply"]["__typename"]]
                if outcome == ["TextDelta"]:
                    text_came.set()
        except SubscriptionRefused as refused:
            outcome[:] = [refused.errors[0]["message"]]

    reading = asyncio.create_task(read())
    await text_came.wait()
    await scripted.data(DELETE, {"id": sent["session"]["id"]}, token)
    await asyncio.wait_for(reading, timeout=5)
    assert scripted.generator.aborted == 1
    # Quick readers see the end before the session is gone.
    assert outcome[0] in ("ReplyEnded", "There is no such reply.", "The session was deleted.")
    found = await scripted.data(HISTORY, {"id": sent["session"]["id"]}, token)
    assert found["session"] is None


async def test_sessions_are_paged_by_activity(scripted: Running) -> None:
    """Pages in both directions give every session once, newest activity first."""
    token = await scripted.login()
    ids = [
        (await scripted.data(CREATE, {"t": f"Session {n}"}, token))["createSession"]["id"]
        for n in range(7)
    ]
    await ask(scripted, token, sessionId=ids[2])
    expected = [ids[2], *[one for one in reversed(ids) if one != ids[2]]]
    forward: list[str] = []
    after = None
    while True:
        page = (await scripted.data(SESSIONS, {"first": 3, "after": after}, token))["sessions"]
        forward += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert forward == expected
    backward: list[str] = []
    before = None
    while True:
        page = (await scripted.data(SESSIONS, {"last": 3, "before": before}, token))["sessions"]
        backward = [edge["node"]["id"] for edge in page["edges"]] + backward
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert backward == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"first": 0},
        {"first": 101},
        {"first": -1},
        {"last": 0},
        {"first": 1, "last": 1},
        {"after": "x"},
        {"after": "WyJ4Il0="},
        {"before": "bnVsbA=="},
        {"after": "é"},
    ],
)
async def test_bad_pagination_is_bad_user_input(
    scripted: Running, arguments: dict[str, Any]
) -> None:
    """Page sizes outside 1..100 and foreign cursors are refused with BAD_USER_INPUT."""
    token = await scripted.login()
    assert await scripted.code(SESSIONS, arguments, token) == "BAD_USER_INPUT"


# ---- rights --------------------------------------------------------------------------------------


async def test_nobody_reaches_another_person_s_session(scripted: Running) -> None:
    """To anyone else a session and its messages do not exist, and nothing changes."""
    owner = await scripted.login("owner@example.com")
    other = await scripted.login("other@example.com")
    asked = await ask(scripted, owner)
    session_id, reply_id = asked["session"]["id"], asked["reply"]["id"]
    assert (await scripted.data(HISTORY, {"id": session_id}, other))["session"] is None
    for id in (session_id, reply_id, asked["message"]["id"]):
        found = await scripted.data("query($id: ID!) { node(id: $id) { id } }", {"id": id}, other)
        assert found["node"] is None
        found = await scripted.data("query($id: ID!) { node(id: $id) { id } }", {"id": id}, owner)
        assert found["node"] == {"id": id}
    assert (await send(scripted, other, sessionId=session_id))["__typename"] == "NotFound"
    stopped = await scripted.data(STOP, {"id": reply_id}, other)
    assert stopped["stopReply"]["__typename"] == "NotFound"
    deleted = await scripted.data(DELETE, {"id": session_id}, other)
    assert deleted["deleteSession"]["__typename"] == "NotFound"
    renamed = await scripted.data(RENAME, {"id": session_id, "t": "Mine"}, other)
    assert renamed["renameSession"]["__typename"] == "NotFound"
    with pytest.raises(SubscriptionRefused) as refused:
        await follow(scripted, other, reply_id)
    assert refused.value.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"
    history = await scripted.data(HISTORY, {"id": session_id}, owner)
    assert len(history["session"]["messages"]["edges"]) == 2
    assert history["session"]["title"] == QUESTION


@pytest.mark.parametrize("wrong", STRANGE_IDS)
async def test_an_id_of_nothing_is_not_found(scripted: Running, wrong: str) -> None:
    """Malformed ids and ids of other types behave like ids of nothing."""
    token = await scripted.login()
    assert (await scripted.data(HISTORY, {"id": wrong}, token))["session"] is None
    assert (await send(scripted, token, sessionId=wrong))["__typename"] == "NotFound"
    result = await scripted.data(DELETE, {"id": wrong}, token)
    assert result["deleteSession"]["__typename"] == "NotFound"
    result = await scripted.data(STOP, {"id": wrong}, token)
    assert result["stopReply"]["__typename"] == "NotFound"


@pytest.mark.parametrize(
    ("operation", "variables"),
    [
        (SESSIONS, {}),
        (HISTORY, {"id": "x"}),
        (SEND, question()),
        (ASK, question()),
        (STOP, {"id": "x"}),
        (CREATE, {}),
        (RENAME, {"id": "x", "t": "t"}),
        (DELETE, {"id": "x"}),
        ("{ documents { edges { node { id } } } }", {}),
        ('{ searchKnowledge(query: "x") { score } }', {}),
        ('{ node(id: "x") { id } }', {}),
    ],
)
async def test_an_anonymous_caller_is_told_to_log_in(
    scripted: Running, operation: str, variables: dict[str, Any]
) -> None:
    """Everything but the account mutations needs a token: UNAUTHENTICATED."""
    assert await scripted.code(operation, variables) == "UNAUTHENTICATED"


@pytest.mark.parametrize(("operation", "variables"), [(CHAT, question()), (FOLLOW, {"id": "x"})])
async def test_an_anonymous_subscriber_is_told_to_log_in(
    scripted: Running, operation: str, variables: dict[str, Any]
) -> None:
    """Subscriptions need a token, too."""
    with pytest.raises(SubscriptionRefused) as refused:
        async for _ in scripted.subscribe(operation, variables):
            pass
    assert refused.value.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_bad_token_closes_the_socket(scripted: Running) -> None:
    """A socket that opens with a wrong token is closed with 4403."""
    from websockets.exceptions import ConnectionClosed

    with pytest.raises(ConnectionClosed) as closed:
        async with scripted.socket("wrong"):
            pass
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
