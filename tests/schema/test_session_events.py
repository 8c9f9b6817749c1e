"""Shared sessions through the real application, followed over real WebSockets."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosed

from models.chat_message import ChatMessage
from models.login import Login
from models.participant import Participant, ParticipantRole
from models.user import Role, User
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from resolvers.session_bus import MessageAdded, ParticipantsChanged, SessionEvent
from schema.node import global_id, parse_global_id
from tests.application import Running, running_app, test_settings
from tests.clock import SettableClock
from tests.follower import Follower, following
from tests.schema.operations import ASK, CHAT, FOLLOW, SEND
from tests.transport.app import eventually
from web.devices import OpenDevices

pytestmark = pytest.mark.anyio

PEOPLE = ("ann@example.com", "ben@example.com", "cem@example.com")
EVENTS = """subscription($id: ID!) { sessionEvents(id: $id) { __typename sessionId
  ... on MessageAdded { message { id status content author { email } } }
  ... on MessageChanged { message { id status content } }
  ... on ParticipantsChanged { participants { user { email } role } }
  ... on SessionChanged { session { title } }
  ... on PresenceChanged { present { email } }
  ... on TypingChanged { user { email } typing }
  ... on ReadChanged { user { email } message { id } readAt }
  ... on AccessEnded { reason } } }"""
SET_TYPING = """mutation($id: ID!, $t: Boolean!) { setTyping(sessionId: $id, typing: $t) {
  __typename ... on Acknowledged { ok } ... on NotFound { message } } }"""
MARK_READ = """mutation($id: ID!) { markRead(messageId: $id) { __typename
  ... on Participant { user { email } readUpTo { id } readAt } ... on NotFound { message } } }"""
LOGOUT = "mutation($e: Boolean) { logout(everywhere: $e) { ok } }"
RENAME = """mutation($id: ID!, $t: String!) {
  renameSession(id: $id, title: $t) { ... on ChatSession { title } } }"""
MODE = """mutation($id: ID!, $a: AnswerMode!) { setAnswerMode(id: $id, answers: $a) {
  ... on ChatSession { id } } }"""
POST = """mutation($i: PostMessageInput!) { postMessage(input: $i) { __typename
  ... on PostMessagePayload { message { id } } } }"""
UNSHARE = """mutation($id: ID!, $u: ID!) {
  unshareSession(id: $id, userId: $u) { __typename } }"""
DELETE = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"


@dataclass
class Shared:
    """A session of three people: an owner, a writer and a reader."""

    app: Running
    id: str
    tokens: list[str]
    question: dict[str, Any]
    reply: dict[str, Any]

    @property
    def key(self) -> UUID:
        return row_id(self.id)

    async def ask(self, token: str, content: str = "And then?") -> dict[str, Any]:
        variables = {"i": {"content": content, "sessionId": self.id}}
        result: dict[str, Any] = (await self.app.data(ASK, variables, token))["ask"]
        assert result["__typename"] == "SendMessagePayload", result
        return result

    async def add(self, email: str, role: ParticipantRole) -> None:
        """What shareSession writes, as another process would: nobody here is told."""
        self.app.services.store.bind()
        user = await User.get(email=email)
        now = self.app.services.clock.now()
        await Participant.create(session_id=self.key, user=user, role=role, active_at=now)

    async def remove(self, email: str) -> None:
        """What unshareSession writes, as another process would: nobody here is told."""
        self.app.services.store.bind()
        assert await Participant.filter(session_id=self.key, user__email=email).delete()

    def tell_participants(self) -> None:
        self.app.services.sessions.publish(self.key, ParticipantsChanged())


def row_id(id: str) -> UUID:
    parsed = parse_global_id(id)
    assert parsed is not None
    return parsed[1]


def emails(event: dict[str, Any]) -> set[str]:
    assert event["__typename"] == "PresenceChanged", event
    return {user["email"] for user in event["present"]}


async def make_shared(app: Running) -> Shared:
    tokens = [await app.login(email) for email in PEOPLE]
    asked = (await app.data(ASK, {"i": {"content": "How long?"}}, tokens[0]))["ask"]
    shared = Shared(app, asked["session"]["id"], tokens, asked["message"], asked["reply"])
    await shared.add(PEOPLE[1], ParticipantRole.WRITER)
    await shared.add(PEOPLE[2], ParticipantRole.READER)
    return shared


@pytest.fixture
async def shared(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Shared]:
    """On SQLite, where typing and polls are quick."""
    async with running_app(
        test_settings(tmp_path, sqlite_url),
        embedder=embedder,
        generator=ScriptedGenerator(["Hello", " world."]),
        access_poll=0.05,
        typing_seconds=0.3,
    ) as app:
        yield await make_shared(app)


@pytest.fixture
async def shared_anywhere(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Shared]:
    """On each database, with the poll of a real server."""
    async with running_app(
        test_settings(tmp_path, database_url),
        embedder=embedder,
        generator=ScriptedGenerator(["Hello", " world."]),
    ) as app:
        yield await make_shared(app)


async def enter(stack: AsyncExitStack, shared: Shared, token: str) -> Follower:
    """A follower who has seen the first event."""
    follower = await stack.enter_async_context(following(shared.app, token, EVENTS, id=shared.id))
    assert (await follower.event())["__typename"] == "PresenceChanged"
    return follower


async def gather(stack: AsyncExitStack, shared: Shared) -> list[Follower]:
    """All three, each of whom has seen the others come."""
    followers: list[Follower] = []
    for number, token in enumerate(shared.tokens, start=1):
        newest = await enter(stack, shared, token)
        for follower in followers:
            assert emails(await follower.event()) == set(PEOPLE[:number])
        followers.append(newest)
    return followers


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


# ---- rights --------------------------------------------------------------------------------------


async def test_a_stranger_cannot_subscribe(shared: Shared) -> None:
    """To a stranger there is no such session; those inside do not see them come."""
    stranger = await shared.app.login("stranger@example.com")
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        for id in (shared.id, "x", global_id("ChatSession", UUID(int=0))):
            async with following(shared.app, stranger, EVENTS, id=id) as follower:
                error = await follower.refused()
                assert error["extensions"]["code"] == "BAD_USER_INPUT"
        async with shared.app.socket() as socket:
            anonymous = Follower(socket)
            await anonymous.subscribe(EVENTS, "1", {"id": shared.id})
            assert (await anonymous.refused())["extensions"]["code"] == "UNAUTHENTICATED"
        await owner.silent()
    for operation, variables in (
        (SET_TYPING, {"id": shared.id, "t": True}),
        (MARK_READ, {"id": shared.reply["id"]}),
    ):
        (result,) = (await shared.app.data(operation, variables, stranger)).values()
        assert result["__typename"] == "NotFound"


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_who_is_removed_loses_the_stream(shared_anywhere: Shared, elsewhere: bool) -> None:
    """Within 5 seconds, also when another process did it: AccessEnded, and nothing after it. The
    others see them go and are told what comes."""
    shared = shared_anywhere
    async with AsyncExitStack() as stack:
        owner, writer, reader = await gather(stack, shared)
        await shared.remove(PEOPLE[1])
        if not elsewhere:
            shared.tell_participants()
        event = await writer.until("AccessEnded")
        assert event == {
            "__typename": "AccessEnded",
            "sessionId": shared.id,
            "reason": "REMOVED",
        }
        await writer.completed()
        for follower in (owner, reader):
            assert emails(await follower.until("PresenceChanged")) == {PEOPLE[0], PEOPLE[2]}
        await shared.ask(shared.tokens[0])
        assert (await reader.until("MessageAdded"))["message"]["content"] == "And then?"
        await writer.silent()


async def test_unsharing_ends_the_stream_at_once(shared: Shared) -> None:
    """unshareSession itself: the person is told why, the others who is left."""
    async with AsyncExitStack() as stack:
        owner, writer, _ = await gather(stack, shared)
        person = global_id("User", (await User.get(email=PEOPLE[1])).id)
        await shared.app.data(UNSHARE, {"id": shared.id, "u": person}, shared.tokens[0])
        assert (await writer.until("AccessEnded"))["reason"] == "REMOVED"
        await writer.completed()
        left = (await owner.until("ParticipantsChanged"))["participants"]
        assert [one["user"]["email"] for one in left] == [PEOPLE[0], PEOPLE[2]]


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_a_logout_ends_streams_and_sockets(shared_anywhere: Shared, elsewhere: bool) -> None:
    """First the typed end, then the socket with 4403, an idle one, too; another login stays."""
    shared = shared_anywhere
    other = await shared.app.login(PEOPLE[1])
    async with AsyncExitStack() as stack:
        follower = await enter(stack, shared, shared.tokens[1])
        stays = await enter(stack, shared, other)
        idle = await stack.enter_async_context(following(shared.app, shared.tokens[1]))
        if elsewhere:
            claims = shared.app.services.tokens.read_access_token(shared.tokens[1])
            now = shared.app.services.clock.now()
            await Login.filter(id=claims.login_id).update(revoked_at=now)
        else:
            await shared.app.data(LOGOUT, {"e": False}, shared.tokens[1])
        assert (await follower.until("AccessEnded"))["reason"] == "LOGGED_OUT"
        await follower.completed()
        assert await follower.closed() == 4403
        assert await idle.closed() == 4403
        await shared.ask(shared.tokens[0])
        await stays.until("MessageAdded")


async def test_a_logout_everywhere_ends_all_logins(shared: Shared) -> None:
    """Also the one whose socket asked for it, which gets its answer first; nobody else's."""
    second = await shared.app.login(PEOPLE[1])
    async with AsyncExitStack() as stack:
        owner = await enter(stack, shared, shared.tokens[0])
        first = await enter(stack, shared, shared.tokens[1])
        other = await enter(stack, shared, second)
        asking = await stack.enter_async_context(following(shared.app, second, LOGOUT, e=True))
        assert (await asking.message())["payload"]["data"] == {"logout": {"ok": True}}
        await asking.completed()
        assert await asking.closed() == 4403
        for follower in (first, other):
            assert (await follower.until("AccessEnded"))["reason"] == "LOGGED_OUT"
            await follower.completed()
            assert await follower.closed() == 4403
        while emails(await owner.until("PresenceChanged")) != {PEOPLE[0]}:
            pass


