"""Time-outs and closing, for every generator that asks a vendor, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from rag.errors import ProviderTimeout
from rag.generation.base import RetryPolicy, TextPiece, Timeouts
from tests.rag.generation.vendors import PROMPT, TIMEOUTS, Vendor, both_loops, outcome
from tests.wire.server import Pause, Reply, slowly, stalled_before_headers

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

# Scheduling may delay a time-out by this many seconds; it never comes early.
SLACK = 3.0  # for a busy machine; what would go wrong instead takes longer, or for ever


# -- Time-outs -------------------------------------------------------------------------------------


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that connecting to it hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


async def test_connecting_takes_too_long(vendor: Vendor, server: Any, deaf_port: int) -> None:
    """A connection that is not made within `connect` seconds is tried again, then a time-out."""
    options = {
        "base_url": f"http://127.0.0.1:{deaf_port}",
        "timeouts": Timeouts(connect=0.2, first_token=5, next_token=5),
        "retry": RetryPolicy(attempts=2, base_delay=0.01),
    }
    async with vendor.connected(server, **options) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderTimeout
    assert str(got.error) == f"{vendor.name}: connecting took too long"
    assert 0.41 <= got.seconds < 0.41 + SLACK


async def test_no_headers_in_time(vendor: Vendor, server: Any) -> None:
    """A provider that never answers is given up after `first_token` seconds, and not retried."""
    server.enqueue(stalled_before_headers())
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
        assert type(got.error) is ProviderTimeout
        assert str(got.error) == f"{vendor.name}: no first token within 1 s"
        assert 0 <= got.seconds - TIMEOUTS.first_token < SLACK
        assert await asyncio.to_thread(server.wait_for_disconnect)
    assert len(server.requests) == 1


async def test_no_first_token_in_time(vendor: Vendor, server: Any) -> None:
    """Headers and chunks without text do not count as a first token."""
    server.enqueue(vendor.wire.stalled())
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
        assert type(got.error) is ProviderTimeout
        assert 0 <= got.seconds - TIMEOUTS.first_token < SLACK
        assert await asyncio.to_thread(server.wait_for_disconnect)


@both_loops
async def test_no_next_token_in_time(vendor: Vendor, server: Any) -> None:
    """A stream that stalls in the middle fails `next_token` seconds after its last piece."""
    server.enqueue(vendor.wire.stalled("One ", "two "))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
        assert got.texts == ["One ", "two "]
        assert type(got.error) is ProviderTimeout
        assert str(got.error) == f"{vendor.name}: no next token within 0.5 s"
        assert 0 <= got.seconds - TIMEOUTS.next_token < SLACK
        assert await asyncio.to_thread(server.wait_for_disconnect)
    assert len(server.requests) == 1


async def test_a_stall_amid_chunks_without_text(vendor: Vendor, server: Any) -> None:
    """Chunks without text do not prolong the wait for the next token."""
    wire = vendor.wire
    some, none = {
        "openai": lambda: (wire.chunk({"content": "One"}), wire.chunk({})),
        "gemini": lambda: (wire.chunk("One"), wire.chunk()),
    }[vendor.name]()
    beats = [step for _ in range(20) for step in (Pause(0.1), none)]
    server.enqueue(wire.stream(some, *beats))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One"]
    assert type(got.error) is ProviderTimeout
    assert 0 <= got.seconds - TIMEOUTS.next_token < SLACK


async def test_slow_but_steady_is_fine(vendor: Vendor, server: Any) -> None:
    """An answer may take longer than any time-out as long as its tokens keep coming."""
    texts = ["a", "b", "c", "d", "e", "f", "g", "h"]
    server.enqueue(lambda request: slowly(_made(vendor, request, texts), 0.15))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (texts, None)
    assert got.seconds > max(TIMEOUTS.first_token, TIMEOUTS.next_token)


def _made(vendor: Vendor, request: Any, texts: list[str]) -> Reply:
    script = vendor.wire.answer(*texts)
    reply = script if isinstance(script, Reply) else script(request)
    assert isinstance(reply, Reply)
    return reply


async def test_a_slow_reader_is_not_the_provider_s_fault(vendor: Vendor, server: Any) -> None:
    """Time that the caller takes between two pieces does not count against the provider."""
    server.enqueue(lambda request: slowly(_made(vendor, request, ["a", "b"]), 0.02))
    texts = []
    timeouts = Timeouts(next_token=0.2)
    async with vendor.connected(server, timeouts=timeouts) as generator:
        async for event in generator.generate(PROMPT):
            if isinstance(event, TextPiece):
                texts.append(event.text)
                await asyncio.sleep(0.25)
    assert texts == ["a", "b"]


# -- Closing ---------------------------------------------------------------------------------------


@both_loops
async def test_closing_closes_the_connection(vendor: Vendor, server: Any) -> None:
    """`aclose` in the middle of an answer reaches the provider within a second."""
    server.enqueue(vendor.wire.stalled("One "))
    async with vendor.connected(server) as generator:
        pieces = generator.generate(PROMPT)
        await anext(pieces)
        assert server.connections == 1
        await pieces.aclose()
        assert await asyncio.to_thread(server.wait_for_disconnect, 1.0)
        assert await asyncio.to_thread(server.wait_until_unconnected, 1.0)
        await outcome(generator)  # the generator goes on working


@both_loops
@pytest.mark.parametrize("moment", ["before headers", "before text", "in the middle", "retrying"])
async def test_cancelling_closes_the_connection(vendor: Vendor, server: Any, moment: str) -> None:
    """Cancelling the task that reads closes the connection within a second, at any moment."""
    script = {
        "before headers": stalled_before_headers(),
        "before text": vendor.wire.stalled(),
        "in the middle": vendor.wire.stalled("One "),
        "retrying": vendor.wire.rate_limited(retry_after="10"),
    }[moment]
    server.enqueue(script)
    options = {
        "timeouts": Timeouts(first_token=10, next_token=10),
        "retry": RetryPolicy(max_retry_after=10),
    }
    async with vendor.connected(server, **options) as generator:
        task = asyncio.create_task(outcome(generator))
        assert await asyncio.to_thread(server.wait_for_requests, 1)
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if moment != "retrying":
            assert await asyncio.to_thread(server.wait_for_disconnect, 1.0)
    assert await asyncio.to_thread(server.wait_until_unconnected, 1.0)
    assert len(server.requests) == 1


async def test_leaving_a_cancel_scope_closes_the_connection(vendor: Vendor, server: Any) -> None:
    """anyio's cancellation, which repeats at every await, does not keep the connection open."""
    server.enqueue(vendor.wire.stalled("One "))
    texts = []
    async with vendor.connected(server, timeouts=Timeouts()) as generator:
        with anyio.move_on_after(0.1) as scope:
            async with contextlib.aclosing(generator.generate(PROMPT)) as events:
                async for event in events:
                    texts.append(event)
                    await asyncio.sleep(10)
        assert scope.cancelled_caught
        assert texts == [TextPiece("One ")]
        assert await asyncio.to_thread(server.wait_for_disconnect, 1.0)


async def test_closing_before_the_start(vendor: Vendor, server: Any) -> None:
    """A generator that is closed before its first event sends no request."""
    async with vendor.connected(server) as generator:
        await generator.generate(PROMPT).aclose()
    assert server.requests == []
