"""Shared sessions through the real application, followed over real WebSockets."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from models.chat_message import ChatMessage
from models.participant import ParticipantRole
from resolvers.session_bus import MessageAdded, SessionEvent
from schema.node import global_id
from tests.follower import following
from tests.schema.operations import SEND
from tests.schema.shared_session import (
    EVENTS,
    MARK_READ,
    MODE,
    PEOPLE,
    POST,
    RENAME,
    SET_TYPING,
    Shared,
    emails,
    enter,
    gather,
)
from tests.transport.app import eventually

pytestmark = pytest.mark.anyio


# ---- messages ------------------------------------------------------------------------------------


async def test_everyone_sees_every_message_in_order(shared_anywhere: Shared) -> None:
    """Owner, writer and reader are told the same: each question and reply once, in the order of
    the commits, and each reply's end."""
    shared = shared_anywhere
    async with AsyncExitStack() as stack:
        followers = await gather(stack, shared)
        asked = [
            await shared.ask(shared.tokens[n % 2], content) for n, content in enumerate("abcd")
        ]
        expected = [one[part]["id"] for one in asked for part in ("message", "reply")]
        for follower in followers:
            added: list[str] = []
            ended: list[str] = []
            while len(ended) < len(asked):
                event = await follower.until("MessageAdded", "MessageChanged")
                assert event["sessionId"] == shared.id
                if event["__typename"] == "MessageAdded":
                    added.append(event["message"]["id"])
                else:
                    assert event["message"]["status"] == "COMPLETE"
                    assert event["message"]["content"] == "Hello world."
                    ended.append(event["message"]["id"])
            assert added == expected
            assert ended == expected[1::2]


async def test_what_people_write_at_once_is_told_in_order(shared_anywhere: Shared) -> None:
    """Every message once, each behind the one that it follows."""
    shared = shared_anywhere
    async with AsyncExitStack() as stack:
        reader = await enter(stack, shared, shared.tokens[2])
        await shared.app.data(MODE, {"id": shared.id, "a": "ADDRESSED"}, shared.tokens[0])
        assert (await reader.event())["__typename"] == "SessionChanged"
        posts = [{"sessionId": shared.id, "content": f"Message {n}"} for n in range(12)]
        answers = await asyncio.gather(
            *(shared.app.data(POST, {"i": i}, shared.tokens[n % 2]) for n, i in enumerate(posts))
        )
        told = [(await reader.until("MessageAdded"))["message"]["id"] for _ in posts]
        assert sorted(told) == sorted(one["postMessage"]["message"]["id"] for one in answers)
        stored = await ChatMessage.filter(session_id=shared.key, content__startswith="Message")
        by_age = sorted(stored, key=lambda row: row.id)
        assert told == [global_id("ChatMessage", row.id) for row in by_age]


async def test_nothing_is_told_before_its_commit(shared: Shared) -> None:
    """When an event is published, another connection already reads its row."""
    path = shared.app.settings.store_url.removeprefix("sqlite://")
    seen: list[bool] = []

    def look(session_id: UUID, event: SessionEvent) -> None:
        if isinstance(event, MessageAdded):
            with sqlite3.connect(path) as connection:
                found = connection.execute(
                    "SELECT 1 FROM chat_message WHERE id = ?", [str(event.message_id)]
                ).fetchone()
                seen.append(found is not None)
            connection.close()

    shared.app.services.sessions.listen(look)
    await shared.ask(shared.tokens[0])
    assert seen == [True, True]


async def test_a_new_title_is_told(shared: Shared) -> None:
    """renameSession gives SessionChanged with the new title."""
    async with AsyncExitStack() as stack:
        reader = await enter(stack, shared, shared.tokens[2])
        await shared.app.data(RENAME, {"id": shared.id, "t": "Other"}, shared.tokens[0])
        event = await reader.event()
        assert event["__typename"] == "SessionChanged"
        assert event["session"] == {"title": "Other"}


async def test_new_participants_are_told(shared: Shared) -> None:
    """ParticipantsChanged lists everyone with their role."""
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        await shared.app.login("dee@example.com")
        await shared.add("dee@example.com", ParticipantRole.WRITER)
        shared.tell_participants()
        event = await owner.until("ParticipantsChanged")
        assert [(one["user"]["email"], one["role"]) for one in event["participants"]] == [
            *zip(PEOPLE, ("OWNER", "WRITER", "READER"), strict=True),
            ("dee@example.com", "WRITER"),
        ]


# ---- presence, typing, reading -------------------------------------------------------------------


async def test_presence_counts_people_not_sockets(shared_anywhere: Shared) -> None:
    """A second device changes nothing; whoever's last socket goes, however it goes, is gone."""
    shared = shared_anywhere
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        first = await enter(stack, shared, shared.tokens[1])
        assert emails(await owner.event()) == set(PEOPLE[:2])
        async with following(shared.app, shared.tokens[1], EVENTS, id=shared.id) as second:
            assert emails(await second.event()) == set(PEOPLE[:2])
            await owner.silent()
        await owner.silent()
        first.socket.transport.abort()
        assert emails(await owner.event()) == {PEOPLE[0]}