async def test_a_login_that_expires_ends_its_streams(shared: Shared) -> None:
    """An expired login counts like an ended one."""
    async with AsyncExitStack() as stack:
        follower = await enter(stack, shared, shared.tokens[1])
        now = shared.app.services.clock.now()
        await Login.filter(user__email=PEOPLE[1]).update(expires_at=now)
        assert (await follower.until("AccessEnded"))["reason"] == "LOGGED_OUT"
        await follower.completed()
        assert await follower.closed() == 4403


async def test_a_token_that_expires_ends_its_socket(shared: Shared) -> None:
    """A running subscription and an idle socket are closed with 4403; one that renewed its token in
    time stays."""
    clock = SettableClock()
    devices = shared.app.services.access._devices
    assert isinstance(devices, OpenDevices)
    async with AsyncExitStack() as stack:
        follower = await enter(stack, shared, shared.tokens[1])
        idle = await stack.enter_async_context(shared.app.socket(shared.tokens[1]))
        renewed = await stack.enter_async_context(shared.app.socket(shared.tokens[1]))
        row = await Login.filter(user__email=PEOPLE[2]).select_related("user").first()
        assert row is not None
        fresh, _ = shared.app.services.tokens.access_token(row.user, row)
        await renewed.send(
            json.dumps({"type": "ping", "payload": {"authorization": f"Bearer {fresh}"}})
        )
        assert json.loads(await renewed.recv())["type"] == "pong"
        stack.callback(setattr, devices, "_clock", devices._clock)
        claims = shared.app.services.tokens.read_access_token(shared.tokens[1])
        clock.time = claims.expires_at
        devices._ends = {f"Bearer {fresh}": clock.time + timedelta(minutes=5)}
        devices._clock = clock
        assert await follower.closed() == 4403
        with pytest.raises(ConnectionClosed) as closed:
            await idle.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        assert "expired" in closed.value.rcvd.reason
        await renewed.send('{"type": "ping"}')
        assert json.loads(await renewed.recv())["type"] == "pong"


