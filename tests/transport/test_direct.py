"""Results that a source sends itself, over each transport."""

import json

import httpx
import pytest

from tests.transport.app import build_app, eventually, serve
from tests.transport.sockets import next_, opened
from tests.transport.test_streaming import MULTIPART, parts, streamed

pytestmark = pytest.mark.anyio

QUERY = "subscription { direct(to: 7) }"
RESULTS = [{"data": {"direct": number}} for number in range(1, 8)]


async def test_both_ways_keep_their_order_on_a_socket() -> None:
    """Sent and yielded results come as the source made them, in the same form."""
    async with serve(build_app().endpoint) as address, opened(address) as client:
        await client.init()
        await client.subscribe(QUERY)
        for number in range(1, 8):
            assert await client.next() == next_({"direct": number})
        assert await client.next() == {"id": "1", "type": "complete"}


async def test_both_ways_keep_their_order_in_a_stream() -> None:
    """The same over multipart and server-sent events."""
    async with streamed(build_app(), QUERY) as (_, chunks):
        found = parts("".join([chunk async for chunk in chunks]))
        assert [part["payload"] for part in found] == RESULTS
    async with streamed(build_app(), QUERY, "text/event-stream") as (_, chunks):
        text = "".join([chunk async for chunk in chunks])
        lines = [line.removeprefix("data: ") for line in text.splitlines() if "data: " in line]
        assert [json.loads(line) for line in lines] == RESULTS


async def test_a_source_hears_that_its_socket_is_gone() -> None:
    """It ends instead of counting on, and nothing is logged as a bug."""
    app = build_app()
    async with serve(app.endpoint) as address:
        async with opened(address) as client:
            await client.init()
            await client.subscribe("subscription { direct(to: 100000000) }")
            await client.next()
            client.socket.transport.abort()
        await eventually(lambda: "exit" in app.journal.entries)
    assert "direct ended" in app.journal.entries
    assert app.journal.produced < 100_000_000


async def test_a_source_hears_that_its_stream_is_gone() -> None:
    """The same for a response over HTTP."""
    app = build_app()
    async with serve(app.endpoint) as address:
        async with (
            httpx.AsyncClient() as client,
            client.stream(
                "POST",
                f"http://{address}/graphql",
                json={"query": "subscription { direct(to: 100000000) }"},
                headers={"accept": MULTIPART},
            ) as response,
        ):
            await anext(response.aiter_text())
        await eventually(lambda: "exit" in app.journal.entries)
    assert "direct ended" in app.journal.entries
    assert app.journal.produced < 100_000_000
