"""The ASGI side: what servers do that clients cannot, and bytes that only sockets carry."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.datastructures import Headers

from tests.transport.app import App, build_app, eventually, serve
from transport.encoding import encode_json, parse_json
from transport.endpoint import Connection, GraphQLEndpoint
from transport.errors import InvalidJSON

pytestmark = pytest.mark.anyio

BODY = json.dumps({"query": "{ hello }"}).encode()


def http_scope(**changes: Any) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json"), (b"host", b"test")]
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b""}
    return {**scope, **changes}


class Peer:
    """The server's end of an ASGI call: gives `incoming`, then waits; keeps what is sent."""

    def __init__(self, *incoming: dict[str, Any]) -> None:
        self.incoming = list(incoming)
        self.sent: list[dict[str, Any]] = []
        self.fail: Callable[[dict[str, Any]], None] = lambda message: None

    async def receive(self) -> Any:
        if not self.incoming:
            await asyncio.Event().wait()
        return self.incoming.pop(0)

    async def send(self, message: Any) -> None:
        self.fail(message)
        self.sent.append(message)


async def raw(address: str, request: bytes, *, close: bool = False) -> bytes:
    """Send bytes as they are and read until the server closes, or a second has passed."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    if close:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 1)
    except TimeoutError:
        return b"open"
    finally:
        writer.close()


async def test_other_scopes_are_refused(app: App) -> None:
    """The lifespan belongs to the application around."""
    with pytest.raises(RuntimeError, match="Unexpected scope type 'lifespan'"):
        await app.endpoint({"type": "lifespan"}, Peer().receive, Peer().send)


async def test_limits_have_defaults(app: App) -> None:
    """An endpoint needs no limits of its own."""
    peer = Peer({"type": "http.request", "body": BODY})
    await GraphQLEndpoint(app.endpoint._schema, app.hooks)(http_scope(), peer.receive, peer.send)
    assert json.loads(peer.sent[1]["body"]) == {"data": {"hello": "Hello world"}}


async def test_a_client_that_leaves_before_its_body_gets_nothing(app: App) -> None:
    """No operation runs for it."""
    peer = Peer(
        {"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}
    )
    await app.endpoint(http_scope(), peer.receive, peer.send)
    assert peer.sent == []
    assert app.journal.entries == []


@pytest.mark.parametrize("accept", [b"application/json", b"text/event-stream"])
async def test_a_client_that_leaves_during_the_answer_is_no_error(
    app: App, accept: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers of ASGI 2.4 raise OSError then; nothing is logged."""

    def fail(message: dict[str, Any]) -> None:
        raise OSError("gone")

    peer = Peer({"type": "http.request", "body": BODY})
    peer.fail = fail
    scope = http_scope()
    scope["headers"].append((b"accept", accept))
    await app.endpoint(scope, peer.receive, peer.send)
    assert peer.sent == []
    assert app.journal.entries == ["enter", "exit"]
    assert caplog.records == []


