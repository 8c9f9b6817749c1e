"""Resuming after a lost connection"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import aclosing
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from server import stop_work
from tests.application import Running
from tests.clock import RunningClock
from tests.lossy import Cut, lossy_network
from tests.protocol.conftest import Serve
from tests.protocol.document import ROOT, first_cells
from tests.protocol.person import Event, Person, bytes_of, text_of
from tests.schema.operations import CHAT, FOLLOW

pytestmark = pytest.mark.anyio

SUBPROTOCOL = Subprotocol("graphql-transport-ws")
LONG = "x" * 256 * 1024


async def say(socket: ClientConnection, type: str, **more: Any) -> None:
    await socket.send(json.dumps({"type": type, **more}))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
    return message


async def subscribe(socket: ClientConnection, key: str, query: str, **variables: Any) -> None:
    await say(socket, "subscribe", id=key, payload={"query": query, "variables": variables})


async def close_code(socket: ClientConnection) -> int:
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert socket.close_code is not None
    return socket.close_code


async def test_the_question_again(person: Person) -> None:
    """If you have no `replyId` yet, send the question again, with the same `clientKey`. Else
    subscribe to `reply(id: replyId, after: seen)`."""
    person.app.generator.script = [f" {number}" for number in range(10)]
    question = {"i": {"content": "Lost?", "clientKey": "key"}}
    # The answer to the question is lost, then the connection breaks in the middle.
    async with lossy_network(person.app.url, Cut("ReplyStarted"), Cut(" 5")) as (network, url):
        events: list[Event] = []
        while not events or events[-1]["__typename"] != "ReplyEnded":
            operation: tuple[str, dict[str, Any]] = (CHAT, question)
            if events:
                operation = FOLLOW, {"id": events[0]["replyId"], "a": events[-1]["seq"]}
            lossy = Running(person.app.app, url, person.app.http, person.app.settings, None)
            try:
                async for event in Person(lossy, person.token).events(*operation):
                    events.append(event)
            except ConnectionClosed:
                pass
        assert network.left == []
        assert network.connections == 3
    assert text_of(events) == "".join(person.app.generator.script)
    assert bytes_of(events) == bytes_of(await person.read(events[0]["replyId"]))
    assert len(await person.sessions()) == 1


async def test_nothing_missing(person: Person) -> None:
    """The next event has `seq` `seen + 1`. Nothing is missing and nothing is repeated."""
    gate = asyncio.Event()
    person.app.generator.script = ["One", " two", gate, " three", " four"]
    reply_id = (await person.send())["reply"]["id"]
    asyncio.get_running_loop().call_later(0.1, gate.set)
    events: list[Event] = []
    while not events or events[-1]["__typename"] != "ReplyEnded":
        # A connection for each event.
        variables = {"id": reply_id, "a": len(events)}
        async with aclosing(person.events(FOLLOW, variables)) as stream:
            events.append(await anext(stream))
        assert events[-1]["seq"] == len(events)
    assert bytes_of(events) == bytes_of(await person.read(reply_id))


async def test_close_codes() -> None:
    """The server closes a WebSocket with these codes:"""
    sources = [*(ROOT / "transport").glob("*.py"), *(ROOT / "web").glob("*.py")]
    written = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    pattern = r"(?:_Close\(|self\.end\(|Rejected\(|shutdown\(\s*self, \*, code: int = )(\d{4})\b"
    used = set(re.findall(pattern, written))
    assert first_cells("Resuming after a lost connection", r"\d{4}") == sorted(used)


@pytest.mark.parametrize(
    ("code", "messages"),
    [
        (1009, [{"type": "connection_init", "payload": {"x": LONG}}]),
        (4400, [[]]),
        (4401, [{"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }"}}]),
        (4403, [{"type": "connection_init", "payload": {"authorization": "wrong"}}]),
        (4429, [{"type": "connection_init"}, {"type": "connection_init"}]),
    ],
)
async def test_what_closes(person: Person, code: int, messages: list[Any]) -> None:
    """| 1009 | a message was larger than 256 KiB |"""
    async with connect(person.app.url.replace("http", "ws"), subprotocols=[SUBPROTOCOL]) as socket:
        for message in messages:
            await socket.send(json.dumps(message))
        assert await close_code(socket) == code


async def test_another_subprotocol(person: Person) -> None:
    """| 4406 | the subprotocol is not `graphql-transport-ws` |"""
    async with connect(person.app.url.replace("http", "ws")) as socket:
        assert await close_code(socket) == 4406


async def test_an_id_in_use(person: Person) -> None:
    """| 4409 | the id of `subscribe` is in use on this socket |"""
    person.app.generator.script = [asyncio.Event()]
    reply_id = (await person.send())["reply"]["id"]
    async with person.app.socket(person.token) as socket:
        for _ in range(2):
            await subscribe(socket, "1", FOLLOW, id=reply_id)
        assert await close_code(socket) == 4409
    await person.stop(reply_id)


async def test_a_restart(anyio_backend: str, sqlite_url: str, serve: Serve) -> None:
    """A restart in order: the server takes no new questions, and new connections are refused with
    HTTP 503. Running replies get time to finish. Then they end as `INTERRUPTED`. Readers still get
    their `ReplyEnded`, and then sockets are closed with 1012."""
    async with serve(sqlite_url) as app:
        ada = await Person.enter(app)
        app.generator.script = ["One", asyncio.Event()]
        sent = await ada.send(clientKey="key")
        reply_id = sent["reply"]["id"]
        await ada.read_until_text(reply_id, "One")
        async with app.socket(ada.token) as idle, app.socket(ada.token) as busy:
            await subscribe(busy, "1", FOLLOW, id=reply_id, a=2)
            assert (await hear(busy))["payload"]["data"]["reply"]["text"] == "One"
            stopping = asyncio.create_task(stop_work(app.app, grace=0.3))
            assert await close_code(idle) == 1012

            # A `subscribe` that was sent in between stays without an answer.
            await subscribe(busy, "2", FOLLOW, id=reply_id)
            refused = await app.http.post(app.url, json={"query": "{ me { id } }"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["errors"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE"}
            with pytest.raises(InvalidStatus) as handshake:
                async with app.socket(ada.token):
                    pass
            assert handshake.value.response.status_code == 503

            last = await hear(busy)
            assert last["id"] == "1"
            assert last["payload"]["data"]["reply"]["reply"]["status"] == "INTERRUPTED"
            assert await hear(busy) == {"id": "1", "type": "complete"}
            assert await close_code(busy) == 1012
        await stopping
    async with serve(sqlite_url) as app:
        ada = await Person.enter(app)
        assert (await ada.send(clientKey="key"))["reply"]["id"] == reply_id
        assert [event["seq"] for event in await ada.read(reply_id, 3)] == [4]


async def test_pings(person: Person) -> None:
    """Send a `ping` every 10 seconds, and take the connection for lost if no `pong` comes within
    5."""
    async with person.app.socket(person.token) as socket:
        await say(socket, "ping")
        assert await hear(socket) == {"type": "pong"}


async def test_tokens(anyio_backend: str, sqlite_url: str, serve: Serve) -> None:
    """The access token is checked when a socket and when an operation begins. A socket is closed
    with 4403 within 5 seconds after its token has expired, its login was ended, or the person's
    role was changed, with what runs on it. So give an open socket a new token in time: send a
    `ping` with `{"authorization": "…"}` as payload. Its `pong` says that the token was accepted. A
    wrong one closes the socket with 4403."""
    clock = RunningClock()
    gate = asyncio.Event()
    async with serve(sqlite_url, clock=clock) as app:
        ada = await Person.enter(app)
        app.generator.script = ["One", gate, " two."]
        reply_id = (await ada.send())["reply"]["id"]
        async with app.socket(ada.token) as socket, app.socket(ada.token) as old:
            await subscribe(socket, "1", FOLLOW, id=reply_id, a=2)
            assert (await hear(socket))["payload"]["data"]["reply"]["text"] == "One"
            await subscribe(old, "1", FOLLOW, id=reply_id, a=2)
            assert (await hear(old))["payload"]["data"]["reply"]["text"] == "One"
            clock.forward(minutes=14)
            await say(socket, "ping", payload={"authorization": await app.login()})
            assert await hear(socket) == {"type": "pong"}
            clock.forward(minutes=2)
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionClosed) as expired:
                    await hear(old)
            assert expired.value.rcvd is not None
            assert expired.value.rcvd.code == 4403
            await subscribe(socket, "3", FOLLOW, id=reply_id, a=2)
            assert (await hear(socket))["id"] == "3"
            gate.set()
            rest = [await hear(socket) for _ in range(6)]
            ends = [message for message in rest if message["type"] == "complete"]
            assert {message["id"] for message in ends} == {"1", "3"}
            await say(socket, "ping", payload={"authorization": "wrong"})
            with pytest.raises(ConnectionClosed) as wrong:
                await hear(socket)
            assert wrong.value.rcvd is not None
            assert wrong.value.rcvd.code == 4403
        with pytest.raises(ConnectionClosed) as closed:
            async with app.socket(ada.token):
                pass
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
