"""What is OpenAI's own: the request, `stream_options`, quotas, errors within the stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RagError,
)
from rag.generation.base import Timeouts, UsageReport
from rag.generation.openai import OpenAIGenerator
from rag.generation.retrying import BLOCKED_QUESTION, QUOTA_USED_UP
from tests.rag.generation.vendors import KEY, MODEL, OPENAI, TIMEOUTS, outcome
from tests.wire import openai_server as wire
from tests.wire.server import Pause, slowly

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def server() -> Iterator[wire.OpenAIWireServer]:
    with wire.OpenAIWireServer(api_key=KEY) as running:
        yield running


async def test_the_request(server: wire.OpenAIWireServer) -> None:
    """The whole prompt goes out as messages, with the key as a bearer token."""
    async with OPENAI.connected(server) as generator:
        assert (await outcome(generator)).texts == list(wire.DEFAULT_PIECES)
    [request] = server.requests
    assert request.json == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Answer from the passages."},
            {"role": "user", "content": "Is the sky blue?"},
            {"role": "assistant", "content": "Yes [1]."},
            {"role": "user", "content": "Why — „wirklich“?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-stainless-retry-count"] == "0"


async def test_another_key_is_refused(server: wire.OpenAIWireServer) -> None:
    """A 401 is final, and speaks of the administrator rather than of keys."""
    server.api_key = "another"
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRejected
    assert str(got.error).startswith("openai: 401: ")
    assert got.error.user_message == ProviderRejected.user_message


async def test_an_endpoint_without_stream_options(server: wire.OpenAIWireServer) -> None:
    """A refused `stream_options` is left out at once, and from then on."""
    server.default = wire.no_stream_options()
    async with OPENAI.connected(server) as generator:
        first = await outcome(generator)
        second = await outcome(generator)
    for got in (first, second):
        assert (got.texts, got.error) == (["Plain ", "answer."], None)
        assert got.usage == UsageReport(prompt_tokens=99, completion_tokens=4)
    assert ["stream_options" in r.json for r in server.requests] == [True, False, False]


async def test_other_refusals_keep_stream_options(server: wire.OpenAIWireServer) -> None:
    """A 400 for another reason is final and does not cost later answers their usage."""
    server.enqueue(wire.error(400, "Invalid 'messages'.", type="invalid_request_error"))
    async with OPENAI.connected(server) as generator:
        assert type((await outcome(generator)).error) is ProviderRejected
        assert (await outcome(generator)).usage == UsageReport(42, 7)
    assert len(server.requests) == 2


async def test_a_used_up_quota_is_not_retried(server: wire.OpenAIWireServer) -> None:
    """`insufficient_quota` ends the answer at once and says what is the matter."""
    server.enqueue(wire.quota_used_up())
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderRateLimited
    assert got.error.user_message == QUOTA_USED_UP
    assert len(server.requests) == 1


async def test_retry_after_in_milliseconds(server: wire.OpenAIWireServer) -> None:
    """`retry-after-ms` goes before the coarser `retry-after`."""
    headers = {"retry-after-ms": "200", "retry-after": "30"}
    server.enqueue(wire.error(429, headers=headers))
    async with OPENAI.connected(server) as generator:
        assert (await outcome(generator)).error is None
    first, second = server.requests
    assert 0.2 <= second.at - first.at < 0.45


async def test_a_filtered_question(server: wire.OpenAIWireServer) -> None:
    """Azure's 400 `content_filter` tells the person to ask differently."""
    server.enqueue(wire.error(400, "Filtered.", type="invalid_request", code="content_filter"))
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is GenerationError
    assert got.error.user_message == BLOCKED_QUESTION
    assert len(server.requests) == 1


IN_STREAM: list[tuple[dict[str, object], type[GenerationError], int]] = [
    ({"message": "boom", "type": "server_error"}, ProviderUnavailable, 3),
    ({"message": "boom"}, ProviderUnavailable, 3),
    ({"message": "boom", "code": "rate_limit_exceeded"}, ProviderRateLimited, 3),
    ({"message": "boom", "code": 429}, ProviderRateLimited, 3),
    ({"message": "boom", "code": 502}, ProviderUnavailable, 3),
    ({"message": "boom", "code": 401}, ProviderRejected, 1),
    ({"message": "boom", "code": "insufficient_quota"}, ProviderRateLimited, 1),
    ({"message": "boom", "type": "invalid_request_error"}, ProviderRejected, 1),
]


@pytest.mark.parametrize(("error", "kind", "tries"), IN_STREAM)
async def test_errors_within_the_stream(
    server: wire.OpenAIWireServer,
    error: dict[str, object],
    kind: type[GenerationError],
    tries: int,
) -> None:
    """An error object in a stream of status 200 means what its code and type say."""
    server.default = wire.stream(wire.opening(), wire.event({"error": error}))
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is kind
    assert "boom" in str(got.error)
    assert len(server.requests) == tries


async def test_an_error_after_the_first_token(server: wire.OpenAIWireServer) -> None:
    """After the first token even a passing error is final."""
    overloaded = wire.event({"error": {"message": "overloaded", "type": "server_error"}})
    server.enqueue(wire.stream(*wire.pieces("One "), overloaded))
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert got.texts == ["One "]
    assert type(got.error) is ProviderUnavailable
    assert len(server.requests) == 1