async def test_another_role_ends_sockets(shared: Shared) -> None:
    """Whoever gets or loses a right connects again; nobody else does."""
    async with AsyncExitStack() as stack:
        changed = await enter(stack, shared, shared.tokens[1])
        stays = await enter(stack, shared, shared.tokens[2])
        await shared.app.services.access.check()
        await User.filter(email=PEOPLE[1]).update(role=Role.EDITOR)
        with pytest.raises(ConnectionClosed) as closed:
            await changed.until("nothing more")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        assert "role" in closed.value.rcvd.reason
        await shared.ask(shared.tokens[0])
        await stays.until("MessageAdded")


async def test_a_deleted_session_ends_every_stream(shared_anywhere: Shared) -> None:
    """AccessEnded with SESSION_DELETED, for the owner as well."""
    shared = shared_anywhere
    async with AsyncExitStack() as stack:
        followers = await gather(stack, shared)
        await shared.app.data(DELETE, {"id": shared.id}, shared.tokens[0])
        for follower in followers:
            assert (await follower.until("AccessEnded"))["reason"] == "SESSION_DELETED"
            await follower.completed()


async def test_a_closed_account_ends_its_streams(shared: Shared) -> None:
    """AccessEnded with ACCOUNT_CLOSED, then the socket is closed."""
    async with AsyncExitStack() as stack:
        follower = await enter(stack, shared, shared.tokens[1])
        await User.filter(email=PEOPLE[1]).delete()
        assert (await follower.until("AccessEnded"))["reason"] == "ACCOUNT_CLOSED"
        await follower.completed()
        assert await follower.closed() == 4403


