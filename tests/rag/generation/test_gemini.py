"""What is Gemini's own: the request, roles, finish reasons, blocked prompts, RetryInfo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RagError,
)
from rag.generation.base import PromptMessage, UsageReport
from rag.generation.gemini import GeminiGenerator
from rag.generation.retrying import BLOCKED_ANSWER, BLOCKED_QUESTION
from tests.rag.generation.vendors import GEMINI, KEY, MODEL, outcome, prompt_of
from tests.wire import gemini_server as wire

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def server() -> Iterator[wire.GeminiWireServer]:
    with wire.GeminiWireServer(api_key=KEY) as running:
        yield running


async def test_the_request(server: wire.GeminiWireServer) -> None:
    """System instruction and turns go out apart, with the key in a header and not in the URL."""
    async with GEMINI.connected(server) as generator:
        assert (await outcome(generator)).texts == list(wire.DEFAULT_PIECES)
    [request] = server.requests
    assert request.json["systemInstruction"]["parts"] == [{"text": "Answer from the passages."}]
    assert request.json["contents"] == [
        {"role": "user", "parts": [{"text": "Is the sky blue?"}]},
        {"role": "model", "parts": [{"text": "Yes [1]."}]},
        {"role": "user", "parts": [{"text": "Why — „wirklich“?"}]},
    ]
    assert request.path.endswith(f"/models/{MODEL}:streamGenerateContent")
    assert request.query == "alt=sse"
    assert request.headers["x-goog-api-key"] == KEY


async def test_neighbours_of_one_role_are_one_turn(server: wire.GeminiWireServer) -> None:
    """A question whose reply failed and the next question become two parts of one turn."""
    prompt = prompt_of(PromptMessage("user", "First?"), PromptMessage("user", "Second?"))
    async with GEMINI.connected(server) as generator:
        assert (await outcome(generator, prompt)).error is None
    assert server.requests[0].json["contents"] == [
        {"role": "user", "parts": [{"text": "First?"}, {"text": "Second?"}]}
    ]
    assert "systemInstruction" not in server.requests[0].json


async def test_another_key_is_refused(server: wire.GeminiWireServer) -> None:
    """Google answers a wrong key with 400, which is final."""
    server.api_key = "another"
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRejected
    assert str(got.error) == "gemini: 400 INVALID_ARGUMENT: API key not valid: ***."


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT"])
async def test_a_blocked_prompt(server: wire.GeminiWireServer, reason: str) -> None:
    """A question that Gemini blocks is not asked again, and the person is told."""
    server.enqueue(wire.blocked_prompt(reason))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is GenerationError
    assert str(got.error) == f"gemini: prompt blocked: {reason}"
    assert got.error.user_message == BLOCKED_QUESTION
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"]
)
async def test_a_blocked_answer(server: wire.GeminiWireServer, reason: str) -> None:
    """An answer that Gemini stops for its content fails with a sentence that says so."""
    server.enqueue(wire.answer("Well, ", "", finish_reason=reason))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["Well, "]
    assert type(got.error) is GenerationError
    assert str(got.error) == f"gemini: finish reason {reason}"
    assert got.error.user_message == BLOCKED_ANSWER


@pytest.mark.parametrize("reason", ["OTHER", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"])
async def test_an_answer_that_went_wrong(server: wire.GeminiWireServer, reason: str) -> None:
    """Other finish reasons leave no complete answer: retried before the first token, else final."""
    early = wire.answer("", finish_reason=reason)
    late = wire.answer("One ", "", finish_reason=reason)
    server.enqueue(early, late)
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, type(got.error)) == (["One "], ProviderUnavailable)
    assert str(got.error) == f"gemini: finish reason {reason}"
    assert len(server.requests) == 2


@pytest.mark.filterwarnings("ignore:NEWLY_INVENTED is not a valid FinishReason")
async def test_a_finish_reason_of_the_future(server: wire.GeminiWireServer) -> None:
    """A finish reason that nobody knows yet is not taken for a complete answer."""
    server.enqueue(wire.stream(wire.chunk("One "), wire.chunk(finish_reason="NEWLY_INVENTED")))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One "]
    assert type(got.error) is ProviderUnavailable


async def test_an_unspecified_finish_reason_is_none(server: wire.GeminiWireServer) -> None:
    """FINISH_REASON_UNSPECIFIED on early chunks does not end the answer."""
    server.enqueue(
        wire.stream(
            wire.chunk("One ", finish_reason="FINISH_REASON_UNSPECIFIED"),
            wire.chunk("two.", finish_reason="STOP"),
        )
    )
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["One ", "two."], None)


async def test_the_limit_of_one_request(server: wire.GeminiWireServer) -> None:
    """An answer that ends at the limit of one request is kept, and the SDK asks for no more."""
    last = {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "Long."}]},
                "finishReason": "CONTINUATION",
                "continuationToken": "dG9rZW4=",
            }
        ]
    }
    server.enqueue(wire.stream(wire.event(last)))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Long."], None)
    assert len(server.requests) == 1


async def test_thoughts_are_not_shown_but_counted(server: wire.GeminiWireServer) -> None:
    """Thinking is left out of the text and counts as completion tokens."""
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 20}
    server.enqueue(
        wire.stream(
            wire.chunk("Let me think.", thought=True),
            wire.chunk("Yes.", " Sure.", finish_reason="STOP"),
            wire.event({"usageMetadata": usage}),
        )
    )
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Yes. Sure."], None)
    assert got.usage == UsageReport(prompt_tokens=10, completion_tokens=23)


async def test_the_last_usage_counts(server: wire.GeminiWireServer) -> None:
    """Gemini repeats a growing usage in every chunk; only the last one is reported."""
    server.enqueue(
        wire.stream(
            wire.chunk("One ", usage=(10, 1)),
            wire.chunk("two.", usage=(10, 2), finish_reason="STOP"),
        )
    )
    async with GEMINI.connected(server) as generator:
        assert (await outcome(generator)).usage == UsageReport(10, 2)


async def test_retry_info(server: wire.GeminiWireServer) -> None:
    """Google's RetryInfo in the error's details is kept like a Retry-After."""
    server.enqueue(wire.rate_limited(retry_delay="0.3s"))
    async with GEMINI.connected(server) as generator:
        assert (await outcome(generator)).error is None
    first, second = server.requests
    assert 0.3 <= second.at - first.at < 0.55


async def test_a_long_retry_info_ends_the_tries(server: wire.GeminiWireServer) -> None:
    """A RetryInfo of 34 s, usual for the free tier, ends the tries at once."""
    server.enqueue(wire.rate_limited(retry_delay="34s"))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRateLimited
    assert len(server.requests) == 1


@pytest.mark.parametrize("delay", ["soon", "", "-1s"])
async def test_a_retry_info_that_is_none(server: wire.GeminiWireServer, delay: str) -> None:
    """A RetryInfo without a usable delay leaves the usual back-off."""
    server.enqueue(wire.rate_limited(retry_delay=delay))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert got.error is None
    assert got.seconds < 3


@pytest.mark.parametrize(
    ("code", "status", "kind", "tries"),
    [
        (503, "UNAVAILABLE", ProviderUnavailable, 3),
        (429, "RESOURCE_EXHAUSTED", ProviderRateLimited, 3),
        (400, "INVALID_ARGUMENT", ProviderRejected, 1),
    ],
)
async def test_errors_within_the_stream(
    server: wire.GeminiWireServer,
    code: int,
    status: str,
    kind: type[GenerationError],
    tries: int,
) -> None:
    """An error object in a stream of status 200 means what its code says."""
    server.default = wire.stream(wire.event(wire.error_body(code, status, "boom")))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is kind
    assert str(got.error) == f"gemini: {code} {status}: boom"
    assert len(server.requests) == tries


async def test_the_sdk_does_not_resume_by_itself(server: wire.GeminiWireServer) -> None:
    """After a checkpoint of the stream a break still fails at once, without a hidden request."""
    checkpoint = {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "One "}]},
                "continuationToken": "dG9rZW4=",
            }
        ]
    }
    cut = wire.broken_off().steps
    server.enqueue(wire.stream(wire.event(checkpoint), *cut))
    async with GEMINI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, type(got.error)) == (["One "], ProviderUnavailable)
    assert len(server.requests) == 1


async def test_the_environment_is_not_read(
    server: wire.GeminiWireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's variables neither turn the adapter to Vertex AI nor to another address or key."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    async with GEMINI.connected(server) as generator:
        assert (await outcome(generator)).error is None


async def test_a_base_url_with_a_secret() -> None:
    """Base URLs that would carry a secret into logs are refused unquoted."""
    with pytest.raises(RagError, match="base URL must look like") as refused:
        GeminiGenerator(api_key=KEY, model=MODEL, base_url="https://hunter2@example.com")
    assert "hunter2" not in str(refused.value)
