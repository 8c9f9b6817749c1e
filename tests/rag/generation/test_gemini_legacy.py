"""google-generativeai over gRPC, against a local server. Runs where the extra is installed.

The rules of time-outs and retries are tested in `test_timeouts.py` and `test_contract.py`; here
is what differs: the channel, the messages, the errors and the closing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

# First, because it keeps the warnings quiet that these packages give when they are imported.
from rag.generation.gemini_legacy import GeminiLegacyGenerator

# isort: split
import grpc  # type: ignore[import-untyped]
import pytest
from google.generativeai import protos
from google.protobuf import any_pb2, duration_pb2  # type: ignore[import-untyped]
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from rag.generation.base import PromptMessage, Timeouts, UsageReport
from rag.generation.factory import Endpoint, create_generator
from rag.generation.retrying import BLOCKED_ANSWER, BLOCKED_QUESTION
from tests.rag.generation.vendors import (
    KEY,
    MODEL,
    PROMPT,
    RETRY,
    TIMEOUTS,
    both_loops,
    outcome,
    prompt_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

METHOD = "google.ai.generativelanguage.v1beta.GenerativeService"

# What a script yields: messages, or seconds to wait; it may also end the call through its context.
Script = Callable[[Any], Iterable[Any]]


class GrpcServer:
    """Answers StreamGenerateContent from a queue of scripts, and notes requests and departures."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.gone = threading.Event()
        self._scripts: deque[Script] = deque()
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler = grpc.unary_stream_rpc_method_handler(
            self._answer,
            request_deserializer=protos.GenerateContentRequest.deserialize,
            response_serializer=protos.GenerateContentResponse.serialize,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(METHOD, {"StreamGenerateContent": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enqueue(self, *scripts: Script) -> None:
        self._scripts.extend(scripts)

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _answer(self, request: Any, context: Any) -> Iterator[Any]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        ended = threading.Event()
        complete = False

        def end() -> None:
            ended.set()
            if not complete:
                self.gone.set()

        context.add_callback(end)
        for step in self._scripts.popleft()(context):
            if not isinstance(step, float):
                yield step
            elif ended.wait(step):
                return
        complete = True


def chunk(
    text: str = "", *, finish: str | None = None, usage: tuple[int, int] | None = None
) -> Any:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}}
    if finish:
        candidate["finish_reason"] = finish
    body: dict[str, Any] = {"candidates": [candidate]}
    if usage:
        body["usage_metadata"] = {
            "prompt_token_count": usage[0],
            "candidates_token_count": usage[1],
        }
    return protos.GenerateContentResponse(body)


def steps(*parts: Any) -> Script:
    return lambda context: parts


def fails(code: str, message: str = "boom", *, after: tuple[Any, ...] = ()) -> Script:
    def script(context: Any) -> Iterator[Any]:
        yield from after
        context.abort(getattr(grpc.StatusCode, code), message)

    return script


def rate_limited(seconds: float) -> Script:
    def script(context: Any) -> Iterator[Any]:
        packed = any_pb2.Any()
        delay = duration_pb2.Duration(nanos=int(seconds * 1e9) % 10**9, seconds=int(seconds))
        packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        quota = any_pb2.Any()
        quota.Pack(error_details_pb2.QuotaFailure())
        status = status_pb2.Status(code=8, message="slow down", details=[packed, quota])
        context.abort_with_status(rpc_status.to_status(status))
        yield

    return script


FINE = steps(chunk("Fine.", finish="STOP"))


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    running = GrpcServer()
    yield running
    running.stop()


@asynccontextmanager
async def connected(server: GrpcServer, **options: Any) -> Any:
    options = {"base_url": server.base_url, "timeouts": TIMEOUTS, "retry": RETRY, **options}
    generator = GeminiLegacyGenerator(api_key=KEY, model=MODEL, **options)
    try:
        yield generator
    finally:
        await generator.close()


@both_loops
async def test_streams_the_pieces_and_then_the_usage(server: GrpcServer) -> None:
    """Pieces and usage come out as they went in, and the prompt went out whole, with the key."""
    server.enqueue(
        steps(chunk("It is "), chunk("„blau“ 🌍 "), chunk("[1].", finish="STOP", usage=(42, 7)))
    )
    async with connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["It is ", "„blau“ 🌍 ", "[1]."], None)
    assert got.usage == UsageReport(42, 7)
    [request] = server.requests
    assert request.model == f"models/{MODEL}"
    assert [part.text for part in request.system_instruction.parts] == ["Answer from the passages."]
    assert [(content.role, content.parts[0].text) for content in request.contents] == [
        ("user", "Is the sky blue?"),
        ("model", "Yes [1]."),
        ("user", "Why — „wirklich“?"),
    ]
    assert server.metadata[0]["x-goog-api-key"] == KEY


