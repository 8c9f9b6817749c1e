"""graphql-transport-ws over real sockets."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.transport.app import App, build_app, eventually, serve, transport_tasks

pytestmark = pytest.mark.anyio

PROTOCOL = Subprotocol("graphql-transport-ws")


class Client:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def next(self) -> Any:
        return json.loads(await asyncio.wait_for(self.socket.recv(), 5))

    async def init(self, payload: Any = None) -> None:
        await self.send({"type": "connection_init", "payload": payload})
        assert await self.next() == {"type": "connection_ack"}

    async def subscribe(self, query: str, id: str = "1", **rest: Any) -> None:
        await self.send({"id": id, "type": "subscribe", "payload": {"query": query, **rest}})

    async def closed(self) -> tuple[int, str]:
        """Wait for the server's close frame, skipping messages."""
        try:
            async with asyncio.timeout(5):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as caught:
            close = caught.rcvd
        assert close is not None
        return close.code, close.reason


@asynccontextmanager
async def opened(address: str, **options: Any) -> AsyncIterator[Client]:
    options.setdefault("subprotocols", [PROTOCOL])
    async with connect(f"ws://{address}/graphql", proxy=None, **options) as socket:
        yield Client(socket)


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with opened(address) as client:
        yield client


@pytest.fixture
async def ready(client: Client) -> Client:
    await client.init()
    return client


def next_(data: Any, id: str = "1") -> dict[str, Any]:
    return {"id": id, "type": "next", "payload": {"data": data}}


def complete(id: str = "1") -> dict[str, Any]:
    return {"id": id, "type": "complete"}


async def test_a_subscription_sends_its_results_and_completes(ready: Client) -> None:
    """Each event is a `next`, and `complete` follows the last."""
    assert ready.socket.subprotocol == PROTOCOL
    await ready.subscribe("subscription { count(to: 2) }")
    assert await ready.next() == next_({"count": 1})
    assert await ready.next() == next_({"count": 2})
    assert await ready.next() == complete()


async def test_queries_and_mutations_run_over_the_socket(ready: Client) -> None:
    """They give one result, and the id is free again afterwards."""
    await ready.subscribe("query ($n: String!) { hello(name: $n) }", variables={"n": "Ada"})
    assert [await ready.next(), await ready.next()] == [next_({"hello": "Hello Ada"}), complete()]
    await ready.subscribe('mutation A { write } mutation B { write(text: "b") }', operationName="B")
    assert [await ready.next(), await ready.next()] == [next_({"write": "b"}), complete()]


async def test_operations_are_known_by_their_hash(ready: Client) -> None:
    """As over HTTP; what is not known is an `error` message, and the socket stays open."""
    digest = hashlib.sha256(b"{ hello }").hexdigest()
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    alone = {"id": "1", "type": "subscribe", "payload": {"extensions": extensions}}
    await ready.send(alone)
    refused = await ready.next()
    assert refused["type"] == "error"
    assert refused["payload"][0]["extensions"] == {"code": "PERSISTED_QUERY_NOT_FOUND"}
    await ready.subscribe("{ hello }", extensions=extensions)
    assert [await ready.next(), await ready.next()] == [next_({"hello": "Hello world"}), complete()]
    await ready.send(alone)
    assert [await ready.next(), await ready.next()] == [next_({"hello": "Hello world"}), complete()]


async def test_operations_run_side_by_side(ready: Client, shared: App) -> None:
    """A waiting subscription does not hold up a query."""
    await ready.subscribe("subscription { wait }", id="a")
    assert await ready.next() == next_({"wait": "begun"}, "a")
    await ready.subscribe("{ hello }", id="b")
    assert await ready.next() == next_({"hello": "Hello world"}, "b")
    assert await ready.next() == complete("b")


@pytest.mark.parametrize(
    "payload",
    [
        {"query": "{"},
        {"query": "{ nothing }"},
        {"query": "query A { hello }", "operationName": "B"},
        {"query": "query ($n: Int!) { double(number: $n) }", "variables": {"n": "x"}},
        {"query": "subscription ($n: Int!) { count(to: $n) }", "variables": {"n": "x"}},
        {"query": "{" * 10_000},
        {"query": "{ double(number: 1" + "0" * 5000 + ") }"},
        {
            "query": "{ ...a0 } "
            + " ".join(f"fragment a{n} on Query {{ ...a{n + 1} }}" for n in range(2000))
            + " fragment a2000 on Query { hello }"
        },
    ],
    ids=lambda payload: payload["query"][:30],
)
async def test_a_refused_operation_gives_an_error_message(
    ready: Client, payload: dict[str, Any]
) -> None:
    """The operation ends with `error`; the socket and the id stay usable."""
    await ready.send({"id": "1", "type": "subscribe", "payload": payload})
    message = await ready.next()
    assert (message["id"], message["type"]) == ("1", "error")
    assert [e["extensions"]["code"] for e in message["payload"]] == ["BAD_USER_INPUT"]
    await ready.subscribe("{ hello }")
    assert await ready.next() == next_({"hello": "Hello world"})