async def test_typing_is_told_to_the_others_and_ends(shared: Shared) -> None:
    """It begins once, is renewed in silence, ends by itself, and is never told to oneself."""
    app = shared.app
    async with AsyncExitStack() as stack:
        owner, writer, reader = await gather(stack, shared)
        for _ in range(3):
            result = await app.data(SET_TYPING, {"id": shared.id, "t": True}, shared.tokens[1])
            assert result["setTyping"] == {"__typename": "Acknowledged", "ok": True}
        async with following(app, shared.tokens[0], EVENTS, id=shared.id) as late:
            await late.until("PresenceChanged")
            assert (await late.event())["typing"] is True
        for follower in (owner, reader):
            for typing in (True, False):
                event = await follower.event()
                assert event == {
                    "__typename": "TypingChanged",
                    "sessionId": shared.id,
                    "user": {"email": PEOPLE[1]},
                    "typing": typing,
                }
        await writer.silent()
        await app.data(SET_TYPING, {"id": shared.id, "t": True}, shared.tokens[1])
        assert (await owner.event())["typing"] is True
        await app.data(SET_TYPING, {"id": shared.id, "t": False}, shared.tokens[1])
        assert (await owner.event())["typing"] is False
        code = await app.code(SET_TYPING, {"id": shared.id, "t": True}, shared.tokens[2])
        assert code == "FORBIDDEN"
        await owner.silent()


async def test_typing_ends_with_the_message(shared_anywhere: Shared) -> None:
    """The message and the end of typing come together, long before the six seconds."""
    shared = shared_anywhere
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        await shared.app.data(SET_TYPING, {"id": shared.id, "t": True}, shared.tokens[1])
        assert (await owner.event())["typing"] is True
        await shared.app.data(
            SEND, {"i": {"content": "Here", "sessionId": shared.id}}, shared.tokens[1]
        )
        assert (await owner.event())["message"]["content"] == "Here"
        assert (await owner.event())["typing"] is False


async def test_who_leaves_does_not_type_any_more(shared: Shared) -> None:
    """The end of the last stream ends typing."""
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        async with AsyncExitStack() as inner:
            await enter(inner, shared, shared.tokens[1])
            await shared.app.data(SET_TYPING, {"id": shared.id, "t": True}, shared.tokens[1])
            assert (await owner.until("TypingChanged"))["typing"] is True
        assert (await owner.until("TypingChanged"))["typing"] is False


async def test_reading_is_stored_told_and_never_goes_back(shared_anywhere: Shared) -> None:
    """markRead moves forward only; everyone sees how far each has read."""
    shared = shared_anywhere
    app, token = shared.app, shared.tokens[2]
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        told = []
        for id in (shared.question["id"], shared.reply["id"], shared.question["id"]):
            marked = (await app.data(MARK_READ, {"id": id}, token))["markRead"]
            told.append((marked["readUpTo"]["id"], marked["readAt"]))
        assert [id for id, _ in told] == [
            shared.question["id"],
            shared.reply["id"],
            shared.reply["id"],
        ]
        assert told[1] == told[2]
        last = ""
        while last != shared.reply["id"]:
            event = await owner.event()
            assert event["__typename"] == "ReadChanged"
            assert event["user"] == {"email": PEOPLE[2]}
            last = event["message"]["id"]
        assert event["readAt"] == told[1][1]
        await owner.silent()
    found = await app.data(
        """query($id: ID!) { session(id: $id) {
             participants { user { email } readUpTo { id content } readAt } } }""",
        {"id": shared.id},
        shared.tokens[0],
    )
    reads = {one["user"]["email"]: one["readUpTo"] for one in found["session"]["participants"]}
    assert reads == {
        PEOPLE[0]: None,
        PEOPLE[1]: None,
        PEOPLE[2]: {"id": shared.reply["id"], "content": "Hello world."},
    }


# ---- resources -----------------------------------------------------------------------------------


async def test_nothing_is_left_of_closed_streams(shared: Shared) -> None:
    """200 subscriptions, completed by the client or cut with their socket, leave nothing."""
    services = shared.app.services
    for completed in (True, False, True, False):
        async with AsyncExitStack() as stack:
            for token in shared.tokens[:2]:
                follower = await stack.enter_async_context(following(shared.app, token))
                for number in range(25):
                    await follower.subscribe(EVENTS, str(number), {"id": shared.id})
                begun: set[str] = set()
                while len(begun) < 25:
                    begun.add((await follower.message())["id"])
                if completed:
                    for id in begun:
                        await follower.send(id=id, type="complete")
                else:
                    follower.socket.transport.abort()
            await eventually(lambda: services.sessions.open_readers == 0)
        assert services.access.open_grants == 0
        assert services.presence.is_empty
