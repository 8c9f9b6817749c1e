"""Reading"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tests.application import SubscriptionRefused
from tests.protocol.person import Event, Person, bytes_of, kinds, text_of
from tests.schema.operations import EVENTS, FOLLOW

pytestmark = pytest.mark.anyio

DELETE = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"
FROM_THE_START = f"subscription($id: ID!) {{ reply(id: $id) {{ {EVENTS} }} }}"


async def test_stored_then_live(person: Person) -> None:
    """`reply(id, after)` gives the events with a `seq` above `after`: stored ones at once, then
    live ones as they come."""
    gate = asyncio.Event()
    person.app.generator.script = ["One", gate, " two."]
    reply_id = (await person.send())["reply"]["id"]
    stored = await person.read_until_text(reply_id, "One")
    async with aclosing(person.events(FOLLOW, {"id": reply_id, "a": 1})) as events:
        assert [await anext(events) for _ in stored[1:]] == stored[1:]
        gate.set()
        live = [event async for event in events]
    assert text_of(live) == " two."
    assert live[0]["seq"] == stored[-1]["seq"] + 1


async def test_it_completes(person: Person) -> None:
    """It completes after `ReplyEnded`."""
    reply_id = (await person.send())["reply"]["id"]
    async with asyncio.timeout(5):
        assert kinds(await person.read(reply_id))[-1] == "ReplyEnded"


async def test_without_after(person: Person) -> None:
    """Without `after`, it begins with the first event."""
    events = await person.chat()
    reply_id = events[0]["replyId"]
    assert [one async for one in person.events(FROM_THE_START, {"id": reply_id})] == events
    assert await person.read(reply_id, None) == events
    assert await person.read(reply_id, 0) == events


async def test_many_readers(person: Person) -> None:
    """Any number of readers may follow a reply, each at its own speed. A slow reader holds up
    nobody, and misses nothing."""
    person.app.generator.script = [f"{number} " for number in range(50)]
    reply_id = (await person.send())["reply"]["id"]

    async def read_slowly() -> list[Event]:
        events: list[Event] = []
        async with aclosing(person.events(FOLLOW, {"id": reply_id})) as stream:
            async for event in stream:
                events.append(event)
                await asyncio.sleep(0.02 if len(events) < 10 else 0)
        return events

    slow = asyncio.create_task(read_slowly())
    quick = await asyncio.gather(*(person.read(reply_id) for _ in range(10)))
    assert not slow.done()
    assert {bytes_of(events) for events in [*quick, await slow]} == {bytes_of(quick[0])}


async def test_long_ended(person: Person) -> None:
    """A reply that ended long ago is read in the same way."""
    events = await person.chat()
    session_id = events[0]["session"]["id"]
    await person.ask("Something later", sessionId=session_id)
    for after in range(len(events)):
        assert await person.read(events[0]["replyId"], after) == events[after:]


async def test_beyond_the_end(person: Person) -> None:
    """If `after` is at or beyond the last event of an ended reply, the subscription completes
    without an event."""
    events = await person.chat()
    for after in (len(events), len(events) + 1, 2**31 - 1):
        assert await person.read(events[0]["replyId"], after) == []


async def test_beyond_the_newest(person: Person) -> None:
    """Beyond the newest event of a running reply, it waits for later ones."""
    gate = asyncio.Event()
    person.app.generator.script = ["One", gate, " two."]
    reply_id = (await person.send())["reply"]["id"]
    seen = await person.read_until_text(reply_id, "One")
    waiting = asyncio.create_task(person.read(reply_id, len(seen) + 1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    gate.set()
    assert await waiting == (await person.read(reply_id))[len(seen) + 1 :]


async def test_negative_after(person: Person) -> None:
    """A negative `after` is refused with `BAD_USER_INPUT`."""
    reply_id = (await person.ask())["reply"]["id"]
    assert await person.refusal(FOLLOW, {"id": reply_id, "a": -1}) == {"code": "BAD_USER_INPUT"}


async def test_ids_of_nothing(person: Person) -> None:
    """An id that is unknown, malformed, of a question, or of a session that you are not in is
    refused with `BAD_USER_INPUT`."""
    other = await Person.enter(person.app, "reader@example.com")
    theirs = await other.ask()
    ours = await person.ask()
    gone = await person.ask("Gone")
    await person.app.data(DELETE, {"id": gone["session"]["id"]}, person.token)
    for id in (
        gone["reply"]["id"],
        "",
        "nonsense",
        ours["session"]["id"],
        ours["message"]["id"],
        theirs["reply"]["id"],
    ):
        assert await person.refusal(FOLLOW, {"id": id}) == {"code": "BAD_USER_INPUT"}


async def test_a_deleted_session(person: Person) -> None:
    """If the session is deleted while you read, the subscription ends: with `ReplyEnded`, or with
    an error, `FORBIDDEN` or `BAD_USER_INPUT`."""
    person.app.generator.script = ["One", asyncio.Event()]
    sent = await person.send()
    await person.read_until_text(sent["reply"]["id"], "One")
    reading = asyncio.create_task(person.read(sent["reply"]["id"]))
    await asyncio.sleep(0.05)
    await person.app.data(DELETE, {"id": sent["session"]["id"]}, person.token)
    (outcome,) = await asyncio.gather(reading, return_exceptions=True)
    if isinstance(outcome, SubscriptionRefused):
        assert outcome.errors[0]["extensions"]["code"] in ("FORBIDDEN", "BAD_USER_INPUT")
    else:
        assert not isinstance(outcome, BaseException)
        assert kinds(outcome)[-1] == "ReplyEnded"


async def test_closing(person: Person) -> None:
    """Closing a subscription ends only the reading. The reply goes on."""
    gate = asyncio.Event()
    person.app.generator.script = ["One", gate, " two."]
    reply_id = (await person.send())["reply"]["id"]
    seen = await person.read_until_text(reply_id, "One")
    gate.set()
    assert text_of(await person.read(reply_id, seen[-1]["seq"])) == " two."


async def test_without_a_subscription(person: Person) -> None:
    """You need no subscription to show an ended reply: `content`, `citations` and `status` of the
    message have it all."""
    sent = await person.ask()
    message = (await person.messages(sent["session"]["id"]))[1]
    assert (message["content"], message["status"]) == ("Hello world [1].", "COMPLETE")
    assert message["citations"] == [{"number": 1}]