async def test_a_bug_in_a_field_is_masked(ready: Client) -> None:
    """It is an error beside the data, as over HTTP."""
    await ready.subscribe("{ bug }")
    message = await ready.next()
    assert message["type"] == "next"
    assert message["payload"]["data"] == {"bug": None}
    assert message["payload"]["errors"][0]["message"] == "Internal server error."


async def test_a_bug_in_a_source_ends_the_operation_with_an_error(ready: Client) -> None:
    """What was sent before stays; the error is masked and no complete follows."""
    await ready.subscribe("subscription { bug }")
    assert await ready.next() == next_({"bug": "before"})
    error = {
        "message": "Internal server error.",
        "extensions": {"code": "INTERNAL_SERVER_ERROR"},
    }
    assert await ready.next() == {"id": "1", "type": "error", "payload": [error]}


async def test_a_bug_in_a_hook_ends_the_operation_with_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged once with the operation's id."""
    app = build_app()
    app.hooks.fail_operation = RuntimeError("secret detail")
    async with serve(app.endpoint) as address, opened(address) as client:
        await client.init()
        await client.subscribe("{ hello }")
        message = await client.next()
    assert message["payload"][0]["message"] == "Internal server error."
    assert len(caplog.records) == 1
    assert ".1 failed" in caplog.records[0].getMessage()


async def test_a_source_may_reject_the_client(ready: Client) -> None:
    """Rejected, raised in a subscription, closes the whole socket."""
    await ready.subscribe("subscription { rejected }")
    assert await ready.next() == next_({"rejected": "before"})
    assert await ready.closed() == (4403, "Forbidden")


# The handshake and the connection's life


async def test_another_subprotocol_is_closed_with_4406(address: str) -> None:
    """The old graphql-ws subprotocol is not spoken."""
    for subprotocols in ([Subprotocol("graphql-ws")], None):
        async with opened(address, subprotocols=subprotocols) as client:
            assert await client.closed() == (4406, "Subprotocol not acceptable")


async def test_a_socket_without_init_is_closed_with_4408(client: Client) -> None:
    """Pings do not prolong the time."""
    await client.send({"type": "ping"})
    assert await client.next() == {"type": "pong"}
    assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_a_ready_socket_outlives_the_init_time(ready: Client) -> None:
    """The limit is for connection_init alone."""
    await asyncio.sleep(0.6)
    await ready.subscribe("{ hello }")
    assert await ready.next() == next_({"hello": "Hello world"})


async def test_subscribe_before_init_is_closed_with_4401(client: Client) -> None:
    """Nothing runs for a client that was not accepted."""
    await client.subscribe("{ hello }")
    assert await client.closed() == (4401, "Unauthorized")


async def test_a_second_init_is_closed_with_4429(ready: Client) -> None:
    """The protocol allows one."""
    await ready.send({"type": "connection_init"})
    assert await ready.closed() == (4429, "Too many initialisation requests")


async def test_an_id_in_use_is_closed_with_4409(ready: Client) -> None:
    """A reason longer than a close frame carries is cut at a character."""
    for id_, reason in (("a", "Subscriber for a already exists"),):
        await ready.subscribe("subscription { wait }", id=id_)
        await ready.next()
        await ready.subscribe("subscription { wait }", id=id_)
        assert await ready.closed() == (4409, reason)


async def test_a_long_reason_is_cut(ready: Client) -> None:
    """A close frame carries 123 bytes of UTF-8."""
    await ready.subscribe("subscription { wait }", id="é" * 200)
    await ready.next()
    await ready.subscribe("subscription { wait }", id="é" * 200)
    code, reason = await ready.closed()
    assert code == 4409
    assert reason == "Subscriber for " + "é" * 54


async def test_a_rejected_init_closes_with_its_code(client: Client) -> None:
    """The hook decides the code and the reason."""
    await client.send({"type": "connection_init", "payload": {"authorization": "bad"}})
    assert await client.closed() == (4403, "Forbidden")


