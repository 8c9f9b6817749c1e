"""What every generator that asks a vendor does, over real sockets and through the real SDK."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from typing import Any

import pytest

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from rag.generation.base import RetryPolicy, TextPiece, UsageReport
from rag.generation.retrying import BLOCKED_ANSWER
from tests.rag.generation.vendors import KEY, MODEL, PROMPT, RETRY, Vendor, both_loops, outcome
from tests.wire.server import Pause, Reply, Stall, refused_by_reset

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

# Scheduling may delay a time-out by this many seconds; it never comes early.
SLACK = 3.0  # for a busy machine; what would go wrong instead takes longer, or for ever


# -- Complete answers ------------------------------------------------------------------------------


@both_loops
async def test_streams_the_pieces_and_then_the_usage(vendor: Vendor, server: Any) -> None:
    """Every piece of the provider comes out unchanged and in order, followed by its usage."""
    server.enqueue(vendor.wire.answer("It is ", "„blau“ \u2028", "🌍 [1].", usage=(42, 7)))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["It is ", "„blau“ \u2028", "🌍 [1]."]
    assert got.usage == UsageReport(prompt_tokens=42, completion_tokens=7)
    assert got.error is None
    assert len(server.requests) == 1


async def test_names_itself(vendor: Vendor, server: Any) -> None:
    """A generator says which provider and model it uses, and its repr holds no key."""
    async with vendor.connected(server) as generator:
        assert (generator.provider, generator.model) == (vendor.name, MODEL)
        assert KEY not in repr(generator)
        assert repr(generator).endswith(f"(model='{MODEL}', base_url='{server.base_url}')")


async def test_without_usage_the_tokens_are_estimated(vendor: Vendor, server: Any) -> None:
    """Where the provider reports no usage, the prompt's own estimate and four bytes a token do."""
    server.enqueue(vendor.wire.answer("x" * 10, "y" * 11, usage=None))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.usage == UsageReport(prompt_tokens=PROMPT.prompt_tokens, completion_tokens=6)


async def test_pieces_come_out_while_the_provider_still_writes(vendor: Vendor, server: Any) -> None:
    """The first piece is not held back until later ones arrive."""
    server.enqueue(vendor.wire.stalled("first "))
    async with vendor.connected(server) as generator:
        pieces = generator.generate(PROMPT)
        start = time.monotonic()
        assert await anext(pieces) == TextPiece("first ")
        assert time.monotonic() - start < SLACK
        await pieces.aclose()


