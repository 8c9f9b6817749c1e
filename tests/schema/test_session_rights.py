"""Who loses a right in a shared session loses its stream."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosed

from models.login import Login
from models.user import Role, User
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from schema.node import global_id
from tests.application import running_app, test_settings
from tests.clock import SettableClock
from tests.follower import Follower, following
from tests.schema.operations import CHAT, FOLLOW
from tests.schema.shared_session import (
    DELETE,
    EVENTS,
    LOGOUT,
    MARK_READ,
    PEOPLE,
    SET_TYPING,
    UNSHARE,
    Shared,
    emails,
    enter,
    gather,
    make_shared,
)
from web.devices import OpenDevices

pytestmark = pytest.mark.anyio


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