async def test_a_bug_at_init_closes_with_4500(client: Client) -> None:
    """No detail leaks through the reason."""
    await client.send({"type": "connection_init", "payload": {"authorization": "bug"}})
    assert await client.closed() == (4500, "Internal server error")


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
async def test_the_init_payload_carries_the_token(client: Client, name: str) -> None:
    """Both spellings are read, and operations see the token."""
    await client.init({name: "Bearer a"})
    await client.subscribe("{ viewer }")
    assert await client.next() == next_({"viewer": "Bearer a"})


async def test_the_header_is_the_token_without_one_in_the_payload(address: str) -> None:
    """Programs can send the header; the payload goes before it."""
    headers = {"authorization": "Bearer header"}
    async with opened(address, additional_headers=headers) as client:
        await client.init({"other": 1})
        await client.subscribe("{ viewer }")
        assert await client.next() == next_({"viewer": "Bearer header"})


async def test_a_ping_renews_the_token(client: Client, shared: App) -> None:
    """Operations that start after it see the new token."""
    await client.init({"authorization": "old"})
    await client.send({"type": "ping", "payload": {"authorization": "new"}})
    assert await client.next() == {"type": "pong"}
    assert shared.journal.entries[-2:] == ["connect old", "connect new"]
    await client.subscribe("{ viewer }")
    assert await client.next() == next_({"viewer": "new"})


async def test_a_rejected_renewal_closes_the_socket(ready: Client) -> None:
    """A bad token is no better later than at the beginning."""
    await ready.send({"type": "ping", "payload": {"authorization": "bad"}})
    assert await ready.closed() == (4403, "Forbidden")


async def test_pings_are_answered_and_pongs_taken(ready: Client) -> None:
    """With and without a payload."""
    for payload in ({}, {"a": 1}, None):
        await ready.send({"type": "pong", "payload": payload})
        await ready.send({"type": "ping", "payload": payload})
        assert await ready.next() == {"type": "pong"}


async def test_complete_ends_the_operation_and_frees_its_id(ready: Client, shared: App) -> None:
    """The source's finally runs, and nothing is sent for the id any more."""
    shared.journal.entries.clear()
    await ready.subscribe("subscription { wait }")
    await ready.next()
    await ready.send(complete())
    await ready.send(complete("unknown"))
    await ready.subscribe("{ hello }")
    assert await ready.next() == next_({"hello": "Hello world"})
    assert await ready.next() == complete()
    assert "wait ended" in shared.journal.entries
    assert shared.journal.entries.count("exit") == 2


async def test_operations_on_one_socket_are_bounded(ready: Client) -> None:
    """One more than the limit gets an error; a place that is freed can be used."""
    for id_ in "abc":
        await ready.subscribe("subscription { wait }", id=id_)
        await ready.next()
    await ready.subscribe("{ hello }", id="d")
    error = {
        "message": "Too many operations on this socket.",
        "extensions": {"code": "RATE_LIMITED"},
    }
    assert await ready.next() == {"id": "d", "type": "error", "payload": [error]}
    await ready.send(complete("a"))
    await ready.send({"type": "ping"})
    assert await ready.next() == {"type": "pong"}
    await ready.subscribe("{ hello }", id="d")
    assert await ready.next() == next_({"hello": "Hello world"}, "d")


# Bad input


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "{}",
        '"x"',
        "true",
        '{"type": 1}',
        '{"type": "unknown"}',
        '{"type": "connection_ack"}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "ping", "payload": 1}',
        '{"type": "pong", "payload": "x"}',
        '{"type": "ping", "payload": {"authorization": 5}}',
        '{"type": "complete"}',
        '{"type": "complete", "id": 1}',
        '{"type": "subscribe", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": null, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": ""}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": "x"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": [1]}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "operationName": 5}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "extensions": 5}}',
        '{"type": "ping", "type": "pong"}',
        '{"type": "ping", "payload": {"a": NaN}}',
        '{"type": "ping", "payload": {"a": ' + "1" * 4000 + "1" * 1000 + "}}",
        b"{}",
        b'{"type": "ping"}',
    ],
)
async def test_a_message_outside_the_protocol_closes_with_4400(
    address: str, message: str | bytes
) -> None:
    """At once, with a reason, before and after init alike."""
    for init in (False, True):
        async with opened(address) as client:
            if init:
                await client.init()
            await client.socket.send(message)
            code, reason = await client.closed()
            assert code == 4400
            assert 0 < len(reason.encode()) <= 123