async def test_a_bug_of_the_transport_gives_500(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """Logged with the request's id, masked to the client."""
    peer = Peer()

    async def receive() -> Any:
        raise OSError("disk full")

    await app.endpoint(http_scope(), receive, peer.send)
    assert peer.sent[0]["status"] == 500
    assert b"disk" not in peer.sent[1]["body"]
    assert len(caplog.records) == 1


async def test_an_answer_that_json_cannot_carry_gives_500(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the hook itself made it."""
    monkeypatch.setattr(app.hooks, "format_error", lambda error: {"message": object()})
    peer = Peer({"type": "http.request", "body": b'{"query": "{"}'})
    await app.endpoint(http_scope(), peer.receive, peer.send)
    assert peer.sent[0]["status"] == 500


async def test_a_socket_survives_an_answer_that_json_cannot_carry(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last message failed, so it is closed with 4500 and nothing escapes."""
    monkeypatch.setattr(app.hooks, "format_error", lambda error: {"message": object()})
    peer = Peer(
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": '{"type": "connection_init"}'},
        {
            "type": "websocket.receive",
            "text": '{"type": "subscribe", "id": "1", "payload": {"query": "{"}}',
        },
    )
    await app.endpoint(_socket_scope(), peer.receive, peer.send)
    assert peer.sent[-1]["code"] == 4500


async def test_a_handshake_that_breaks_off_is_left_alone(app: App) -> None:
    """Before, during and after the acceptance."""
    peer = Peer({"type": "websocket.disconnect"})
    await app.endpoint(_socket_scope(), peer.receive, peer.send)
    assert peer.sent == []

    def fail(message: dict[str, Any]) -> None:
        raise OSError("gone")

    for subprotocols in (["graphql-transport-ws"], []):
        peer = Peer({"type": "websocket.connect"})
        peer.fail = fail
        await app.endpoint(_socket_scope(subprotocols), peer.receive, peer.send)
    assert app.endpoint.open_sockets == 0


async def test_a_socket_that_breaks_while_sending_ends_quietly(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader may learn of the end later than the writer."""

    def fail(message: dict[str, Any]) -> None:
        if '"next"' in message.get("text", "") or '"pong"' in message.get("text", ""):
            raise OSError("gone")

    subscribe = '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }"}}'
    for text, ending in ((subscribe, [{"type": "websocket.disconnect"}]), ('{"type": "ping"}', [])):
        peer = Peer(
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": '{"type": "connection_init"}'},
            {"type": "websocket.receive", "text": text},
        )
        peer.fail = fail
        task = asyncio.create_task(app.endpoint(_socket_scope(), peer.receive, peer.send))
        await eventually(lambda peer=peer: not peer.incoming)  # type: ignore[misc]
        await asyncio.sleep(0.01)
        if ending:
            app.endpoint.close(lambda connection: True)
        await task
    assert caplog.records == []


async def test_a_server_without_denial_responses_closes_the_handshake() -> None:
    """Such servers make a 403 of it."""
    app = build_app()
    peer = Peer({"type": "websocket.connect"})
    scope = _socket_scope()
    scope["headers"] = [(b"origin", b"https://other.example"), (b"host", b"test")]
    await app.endpoint(scope, peer.receive, peer.send)
    assert peer.sent == [{"type": "websocket.close"}]


async def test_a_hook_that_times_out_is_no_init_timeout(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """4408 is the client's fault, a slow store ours."""

    async def connect(connection: Connection) -> None:
        raise TimeoutError

    monkeypatch.setattr(app.hooks, "connect", connect)
    peer = Peer(
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": '{"type": "connection_init"}'},
    )
    await app.endpoint(_socket_scope(), peer.receive, peer.send)
    assert peer.sent[-1]["code"] == 4500
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n{}", b"HTTP/1.1 400"),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 400",
        ),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: 5\r\n\r\n" + BODY,
            b"HTTP/1.1 400",
        ),
    ],
)
async def test_false_lengths_give_400(address: str, request_: bytes, expected: bytes) -> None:
    """By the server or by us; the next bytes are never taken for the body."""
    assert (await raw(address, request_)).startswith(expected)


async def test_a_length_longer_than_the_body_gives_408() -> None:
    """Or nothing, if the client has gone."""
    app = build_app(body_seconds=0.1)
    request = (
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 500\r\n\r\n" + BODY
    )
    async with serve(app.endpoint) as address:
        answer = await raw(address, request)
        assert answer.startswith(b"HTTP/1.1 408")
        assert (await raw(address, request, close=True)) == b""
    assert app.journal.entries == []


async def test_an_excessive_length_is_refused_at_once(address: str) -> None:
    """Nobody waits for a body that will not be read."""
    request = (
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 99999999999\r\n\r\n"
    )
    assert (await raw(address, request)).startswith(b"HTTP/1.1 413")


def test_a_connection_shows_no_secret() -> None:
    """Its repr may be logged."""
    headers = Headers({"authorization": "Bearer secret"})
    connection = Connection("http", "Bearer secret", "127.0.0.1", headers, "id")
    assert "secret" not in repr(connection)


@pytest.mark.parametrize(
    "text", ["", "\ufeff1", "[1,]", "{'a': 1}", "01", "+1", ".5", "1.", "[1] 2", "NaN", '"\t"']
)
def test_lax_json_is_refused(text: str) -> None:
    """RFC 8259 and nothing beside it."""
    with pytest.raises(InvalidJSON):
        parse_json(text)


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, "\udfff", {"\ud800": 1}, {1: "a"}, [[[]]], float("nan"), "é🏊"]
)
def test_encoded_json_is_utf8(value: object) -> None:
    """What orjson refuses is escaped by the standard library."""
    json.loads(encode_json(value).decode("utf-8"))


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}])
def test_what_json_cannot_carry_is_a_type_error(value: object) -> None:
    """The caller masks it as a bug."""
    with pytest.raises(TypeError):
        encode_json(value)


def test_values_nested_beyond_orjson_are_encoded() -> None:
    """orjson stops at 254 levels, the standard library at the stack's depth."""
    value: list[Any] = []
    for _ in range(400):
        value = [value]
    assert encode_json(value) == b"[" * 401 + b"]" * 401


def _socket_scope(subprotocols: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "websocket",
        "headers": [(b"host", b"test")],
        "subprotocols": ["graphql-transport-ws"] if subprotocols is None else subprotocols,
    }
