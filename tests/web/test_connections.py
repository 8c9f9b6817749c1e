"""Slow connections, over real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.transport.app import build_app, eventually, serve
from web.connections import Patience, patient

pytestmark = pytest.mark.anyio

HEAD = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"query": "{ hello }"}'
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def quick(**values: Any) -> type:
    return patient(Patience(head_seconds=0.2, body_seconds=0.2, upload_seconds=0.2, **values))


async def connect(address: str) -> Streams:
    host, _, port = address.partition(":")
    return await asyncio.open_connection(host, int(port))


async def rest(streams: Streams) -> bytes:
    """Everything until the server closes."""
    try:
        async with asyncio.timeout(5):
            return await streams[0].read()
    except ConnectionResetError:
        return b""
    finally:
        streams[1].close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /graphql HT",
        HEAD,
        HEAD + b"content-length: 100\r\n\r\n" + b"{",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n",
        HEAD.replace(b"application/json", b"multipart/form-data; boundary=x")
        + b"graphql-preflight: 1\r\ncontent-length: 100\r\n\r\n--x",
        b"\r\n\r\n",
        WHOLE + b"POST /graphql HTTP/1.1\r\nhos",
    ],
)
async def test_what_does_not_go_on_is_closed(sent: bytes) -> None:
    """Nothing, half a head, half a body, half a second request, or empty lines behind one."""
    app = build_app()
    async with serve(app.endpoint, http=quick()) as address:
        streams = await connect(address)
        streams[1].write(sent)
        await streams[1].drain()
        answer = await rest(streams)
    assert answer.count(b"200 OK") == sent.count(BODY)


async def test_empty_lines_are_no_request() -> None:
    """They stop uvicorn's clock for idle connections, so ours begins."""
    app = build_app()
    async with serve(app.endpoint, http=quick()) as address:
        streams = await connect(address)
        streams[1].write(WHOLE)
        await streams[0].readuntil(b"}}")
        streams[1].write(b"\r\n")
        await rest(streams)


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 22\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 22\r\ncontent-length: 23\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"content-length: +22\r\n",
        b"content-length : 22\r\n",
    ],
)
async def test_a_body_of_two_lengths_is_no_request(headers: bytes) -> None:
    """What a proxy might cut elsewhere is refused, and nothing behind it is a request."""
    app = build_app()
    async with serve(app.endpoint, http=quick()) as address:
        streams = await connect(address)
        streams[1].write(HEAD + headers + b"\r\n" + BODY + WHOLE)
        answer = await rest(streams)
    assert b"200 OK" not in answer
    assert answer[:12] in (b"HTTP/1.1 400", b"")


async def test_a_head_byte_by_byte_is_closed() -> None:
    """Every byte is in time, the whole is not."""
    app = build_app()
    async with serve(app.endpoint, http=quick()) as address:
        streams = await connect(address)

        async def trickle() -> None:
            for byte in WHOLE:
                streams[1].write(bytes([byte]))
                await asyncio.sleep(0.02)

        task = asyncio.create_task(trickle())
        answer = await rest(streams)
        task.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_request_in_time_is_answered_and_more() -> None:
    """The clock stops with the request: three of them on a connection, and one that works long."""
    app = build_app()
    app.hooks.delay = 0.5
    async with serve(app.endpoint, http=quick()) as address:
        streams = await connect(address)
        for _ in range(3):
            streams[1].write(WHOLE)
            assert b"200 OK" in await streams[0].readuntil(b"\r\n\r\n")
            assert b"Hello world" in await streams[0].readuntil(b"}}")
        streams[1].close()


async def test_an_address_has_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, and there is room again once one has gone."""
    monkeypatch.setattr("web.connections._LOCAL", frozenset())
    app = build_app()
    patience = Patience(per_address=2)
    async with serve(app.endpoint, http=patient(patience)) as address:
        first, second, third = [await connect(address) for _ in range(3)]
        assert (await rest(third)).startswith(b"HTTP/1.1 429 ")
        first[1].close()
        await eventually(lambda: patience.open["127.0.0.1"] == 1)
        fourth = await connect(address)
        fourth[1].write(WHOLE)
        assert b"200 OK" in await fourth[0].readuntil(b"\r\n\r\n")
        for one in (second, fourth):
            one[1].close()
    assert not patience.open


@pytest.mark.slow
async def test_three_hundred_slow_connections() -> None:
    """With the server's own times all are closed within 12 s, and others are served meanwhile."""
    app = build_app(body_seconds=9.5)
    async with serve(app.endpoint, http=patient(Patience())) as address:
        begun = time.monotonic()
        slow = [await connect(address) for _ in range(300)]
        for number, (_, writer) in enumerate(slow):
            writer.write((b"", HEAD, HEAD + b"content-length: 100\r\n\r\n{")[number % 3])
        good = await connect(address)
        good[1].write(WHOLE)
        assert b"200 OK" in await good[0].readuntil(b"\r\n\r\n")
        good[1].close()
        async with asyncio.timeout(15):
            answers = await asyncio.gather(*(reader.read() for reader, _ in slow))
        for _, writer in slow:
            writer.close()
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
        assert time.monotonic() - begun < 12
