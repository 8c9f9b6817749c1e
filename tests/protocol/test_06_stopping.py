"""Stopping"""

from __future__ import annotations

import asyncio

import pytest

from tests.protocol.person import Person, kinds, text_of

pytestmark = pytest.mark.anyio

DELETE = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"


async def test_what_was_written_stays(person: Person) -> None:
    """What was written until then stays, in the events and in `content`. All readers get
    `ReplyEnded`. The mutation answers when the end is stored."""
    person.app.generator.script = ["Kept", asyncio.Event()]
    reply_id = (await person.send())["reply"]["id"]
    reading = [asyncio.create_task(person.read(reply_id)) for _ in range(3)]
    await person.read_until_text(reply_id, "Kept")
    stopped = await person.stop(reply_id)
    assert (stopped["status"], stopped["content"], stopped["failure"]) == ("STOPPED", "Kept", None)
    assert await person.status(reply_id) == ("STOPPED", "Kept")
    for events in await asyncio.gather(*reading):
        assert text_of(events) == "Kept"
        assert kinds(events)[-1] == "ReplyEnded"


async def test_stopping_again(person: Person) -> None:
    """A reply that has ended is returned as it is."""
    ended = (await person.ask())["reply"]
    for _ in range(2):
        assert await person.stop(ended["id"]) == {"__typename": "ChatMessage", **ended}


async def test_an_id_of_nothing(person: Person) -> None:
    """An id of nothing is `NotFound`."""
    sent = await person.ask()
    other = await Person.enter(person.app, "stranger@example.com")
    for id in ("", "nonsense", sent["message"]["id"], sent["session"]["id"]):
        assert (await person.stop(id))["__typename"] == "NotFound"
    assert (await other.stop(sent["reply"]["id"]))["__typename"] == "NotFound"


async def test_what_does_not_stop(person: Person) -> None:
    """Closing a subscription, a socket or the page stops nothing."""
    gate = asyncio.Event()
    person.app.generator.script = ["One", gate, " two."]
    reply_id = (await person.send())["reply"]["id"]
    await person.read_until_text(reply_id, "One")
    assert (await person.status(reply_id))[0] == "STREAMING"
    gate.set()
    assert (await person.read(reply_id))[-1]["reply"]["status"] == "COMPLETE"


async def test_deleting_the_session(person: Person) -> None:
    """Deleting the session does."""
    person.app.generator.script = ["One", asyncio.Event()]
    aborted = person.app.generator.aborted
    sent = await person.send()
    await person.read_until_text(sent["reply"]["id"], "One")
    await person.app.data(DELETE, {"id": sent["session"]["id"]}, person.token)
    assert person.app.generator.aborted == aborted + 1