async def test_the_finish_reason_error(server: wire.OpenAIWireServer) -> None:
    """A gateway that reports its model's failure as a finish reason has not finished."""
    server.enqueue(wire.answer("One ", finish_reason="error"))
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, type(got.error)) == (["One "], ProviderUnavailable)


@pytest.mark.parametrize("reason", ["stop", "end_turn", "eos_token"])
async def test_other_finish_reasons_are_complete(
    server: wire.OpenAIWireServer, reason: str
) -> None:
    """Compatible endpoints have words of their own for an ordinary end."""
    server.enqueue(wire.answer("Fine.", finish_reason=reason))
    async with OPENAI.connected(server) as generator:
        assert (await outcome(generator)).error is None


async def test_variants_of_the_stream(server: wire.OpenAIWireServer) -> None:
    """Comments, CRLF, missing [DONE], early usage and empty choices do no harm."""
    server.enqueue(
        wire.stream(
            b": PROCESSING\r\n\r\n",
            wire.chunk(usage=(1, 1)),
            wire.chunk({"content": None, "reasoning_content": "hmm"}),
            *(part.replace(b"\n", b"\r\n") for part in wire.pieces("It ", "is.")),
            wire.event({"choices": [{"index": 0, "delta": None, "finish_reason": None}]}),
            wire.chunk({"content": ""}, finish_reason="stop", usage=(5, 2)),
        )
    )
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["It ", "is."], None)
    assert got.usage == UsageReport(prompt_tokens=5, completion_tokens=2)


async def test_a_message_cut_anywhere(server: wire.OpenAIWireServer) -> None:
    """Where the network cuts the stream, even within a character, does not matter."""
    whole = b"".join([*wire.pieces("grün ", "🌍"), wire.chunk({}, finish_reason="stop"), wire.DONE])
    server.enqueue(wire.stream(*(whole[i : i + 7] for i in range(0, len(whole), 7))))
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["grün ", "🌍"], None)


async def test_a_refusal_is_shown(server: wire.OpenAIWireServer) -> None:
    """What a model says in refusing is its answer."""
    server.enqueue(
        wire.stream(
            wire.chunk({"role": "assistant", "content": None, "refusal": "I can't."}),
            wire.chunk({}, finish_reason="stop"),
            wire.DONE,
        )
    )
    async with OPENAI.connected(server) as generator:
        assert (await outcome(generator)).texts == ["I can't."]


@pytest.mark.parametrize("usage", [{"prompt_tokens": "x"}, {"prompt_tokens": -1}, {}, None])
async def test_a_usage_that_is_none(server: wire.OpenAIWireServer, usage: object) -> None:
    """Counts that are no counts are estimated instead."""
    odd = wire.event({"id": "1", "object": "chat.completion.chunk", "choices": [], "usage": usage})
    server.enqueue(
        wire.stream(*wire.pieces("Four"), wire.chunk({}, finish_reason="stop"), odd, wire.DONE)
    )
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert got.usage == UsageReport(prompt_tokens=99, completion_tokens=1)


async def test_comments_do_not_count_as_tokens(server: wire.OpenAIWireServer) -> None:
    """A gateway's keep-alive comments do not put off the first token's time-out."""
    server.enqueue(slowly(wire.stream(*[b": PROCESSING\n\n"] * 20), 0.1))
    async with OPENAI.connected(server) as generator:
        got = await outcome(generator)
    assert type(got.error) is ProviderTimeout
    assert 0 <= got.seconds - TIMEOUTS.first_token < 3


async def test_waiting_for_the_usage_is_bounded(
    server: wire.OpenAIWireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete answer does not wait long for a usage that does not come."""
    monkeypatch.setattr("rag.generation.retrying.USAGE_GRACE", 0.1)
    finish = wire.chunk({}, finish_reason="stop")
    server.enqueue(wire.stream(*wire.pieces("Done."), finish, Pause(5)))
    async with OPENAI.connected(server, timeouts=Timeouts()) as generator:
        got = await outcome(generator)
    assert (got.texts, got.error) == (["Done."], None)
    assert got.seconds < 2  # the usual grace; without any, the pause's 5 s


async def test_the_environment_is_not_read(
    server: wire.OpenAIWireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a base URL the vendor's own is used, whatever the SDK's variables say."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    generator = OpenAIGenerator(api_key=KEY, model=MODEL)
    assert "base_url='https://api.openai.com/v1'" in repr(generator)
    await generator.close()


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com/v1",
        "ftp://example.com",
        "https://",
        "https://user:hunter2@example.com/v1",
        "https://hunter2@example.com/v1",
        "https://example.com/v1?key=hunter2",
        "https://example.com/v1#hunter2",
        "https://example.com:hunter2/v1",
        "https://[hunter2/v1",
    ],
)
async def test_a_base_url_with_a_secret(url: str) -> None:
    """Base URLs that are none, or that would carry a secret into logs, are refused unquoted."""
    with pytest.raises(RagError, match="base URL must look like") as refused:
        OpenAIGenerator(api_key=KEY, model=MODEL, base_url=url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "  ", "two words", "schlüssel-ü", "line\nbreak"])
async def test_a_key_that_is_none(key: str) -> None:
    """A key that cannot stand in a header is refused at the start, unquoted."""
    with pytest.raises(RagError, match="API key") as refused:
        OpenAIGenerator(api_key=key, model=MODEL)
    assert not key.strip() or key not in str(refused.value)