async def test_a_reader_of_a_reply_who_is_removed_loses_it(shared_anywhere: Shared) -> None:
    """`reply` ends with FORBIDDEN and `chat` with it, too; the reply itself goes on to its end."""
    shared = shared_anywhere
    gate = asyncio.Event()
    shared.app.generator.script = ["Half", gate, " whole."]
    question = {"content": "Well?", "sessionId": shared.id}
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(
            following(shared.app, shared.tokens[1], CHAT, i=question)
        )
        reply_id = (await asker.until("TextDelta"))["replyId"]
        reader = await stack.enter_async_context(
            following(shared.app, shared.tokens[2], FOLLOW, id=reply_id)
        )
        owner = await stack.enter_async_context(
            following(shared.app, shared.tokens[0], FOLLOW, id=reply_id)
        )
        await reader.until("TextDelta")
        await shared.remove(PEOPLE[1])
        await shared.remove(PEOPLE[2])
        shared.tell_participants()
        for follower in (asker, reader):
            error = await follower.refused()
            assert error["extensions"]["code"] == "FORBIDDEN"
            assert error["message"] == "You are no longer in this session."
        gate.set()
        ended = await owner.until("ReplyEnded")
        assert ended["reply"]["status"] == "COMPLETE"
        assert ended["reply"]["content"] == "Half whole."
        await asker.silent()


async def test_who_logs_out_loses_the_reply_that_is_streamed(shared: Shared) -> None:
    """The stream ends with UNAUTHENTICATED, the socket with 4403; the reply goes on."""
    gate = asyncio.Event()
    shared.app.generator.script = ["Half", gate, " whole."]
    question = {"content": "Well?", "sessionId": shared.id}
    async with following(shared.app, shared.tokens[1], CHAT, i=question) as asker:
        reply_id = (await asker.until("TextDelta"))["replyId"]
        await shared.app.data(LOGOUT, {"e": True}, shared.tokens[1])
        error = await asker.refused()
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert await asker.closed() == 4403
    gate.set()
    async with following(shared.app, shared.tokens[0], FOLLOW, id=reply_id) as owner:
        assert (await owner.until("ReplyEnded"))["reply"]["content"] == "Half whole."


async def test_a_stream_over_http_ends_the_same_way(shared: Shared) -> None:
    """Server-sent events: AccessEnded, then the stream is complete."""
    body = {"query": EVENTS, "variables": {"id": shared.id}}
    headers = {"authorization": f"Bearer {shared.tokens[1]}", "accept": "text/event-stream"}
    lines: list[str] = []
    async with shared.app.http.stream(
        "POST", shared.app.url, json=body, headers=headers
    ) as response:
        async for line in response.aiter_lines():
            lines.append(line)
            if "PresenceChanged" in line:
                await shared.app.data(LOGOUT, {"e": False}, shared.tokens[1])
    told = [line for line in lines if line.startswith(("event:", "data:"))]
    assert '"reason":"LOGGED_OUT"' in told[3]
    assert told[4:] == ["event: complete", "data:"]


async def test_a_database_that_does_not_answer_ends_no_stream(
    anyio_backend: str,
    postgres_template: str,
    postgres: Any,
    tmp_path: Path,
    embedder: Embedder,
) -> None:
    """While the logins cannot be read, streams go on; once they can, an ended one is noticed."""
    url = postgres.create(postgres_template)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(
            running_app(
                test_settings(tmp_path, url),
                embedder=embedder,
                generator=ScriptedGenerator(["Hello."]),
                access_poll=0.05,
            )
        )
        shared = await make_shared(app)
        owner = await enter(stack, shared, shared.tokens[0])
        writer = await enter(stack, shared, shared.tokens[1])
        assert emails(await owner.event()) == set(PEOPLE[:2])
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE login IN ACCESS EXCLUSIVE MODE")
                await connection.execute(
                    "UPDATE login SET revoked_at = now() WHERE user_id = "
                    "(SELECT id FROM app_user WHERE email = $1)".replace(
                        "app_user", User._meta.db_table
                    ),
                    PEOPLE[1],
                )
                await asyncio.sleep(0.3)
                app.services.presence.set_typing(
                    shared.key, (await User.get(email=PEOPLE[0])).id, typing=True
                )
                assert (await writer.event())["typing"] is True
        finally:
            await connection.close()
        assert (await writer.until("AccessEnded"))["reason"] == "LOGGED_OUT"
        await owner.until("PresenceChanged")


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