@pytest.mark.parametrize("payload", ["[]", "1", '"x"', '{"authorization": 5}'])
async def test_a_bad_init_payload_closes_with_4400(client: Client, payload: str) -> None:
    """The payload of connection_init is an object, its token a string."""
    await client.socket.send(f'{{"type": "connection_init", "payload": {payload}}}')
    assert (await client.closed())[0] == 4400


async def test_deeply_nested_json_closes_with_4400(client: Client) -> None:
    """The parser's own limit is an ordinary refusal."""
    await client.socket.send('{"type": "ping", "payload": ' + "[" * 100_000)
    assert await client.closed() == (4400, "The JSON is nested too deeply.")


async def test_a_message_over_the_limit_closes_with_1009(ready: Client) -> None:
    """Bytes count, not characters."""
    limit = 256 * 1024
    await ready.socket.send('{"type": "ping"}'.ljust(limit))
    assert await ready.next() == {"type": "pong"}
    text = '{"type": "ping", "payload": {"é": 1}}'.ljust(limit)
    assert (len(text), len(text.encode())) == (limit, limit + 1)
    await ready.socket.send(text)
    assert await ready.closed() == (1009, "A message may have 262144 bytes")


async def test_lone_surrogates_leave_as_escapes(ready: Client) -> None:
    """What no UTF-8 can carry goes out as JSON's escape."""
    await ready.subscribe("query ($n: String!) { hello(name: $n) }", variables={"n": "\ud800"})
    text = await ready.socket.recv()
    assert isinstance(text, str)
    assert "\\ud800" in text
    assert json.loads(text) == next_({"hello": "Hello \ud800"})


# Origins, addresses, shutdown


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        ("https://allowed.example", True),
        ("HTTPS://Allowed.Example", True),
        ("https://other.example", False),
        ("http://allowed.example", False),
        ("null", False),
        ("http://127.0.0.1:1", False),
        ("http://[", False),
        ("same", True),
    ],
)
async def test_origins_are_checked_before_the_handshake(origin: str, accepted: bool) -> None:
    """The own origin and listed ones open a socket; any other page gets 403."""
    app = build_app(allowed_origins=("https://allowed.example",))
    async with serve(app.endpoint) as address:
        origin = f"http://{address}" if origin == "same" else origin
        if accepted:
            async with opened(address, origin=Origin(origin)) as client:
                await client.init()
        else:
            with pytest.raises(InvalidStatus) as caught:
                async with opened(address, origin=Origin(origin)):
                    raise AssertionError("opened")
            assert caught.value.response.status_code == 403


async def test_sockets_of_one_address_are_bounded() -> None:
    """One more is refused with 429; a place that is freed can be used."""
    app = build_app(sockets_per_address=1)
    async with serve(app.endpoint) as address:
        async with opened(address):
            with pytest.raises(InvalidStatus) as caught:
                async with opened(address):
                    raise AssertionError("opened")
            assert caught.value.response.status_code == 429
        await eventually(lambda: app.endpoint.open_sockets == 0)
        async with opened(address) as client:
            await client.init()


async def test_shutdown_closes_idle_sockets_at_once_and_busy_ones_after_their_end() -> None:
    """1012 comes after the last event; new operations and sockets are not taken."""
    app = build_app()
    async with (
        serve(app.endpoint) as address,
        opened(address) as idle,
        opened(address) as busy,
        opened(address) as stuck,
    ):
        for client in (idle, busy, stuck):
            await client.init()
        await stuck.subscribe("subscription { wait }")
        await stuck.next()
        stuck_gate, app.journal.gate = app.journal.gate, asyncio.Event()
        await busy.subscribe("subscription { wait }", id="2")
        await busy.next()
        shutdown = asyncio.create_task(app.endpoint.shutdown(grace=0.3))
        assert await idle.closed() == (1012, "Service restart")
        await busy.subscribe("{ hello }", id="3")
        await busy.send({"type": "ping"})
        assert await busy.next() == {"type": "pong"}
        app.journal.gate.set()
        messages = [await busy.next() for _ in range(2)]
        assert messages == [next_({"wait": "done"}, "2"), complete("2")]
        with pytest.raises(InvalidStatus) as caught:
            async with opened(address):
                raise AssertionError("opened")
        assert caught.value.response.status_code == 503
        assert await stuck.closed() == (1012, "Service restart")
        assert await busy.closed() == (1012, "Service restart")
        assert not stuck_gate.is_set()
        await shutdown
    assert app.journal.entries.count("exit") == 2
    assert app.endpoint.open_sockets == 0


