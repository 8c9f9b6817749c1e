"""Sending"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobs.retention import delete_inactive_sessions
from tests.clock import RunningClock
from tests.protocol.conftest import Serve
from tests.protocol.person import Person, bytes_of, kinds, text_of
from tests.schema.operations import CHAT

pytestmark = pytest.mark.anyio

STILL_RUNNING = (
    "The reply before this is still being written. Wait for its end, or stop it with stopReply."
)
DELETE = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"


async def ids_of_sending(person: Person, number: int, **question: Any) -> tuple[str, str]:
    """The ids of reply and session, sent in one of the three ways."""
    if number % 3 == 2:
        events = await person.chat(**question)
        return events[0]["replyId"], events[0]["session"]["id"]
    sent = await (person.send if number % 3 == 0 else person.ask)(**question)
    assert sent["__typename"] == "SendMessagePayload", sent
    return sent["reply"]["id"], sent["session"]["id"]


async def test_three_ways(person: Person) -> None:
    """They take the same input and store the same messages."""
    stored = []
    for number in range(3):
        reply_id, session_id = await ids_of_sending(person, number)
        await person.wait_ended(reply_id)
        stored.append([(one["role"], one["content"]) for one in await person.messages(session_id)])
    assert stored[0] == stored[1] == stored[2]


async def test_without_a_session(person: Person) -> None:
    """Without a `sessionId`, a new session is made."""
    sessions = {(await person.ask())["session"]["id"] for _ in range(2)}
    assert set(await person.sessions()) == sessions
    assert len(sessions) == 2


async def test_without_a_parent(person: Person) -> None:
    """Without a `parentId`, the question goes to the end of the conversation that the session
    shows."""
    first = await person.ask()
    second = await person.ask("And then?", sessionId=first["session"]["id"])
    assert second["message"]["parent"] == {"id": first["reply"]["id"]}


async def test_one_running_reply(person: Person) -> None:
    """A question after a reply that is still running is refused with `InvalidInput`, field
    `sessionId`, and nothing is stored."""
    person.app.generator.script = [asyncio.Event()]
    first = await person.send()
    session_id = first["session"]["id"]
    refused = {"__typename": "InvalidInput", "field": "sessionId", "problem": STILL_RUNNING}
    assert await person.send("Next", sessionId=session_id) == refused
    assert await person.ask("Next", sessionId=session_id) == refused
    assert await person.refusal(CHAT, {"i": {"content": "Next", "sessionId": session_id}}) == {
        "code": "BAD_USER_INPUT",
        "field": "sessionId",
    }
    assert len(await person.messages(session_id)) == 2
    await person.stop(first["reply"]["id"])


async def test_another_branch(person: Person) -> None:
    """A question with another `parentId`, whose reply has ended, is accepted: it begins a branch of
    its own."""
    first = await person.ask()
    session_id = first["session"]["id"]
    person.app.generator.script = [asyncio.Event()]
    running = await person.send("One branch", sessionId=session_id)
    other = await person.send("Another branch", sessionId=session_id, parentId=first["reply"]["id"])
    assert other["message"]["parent"] == running["message"]["parent"]
    for sent in (running, other):
        assert (await person.stop(sent["reply"]["id"]))["status"] == "STOPPED"


@pytest.mark.parametrize("place", ["new session", "old session", "old session and parent"])
async def test_the_same_key_at_once(
    anyio_backend: str, database_url: str, serve: Serve, place: str
) -> None:
    """The same key gives the same message and the same reply, also through another one of the three
    operations, also when sent at the same time, also after a restart of the server."""
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        question: dict[str, Any] = {"clientKey": "key"}
        if place != "new session":
            earlier = await ada.ask("Before")
            question["sessionId"] = earlier["session"]["id"]
            if "parent" in place:
                question["parentId"] = earlier["reply"]["id"]
        asked = len(app.generator.prompts)
        found = await asyncio.gather(*(ids_of_sending(ada, n, **question) for n in range(20)))
        assert len(set(found)) == 1
        assert len(app.generator.prompts) == asked + 1
        before = await ada.messages(found[0][1])
        assert len(before) == (2 if place == "new session" else 4)
        assert await ada.sessions() == [found[0][1]]
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        again = await asyncio.gather(*(ids_of_sending(ada, n, **question) for n in range(3)))
        assert {*again} == {*found}
        assert await ada.messages(found[0][1]) == before
        assert app.generator.prompts == []


async def test_a_key_s_life(anyio_backend: str, sqlite_url: str, serve: Serve) -> None:
    """A key holds for as long as its question exists, and at least for 24 hours."""
    clock = RunningClock()
    async with serve(sqlite_url, clock=clock) as app:
        sent = await (await Person.enter(app)).ask(clientKey="key")
        # With the shortest setting: RETENTION_DAYS=1.
        clock.forward(hours=23, minutes=59)
        assert await delete_inactive_sessions(app.services.store, clock, retention_days=1) == 0
        again = await (await Person.enter(app)).ask(clientKey="key")
        assert again["reply"]["id"] == sent["reply"]["id"]


async def test_a_key_after_its_session(person: Person) -> None:
    """It is free again when the session is deleted."""
    sent = await person.ask(clientKey="key")
    await person.app.data(DELETE, {"id": sent["session"]["id"]}, person.token)
    again = await person.ask("Something else", clientKey="key")
    assert again["__typename"] == "SendMessagePayload"
    assert again["reply"]["id"] != sent["reply"]["id"]


async def test_a_repeated_send_message(person: Person) -> None:
    """A repeated `sendMessage` answers with the reply as it is now."""
    assert (await person.ask(clientKey="key"))["reply"] == (await person.send(clientKey="key"))[
        "reply"
    ]


async def test_a_repeated_ask(person: Person) -> None:
    """A repeated `ask` waits for the end of the reply, or answers at once if it has ended."""
    gate = asyncio.Event()
    person.app.generator.script = [gate, "Done."]
    await person.send(clientKey="key")
    waiting = asyncio.create_task(person.ask(clientKey="key"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    gate.set()
    reply = (await waiting)["reply"]
    assert (reply["status"], reply["content"]) == ("COMPLETE", "Done.")
    assert (await person.ask(clientKey="key"))["reply"] == reply


async def test_a_repeated_chat(person: Person) -> None:
    """A repeated `chat` gives all events from `seq` 1."""
    first = await person.chat(clientKey="key")
    assert [event["seq"] for event in first] == list(range(1, len(first) + 1))
    assert bytes_of(await person.chat(clientKey="key")) == bytes_of(first)


async def test_two_people(person: Person) -> None:
    """Two people may use the same key."""
    other = await Person.enter(person.app, "other@example.com")
    ours, theirs = await asyncio.gather(person.ask(clientKey="k"), other.ask("X", clientKey="k"))
    assert ours["reply"]["id"] != theirs["reply"]["id"]
    assert [ours["session"]["id"]] == await person.sessions()
    assert [theirs["session"]["id"]] == await other.sessions()


async def test_a_key_s_length(person: Person) -> None:
    """A key has 1 to 200 characters."""
    for key, accepted in (("", False), ("k", True), ("é" * 200, True), ("k" * 201, False)):
        sent = await person.ask(clientKey=key)
        kind = "SendMessagePayload" if accepted else "InvalidInput"
        assert (sent["__typename"], sent.get("field")) == (kind, None if accepted else "clientKey")


async def test_other_content(person: Person) -> None:
    """The same key with other content is refused with `InvalidInput`, field `clientKey`."""
    sent = await person.ask("Content", clientKey="key")
    for content in ("content", "Content ", "Something else"):
        refused = await person.send(content, clientKey="key")
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", "clientKey")
    assert len(await person.messages(sent["session"]["id"])) == 2


async def test_another_place(person: Person) -> None:
    """So is the same key with another session, another parent or another filter."""
    other = (await person.ask("Other"))["session"]["id"]
    first = await person.ask("First")
    session_id = first["session"]["id"]
    second = await person.ask(
        "Second", sessionId=session_id, clientKey="key", filter={"categories": ["returns"]}
    )
    same = {"sessionId": session_id, "filter": {"categories": ["returns"]}}
    for change in (
        {"sessionId": other},
        {"parentId": second["reply"]["id"]},
        {"filter": {"categories": ["shipping"]}},
        {"filter": {"types": ["returns"]}},
        {"filter": None},
    ):
        refused = await person.send("Second", clientKey="key", **(same | change))
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", "clientKey")
    again = await person.send("Second", clientKey="key", parentId=first["reply"]["id"], **same)
    assert again["reply"] == second["reply"]
    assert len(await person.sessions()) == 2


async def test_a_place_left_out(person: Person) -> None:
    """A `sessionId` or `parentId` that is left out fits any."""
    first = await person.ask("First", clientKey="first")
    session_id = first["session"]["id"]
    again = await person.ask("First", clientKey="first", sessionId=session_id)
    assert again["reply"] == first["reply"]
    place = {"sessionId": session_id, "parentId": first["reply"]["id"]}
    second = await person.ask("Second", clientKey="second", **place)
    again = await person.ask("Second", clientKey="second")
    assert again["reply"] == second["reply"]


async def test_a_lost_answer(person: Person) -> None:
    """The answer is that of the first attempt, if that one arrived, and a new one if not."""
    gate = asyncio.Event()
    person.app.generator.script = ["One ", gate, "two."]
    # The connection is gone before the first event is read.
    lost = person.events(CHAT, {"i": {"content": "Lost?", "clientKey": "key"}})
    first = await anext(lost)
    await lost.aclose()
    sent = await person.send("Lost?", clientKey="key")
    assert sent["reply"]["id"] == first["replyId"]
    gate.set()
    events = await person.read(sent["reply"]["id"], 0)
    assert kinds(events)[0] == "ReplyStarted"
    assert text_of(events) == "One two."
    assert (await person.send("Never sent", clientKey="new"))["__typename"] == "SendMessagePayload"


async def test_the_old_key_after_a_failure(person: Person) -> None:
    """To ask the same again after a failed reply, take a new key, too: the old one leads to the
    failed reply."""
    person.app.generator.script = ["Kept", asyncio.Event()]
    sent = await person.send(clientKey="old")
    await person.read_until_text(sent["reply"]["id"], "Kept")
    await person.stop(sent["reply"]["id"])
    person.app.generator.script = ["Another."]
    assert (await person.ask(clientKey="old"))["reply"]["content"] == "Kept"
    assert (await person.ask(clientKey="new"))["reply"]["content"] == "Another."
