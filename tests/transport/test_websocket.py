"""graphql-transport-ws over real sockets."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.typing import Subprotocol

from tests.transport.app import App, build_app, serve
from tests.transport.sockets import PROTOCOL, Client, complete, next_, opened

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with opened(address) as client:
        yield client


@pytest.fixture
async def ready(client: Client) -> Client:
    await client.init()
    return client


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