async def test_chosen_sockets_can_be_closed() -> None:
    """Those whose token matches, with their operations; the others go on."""
    app = build_app()
    async with serve(app.endpoint) as address, opened(address) as one, opened(address) as two:
        await one.init({"authorization": "one"})
        await two.init({"authorization": "two"})
        await one.subscribe("subscription { wait }")
        await one.next()
        assert app.endpoint.close(lambda connection: connection.authorization == "one") == 1
        assert await one.closed() == (4403, "Forbidden")
        await two.subscribe("{ viewer }")
        assert await two.next() == next_({"viewer": "two"})
        assert app.journal.entries.count("wait ended") == 1


# Resources


async def test_a_client_that_goes_away_ends_its_operations() -> None:
    """Whether it closes politely or its connection breaks."""
    app = build_app()
    async with serve(app.endpoint) as address:
        for polite in (True, False):
            app.journal.entries.clear()
            async with opened(address) as client:
                await client.init()
                await client.subscribe("subscription { wait }")
                await client.next()
                if not polite:
                    client.socket.transport.abort()
            await eventually(lambda: app.journal.entries[-2:] == ["wait ended", "exit"])
        await eventually(lambda: app.endpoint.open_sockets == 0)


async def test_a_slow_reader_pauses_only_its_own_source() -> None:
    """Memory stays bounded by the socket's buffers, others go on, and the end cleans up."""
    app = build_app()
    size, events = 10_000, 100_000
    async with serve(app.endpoint) as address:
        async with opened(address, max_queue=1) as slow:
            await slow.init()
            query = "subscription ($size: Int!, $to: Int!) { text(size: $size, to: $to) }"
            await slow.subscribe(query, variables={"size": size, "to": events})
            await eventually(lambda: app.journal.produced > 1)
            previous = -1
            while app.journal.produced != previous:
                previous = app.journal.produced
                await asyncio.sleep(0.1)
            # What the kernel's and the server's buffers hold, far from the whole.
            assert previous * size < 30_000_000
            async with opened(address) as quick:
                await quick.init()
                await quick.subscribe("{ hello }")
                assert await quick.next() == next_({"hello": "Hello world"})
            assert app.journal.produced == previous
            for _ in range(2000):
                await slow.next()
            assert app.journal.produced > previous
            slow.socket.transport.abort()
        await eventually(lambda: "text ended" in app.journal.entries)
        assert app.journal.produced < events


async def test_two_hundred_connections_leave_nothing_behind() -> None:
    """No task, no socket, however each of them ends."""
    app = build_app()
    async with serve(app.endpoint) as address:

        async def visit(number: int) -> None:
            async with opened(address) as client:
                await client.init()
                await client.subscribe("subscription { wait }")
                await client.next()
                if number % 3 == 0:
                    await client.send(complete())
                elif number % 3 == 1:
                    client.socket.transport.abort()

        for start in range(0, 200, 20):
            await asyncio.gather(*(visit(start + number) for number in range(20)))
        await eventually(lambda: app.endpoint.open_sockets == 0 and not transport_tasks())
    assert app.journal.entries.count("wait began") == 200
    assert app.journal.entries.count("wait ended") == 200
    assert app.journal.entries.count("exit") == 200


async def test_retiring_lets_what_runs_end_by_itself() -> None:
    """A socket closes after its last `complete`, an idle one at once, a stubborn one after the
    grace; those that do not match stay."""
    app = build_app()
    async with serve(app.endpoint) as address, AsyncExitStack() as stack:
        busy, idle, stubborn, other = [
            await stack.enter_async_context(opened(address)) for _ in range(4)
        ]
        for client, token in ((busy, "a"), (idle, "a"), (stubborn, "a"), (other, "b")):
            await client.init({"authorization": token})
        await busy.subscribe("subscription { count(to: 2) }")
        await stubborn.subscribe("subscription { wait }")
        await eventually(lambda: len(app.endpoint.connections()) == 4)
        assert await busy.next() == next_({"count": 1})
        await app.endpoint.retire(
            lambda connection: connection.authorization == "a", reason="Over", grace=0.2
        )
        assert [await busy.next(), await busy.next()] == [next_({"count": 2}), complete()]
        for client in (busy, idle, stubborn):
            assert await client.closed() == (4403, "Over")
        assert [one.authorization for one in app.endpoint.connections()] == ["b"]