async def test_the_factory_builds_it(server: GrpcServer) -> None:
    """With the extra installed, the factory's gemini-legacy is this generator."""
    endpoint = Endpoint(api_key=KEY, model=MODEL, base_url=server.base_url)
    generator = create_generator("gemini-legacy", gemini=endpoint)
    assert (generator.provider, generator.model) == ("gemini-legacy", MODEL)
    assert (
        repr(generator) == f"GeminiLegacyGenerator(model='{MODEL}', base_url='{server.base_url}')"
    )
    await generator.close()


async def test_the_vendor_s_own_address() -> None:
    """Without a base URL it asks the vendor over TLS; nothing connects before a question does."""
    generator = GeminiLegacyGenerator(api_key=KEY, model=MODEL)
    assert "base_url='https://generativelanguage.googleapis.com'" in repr(generator)
    await generator.close()


async def test_without_a_system_message(server: GrpcServer) -> None:
    """A prompt needs no system message, a stream may end with a chunk that only counts."""
    counts = {"prompt_token_count": 10, "candidates_token_count": 3}
    usage = protos.GenerateContentResponse({"usage_metadata": counts})
    server.enqueue(steps(chunk("Fine.", finish="STOP"), usage))
    async with connected(server) as generator:
        got = await outcome(generator, prompt_of(PromptMessage("user", "Well?")))
    assert (got.texts, got.usage) == (["Fine."], UsageReport(10, 3))
    assert not server.requests[0].system_instruction.parts


async def test_the_first_piece_is_not_held_back(server: GrpcServer) -> None:
    """Unlike the SDK's own streams, a piece comes out before the next one has arrived."""
    server.enqueue(steps(chunk("One "), 5.0))
    async with connected(server) as generator:
        pieces = generator.generate(PROMPT)
        async with asyncio.timeout(1):
            assert (await anext(pieces)).text == "One "
        await pieces.aclose()


@pytest.mark.parametrize(
    ("code", "kind", "tries"),
    [
        ("UNAVAILABLE", ProviderUnavailable, 3),
        ("INTERNAL", ProviderUnavailable, 3),
        ("DEADLINE_EXCEEDED", ProviderUnavailable, 3),
        ("RESOURCE_EXHAUSTED", ProviderRateLimited, 3),
        ("INVALID_ARGUMENT", ProviderRejected, 1),
        ("UNAUTHENTICATED", ProviderRejected, 1),
        ("PERMISSION_DENIED", ProviderRejected, 1),
        ("NOT_FOUND", ProviderRejected, 1),
        ("UNKNOWN", ProviderUnavailable, 3),
    ],
)
async def test_statuses(
    server: GrpcServer, code: str, kind: type[GenerationError], tries: int
) -> None:
    """gRPC's statuses mean what their HTTP counterparts mean."""
    server.enqueue(*[fails(code)] * 3)
    async with connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is kind
    assert "boom" in str(got.error)
    assert len(server.requests) == tries