async def test_an_answer_cut_at_the_token_limit_is_complete(
    vendor: Vendor, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The finish reason "length" ends the answer like any other, and is noted in the log."""
    reason = {"openai": "length", "gemini": "MAX_TOKENS"}[vendor.name]
    server.enqueue(vendor.wire.answer("Half an", " answer", finish_reason=reason))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Half an", " answer"], None)
    assert f"{vendor.name}: answer cut at the token limit" in caplog.messages


@pytest.mark.parametrize("tail", [Stall(), b"data: {nonsense\n\n"], ids=["stall", "malformed"])
async def test_what_follows_the_finish_reason_cannot_fail_the_answer(
    vendor: Vendor, server: Any, tail: Any
) -> None:
    """After the finish reason the text is complete, whatever becomes of the connection."""
    wire = vendor.wire
    last = {
        "openai": lambda: wire.chunk({"content": "Done."}, finish_reason="stop"),
        "gemini": lambda: wire.chunk("Done.", finish_reason="STOP"),
    }[vendor.name]()
    server.enqueue(wire.stream(last, tail))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Done."], None)
    assert got.usage == UsageReport(prompt_tokens=99, completion_tokens=2)


async def test_many_answers_at_once(vendor: Vendor, server: Any) -> None:
    """One generator serves concurrent calls without mixing them."""
    count = 20
    server.enqueue(*(vendor.wire.answer(f"<{number}>", f"<{number}>") for number in range(count)))
    async with vendor.connected(server) as generator:
        got = await asyncio.gather(*(outcome(generator) for _ in range(count)))
    assert sorted(one.texts[0] for one in got) == sorted(f"<{n}>" for n in range(count))
    assert all(one.texts[1] == one.texts[0] for one in got)


async def test_a_connection_is_used_again(vendor: Vendor, server: Any) -> None:
    """Answers one after the other share one connection, which `close` ends."""
    async with vendor.connected(server) as generator:
        for _ in range(3):
            assert (await outcome(generator)).error is None
            assert server.connections == 1
    assert await asyncio.to_thread(server.wait_until_unconnected)


# -- Retries ---------------------------------------------------------------------------------------


async def test_server_errors_are_retried(vendor: Vendor, server: Any) -> None:
    """A 500 and a 503 before the first token cost two tries and nothing else."""
    wire = vendor.wire
    server.enqueue(wire.error(500), wire.error(503), wire.answer("Fine."))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Fine."], None)
    assert len(server.requests) == 3
    bodies = [request.body for request in server.requests]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
async def test_after_the_last_try_the_provider_is_unavailable(
    vendor: Vendor, server: Any, status: int
) -> None:
    """A passing failure that does not pass ends as ProviderUnavailable after `attempts` tries."""
    server.enqueue(*[vendor.wire.error(status)] * 4)
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderUnavailable
    assert str(status) in str(got.error)
    assert len(server.requests) == 3


async def test_retry_after_is_kept(vendor: Vendor, server: Any) -> None:
    """The next try of a rate-limited request comes no sooner than the provider asked for."""
    server.enqueue(vendor.wire.rate_limited(retry_after="0.3"), vendor.wire.answer("Fine."))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Fine."], None)
    first, second = server.requests
    assert 0.3 <= second.at - first.at < 0.3 + SLACK


async def test_retry_after_may_be_a_date(vendor: Vendor, server: Any) -> None:
    """A Retry-After date is understood; one in the past means at once."""
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.enqueue(vendor.wire.rate_limited(retry_after=past), vendor.wire.answer("Fine."))
    async with vendor.connected(server, retry=RetryPolicy(base_delay=5)) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Fine."], None)
    assert got.seconds < SLACK


@pytest.mark.parametrize("wait", ["30", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_long_retry_after_ends_the_tries(vendor: Vendor, server: Any, wait: str) -> None:
    """Nobody waits longer than `max_retry_after`: the answer fails at once."""
    server.enqueue(vendor.wire.rate_limited(retry_after=wait))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRateLimited
    assert got.seconds < SLACK
    assert len(server.requests) == 1


async def test_rate_limited_after_all_tries(vendor: Vendor, server: Any) -> None:
    """429 in every try ends as ProviderRateLimited."""
    server.enqueue(*[vendor.wire.rate_limited()] * 3)
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRateLimited
    assert got.error.user_message == ProviderRateLimited.user_message
    assert len(server.requests) == 3


async def test_waits_grow(vendor: Vendor, server: Any) -> None:
    """Without a Retry-After the waits double, with up to a quarter of jitter."""
    server.enqueue(*[vendor.wire.error(503)] * 3)
    retry = RetryPolicy(attempts=3, base_delay=0.1, max_delay=1)
    async with vendor.connected(server, retry=retry) as generator:
        await outcome(generator)
    first, second, third = (request.at for request in server.requests)
    assert 0.1 <= second - first < 0.125 + SLACK
    assert 0.2 <= third - second < 0.25 + SLACK


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_refusals_are_final(vendor: Vendor, server: Any, status: int) -> None:
    """A 4xx that speaks of the request ends the answer at once as ProviderRejected."""
    server.enqueue(vendor.wire.error(status))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRejected
    assert str(status) in str(got.error)
    assert len(server.requests) == 1


async def test_redirects_are_not_followed(vendor: Vendor, server: Any) -> None:
    """The key is never carried to the address that a redirect names."""
    with vendor.server() as elsewhere:
        server.enqueue(Reply(status=307, headers={"location": elsewhere.base_url}))
        async with vendor.connected(server) as generator:
            got = await outcome(generator)
        assert type(got.error) is ProviderRejected
        assert elsewhere.requests == []


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_break_before_the_first_token_is_retried(
    vendor: Vendor, server: Any, reset: bool
) -> None:
    """A stream that breaks off before any text is asked for again."""
    server.enqueue(vendor.wire.broken_off(reset=reset), vendor.wire.answer("Fine."))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Fine."], None)
    assert len(server.requests) == 2


async def test_a_reset_connection_is_retried(vendor: Vendor, server: Any) -> None:
    """A connection reset before any answer is made again."""
    server.enqueue(refused_by_reset(), vendor.wire.answer("Fine."))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Fine."], None)


async def test_connection_refused(vendor: Vendor) -> None:
    """Where nobody listens, the provider is unavailable after all tries."""
    with vendor.server() as gone:
        pass
    async with vendor.connected(gone) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderUnavailable
    assert got.seconds >= RETRY.base_delay * 3


# -- Broken streams --------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_break_in_the_middle_fails(vendor: Vendor, server: Any, reset: bool) -> None:
    """After the first token a broken connection is not retried and not taken for an end."""
    # The pause lets the pieces arrive: a reset discards what the client has not read yet.
    cut = vendor.wire.broken_off("One ", "two ", reset=reset)
    steps = (*cut.steps[:-1], Pause(0.05), cut.steps[-1])
    server.enqueue(vendor.wire.stream(*steps))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One ", "two "]
    assert got.usage is None
    assert type(got.error) is ProviderUnavailable
    assert len(server.requests) == 1


async def test_a_polite_end_without_finish_reason_fails(vendor: Vendor, server: Any) -> None:
    """A body that ends properly but without a finish reason is no complete answer."""
    server.enqueue(vendor.wire.unfinished("One ", "two "))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One ", "two "]
    assert got.usage is None
    assert type(got.error) is ProviderUnavailable
    assert str(got.error) == f"{vendor.name}: the stream ended without a finish reason"


MALFORMED = {
    "cut json": b'data: {"choices": [\n\n',
    "no json": b"data: <html>\n\n",
    "list": b"data: []\n\n",
    "number": b"data: 1\n\n",
    "string": b'data: "x"\n\n',
    "null": b"data: null\n\n",
    "wrong types": b'data: {"choices": 5, "candidates": 5}\n\n',
    "wrong depths": b'data: {"choices": [5], "candidates": [5]}\n\n',
    "wrong text": (
        b'data: {"choices": [{"index": 0, "delta": {"content": 5}}],'
        b' "candidates": [{"content": {"parts": [{"text": 5}]}}]}\n\n'
    ),
    "not utf-8": b"data: \xff\xfe\n\n",
    "deep": b"data: " + b"[" * 100_000 + b"\n\n",
    "error without form": b'data: {"error": "overloaded"}\n\n',
    "error without code": b'data: {"error": {"message": "overloaded"}}\n\n',
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_messages(vendor: Vendor, server: Any, line: bytes) -> None:
    """Nonsense makes a provider unavailable: retried before the first token, final afterwards."""
    intact = vendor.wire.unfinished("One ").steps
    server.enqueue(*[vendor.wire.stream(line)] * 2, vendor.wire.stream(*intact, line))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One "]
    assert type(got.error) is ProviderUnavailable
    assert len(server.requests) == 3


@pytest.mark.parametrize("kind", ["no bytes", "no text", "a web page"])
async def test_an_empty_answer_fails(vendor: Vendor, server: Any, kind: str) -> None:
    """An answer without any text is no answer, and is asked for again."""
    empty = {
        "no bytes": vendor.wire.stream(),
        "no text": vendor.wire.answer(""),
        "a web page": Reply(headers={"content-type": "text/html"}, steps=(b"<h1>Welcome</h1>",)),
    }[kind]
    server.enqueue(*[empty] * 3)
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == []
    assert type(got.error) is ProviderUnavailable
    assert len(server.requests) == 3


async def test_the_token_limit_before_any_text(vendor: Vendor, server: Any) -> None:
    """A model that spends all its tokens before writing would do so again: no retry."""
    reason = {"openai": "length", "gemini": "MAX_TOKENS"}[vendor.name]
    server.enqueue(vendor.wire.answer("", finish_reason=reason))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is GenerationError
    assert len(server.requests) == 1


@pytest.mark.parametrize("texts", [("",), ("Well, ", "")], ids=["at once", "in the middle"])
async def test_a_filtered_answer(vendor: Vendor, server: Any, texts: tuple[str, ...]) -> None:
    """A content filter ends the answer with a sentence that says so, and is not asked again."""
    reason = {"openai": "content_filter", "gemini": "SAFETY"}[vendor.name]
    server.enqueue(vendor.wire.answer(*texts, finish_reason=reason))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == [text for text in texts if text]
    assert type(got.error) is GenerationError
    assert got.error.user_message == BLOCKED_ANSWER
    assert got.usage is None
    assert len(server.requests) == 1


# -- Secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "in the stream", "malformed", "unavailable"])
async def test_the_key_stays_secret(
    vendor: Vendor, server: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that the provider quotes appears in no text, repr, traceback or log of ours."""
    caplog.set_level(logging.DEBUG)
    script = {
        "status": vendor.wire.wrong_key(KEY),
        "in the stream": vendor.wire.stream(
            vendor.wire.event({"error": {"code": 401, "message": f"bad key {KEY}"}})
        ),
        "malformed": vendor.wire.stream(f"data: {{{KEY}\n\n".encode()),
        "unavailable": vendor.wire.error(503, KEY, KEY)
        if vendor.name == "gemini"
        else vendor.wire.error(503, KEY),
    }[kind]
    server.enqueue(*[script] * 3)
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.error is not None
    shown = [str(got.error), repr(got.error), got.error.user_message, caplog.text]
    shown += traceback.format_exception(got.error)
    for text in shown:
        assert KEY not in text
    assert server.origin not in got.error.user_message
    assert got.error.__context__ is None


async def test_a_harmless_cause_is_kept(vendor: Vendor, server: Any) -> None:
    """Where the vendor's exception quotes no key, it is the cause of ours, for the log."""
    server.enqueue(vendor.wire.error(404))
    async with vendor.connected(server) as generator:
        got = await outcome(generator)
    assert got.error is not None
    assert type(got.error.__cause__).__module__.split(".")[0] in ("openai", "google")