async def test_retries_and_retry_info(server: GrpcServer) -> None:
    """A passing failure costs a try, a RetryInfo its wait; a long one ends the tries."""
    server.enqueue(fails("UNAVAILABLE"), rate_limited(0.3), FINE, rate_limited(34))
    async with connected(server) as generator:
        got = await outcome(generator)
        assert (got.texts, got.error) == (["Fine."], None)
        assert 0.3 <= got.seconds < 3.3
        got = await outcome(generator)
    assert type(got.error) is ProviderRateLimited
    assert len(server.requests) == 4


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
async def test_a_failure_in_the_middle(server: GrpcServer, code: str) -> None:
    """After the first token nothing is retried."""
    server.enqueue(fails(code, after=(chunk("One "),)))
    async with connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One "]
    assert isinstance(got.error, ProviderUnavailable | ProviderRateLimited)
    assert len(server.requests) == 1


async def test_an_end_without_finish_reason(server: GrpcServer) -> None:
    """A stream that ends without a finish reason is no complete answer."""
    server.enqueue(steps(chunk("One ")))
    async with connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, type(got.error)) == (["One "], ProviderUnavailable)
    assert got.usage is None


async def test_blocks(server: GrpcServer) -> None:
    """Blocked questions and answers each have their sentence."""
    blocked = protos.GenerateContentResponse({"prompt_feedback": {"block_reason": "SAFETY"}})
    server.enqueue(steps(blocked), steps(chunk("Well, "), chunk(finish="SAFETY")))
    async with connected(server) as generator:
        question = await outcome(generator)
        answer = await outcome(generator)
    assert question.error is not None
    assert question.error.user_message == BLOCKED_QUESTION
    assert answer.texts == ["Well, "]
    assert answer.error is not None
    assert str(answer.error) == "gemini-legacy: finish reason SAFETY"
    assert answer.error.user_message == BLOCKED_ANSWER


@both_loops
async def test_time_outs(server: GrpcServer) -> None:
    """The first and the next token each have their time; the server sees the call cancelled."""
    server.enqueue(steps(5.0), steps(chunk("One "), 5.0))
    async with connected(server) as generator:
        first = await outcome(generator)
        assert await asyncio.to_thread(server.gone.wait, 1)
        server.gone.clear()
        second = await outcome(generator)
        assert await asyncio.to_thread(server.gone.wait, 1)
    assert type(first.error) is ProviderTimeout
    assert 0 <= first.seconds - TIMEOUTS.first_token < 3
    assert (second.texts, type(second.error)) == (["One "], ProviderTimeout)
    assert 0 <= second.seconds - TIMEOUTS.next_token < 3
    assert len(server.requests) == 2


async def test_connection_refused(server: GrpcServer) -> None:
    """Where nobody listens, the provider is unavailable."""
    server.stop()
    # gRPC itself never gives up, so that each of the three tries takes all of its time.
    async with connected(server, timeouts=Timeouts(connect=0.3)) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderUnavailable


async def test_a_silent_port(server: GrpcServer) -> None:
    """A server that accepts but does not speak counts as a connection that takes too long."""
    timeouts = Timeouts(connect=0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with connected(server, base_url=url, timeouts=timeouts) as generator:
            got = await outcome(generator)
    assert type(got.error) is ProviderTimeout
    assert 0.6 <= got.seconds < 3.6


@both_loops
@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_closing_cancels_the_call(server: GrpcServer, how: str) -> None:
    """Closing the generator or cancelling its task reaches the server within a second."""
    server.enqueue(steps(chunk("One "), 5.0))
    async with connected(server, timeouts=Timeouts()) as generator:
        if how == "aclose":
            pieces = generator.generate(PROMPT)
            await anext(pieces)
            await pieces.aclose()
        else:
            task = asyncio.create_task(outcome(generator))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.to_thread(server.gone.wait, 1)


async def test_the_key_stays_secret(server: GrpcServer, caplog: pytest.LogCaptureFixture) -> None:
    """A key that the provider quotes appears in no text, traceback or log of ours."""
    caplog.set_level(logging.DEBUG)
    server.enqueue(fails("INVALID_ARGUMENT", f"API key not valid: {KEY}"))
    async with connected(server) as generator:
        got = await outcome(generator)
        assert KEY not in repr(generator)
    assert got.error is not None
    assert str(got.error) == "gemini-legacy: 400: API key not valid: ***"
    assert KEY not in "".join(traceback.format_exception(got.error)) + caplog.text
