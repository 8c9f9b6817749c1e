"""OpenAI's chat completions, and any endpoint compatible with them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import cast

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from rag.generation.base import GenerationEvent, Prompt, RetryPolicy, Timeouts, UsageReport
from rag.generation.masking import checked_base_url, checked_key, with_cause, without_secret
from rag.generation.retrying import (
    BLOCKED_ANSWER,
    BLOCKED_QUESTION,
    QUOTA_USED_UP,
    Chunk,
    Failure,
    Finish,
    failure_of_status,
    parse_retry_after,
    stream_answer,
)

OFFICIAL_BASE_URL = "https://api.openai.com/v1"

# A request that waits for free quota only prolongs the wait of the person who asked.
QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class OpenAIGenerator:
    """Streams chat completions through the vendor's SDK.

    Raises (constructor):
        RagError: the key or the base URL cannot be one.
    """

    provider = "openai"

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or RetryPolicy()
        self._model = model
        self._base_url = checked_base_url(base_url or OFFICIAL_BASE_URL)
        self._api = _ChatCompletions(
            key=checked_key(api_key), model=model, base_url=self._base_url, timeouts=self._timeouts
        )

    def __repr__(self) -> str:
        return f"OpenAIGenerator(model={self._model!r}, base_url={self._base_url!r})"

    @property
    def model(self) -> str:
        return self._model

    def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        return stream_answer(self._api, prompt, timeouts=self._timeouts, retry=self._retry)

    async def close(self) -> None:
        await self._api.client.close()


class _ChatCompletions:
    name = "openai"

    def __init__(self, *, key: str, model: str, base_url: str, timeouts: Timeouts) -> None:
        self._key = key
        self._model = model
        # Cleared for good once the endpoint has refused the option.
        self._ask_for_usage = True
        # Only connecting is timed here: `retrying` times the tokens, from outside.
        timeout = httpx2.Timeout(None, connect=timeouts.connect)
        self.client = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            timeout=timeout,
            max_retries=0,
            http_client=httpx2.AsyncClient(
                timeout=timeout,
                limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
                follow_redirects=False,
            ),
        )

    async def open(self, prompt: Prompt) -> _CompletionStream:
        messages = cast(
            list[ChatCompletionMessageParam],
            [{"role": message.role, "content": message.content} for message in prompt.messages],
        )
        if self._ask_for_usage:
            try:
                stream = await self.client.chat.completions.create(
                    model=self._model,
                    messages=messages,
                    stream=True,
                    stream_options={"include_usage": True},
                )
                return _CompletionStream(stream)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not _refuses_stream_options(error):
                    raise
                self._ask_for_usage = False
        return _CompletionStream(
            await self.client.chat.completions.create(
                model=self._model, messages=messages, stream=True
            )
        )

    def explain(self, error: Exception) -> Failure:
        return with_cause(self._explain(error), error, self._key)

    def _explain(self, error: Exception) -> Failure:
        said = without_secret(error, self._key)
        if isinstance(error, openai.APITimeoutError):
            # The only time-out that this client has, see `__init__`.
            return Failure(ProviderTimeout("openai: connecting took too long"), retry=True)
        if isinstance(error, openai.APIConnectionError):
            reason = without_secret(error.__cause__ or error, self._key)
            detail = f"openai: connection failed: {type(error.__cause__).__name__}: {reason}"
            return Failure(ProviderUnavailable(detail), retry=True)
        if isinstance(error, openai.APIError):
            status = error.status_code if isinstance(error, openai.APIStatusError) else None
            detail = f"openai: {status or 'error in the stream'}: {said}"
            if error.code in QUOTA_CODES or error.type in QUOTA_CODES:
                quota = ProviderRateLimited(detail, user_message=QUOTA_USED_UP)
                return Failure(quota, retry=False)
            if error.code == "content_filter":
                blocked = GenerationError(detail, user_message=BLOCKED_QUESTION)
                return Failure(blocked, retry=False)
            if isinstance(error, openai.APIStatusError):
                retry_after = _retry_after(error.response.headers)
                return failure_of_status(error.status_code, detail, retry_after=retry_after)
            return _failure_in_stream(error, detail)
        # The SDK lets through whatever its JSON and SSE decoders throw.
        detail = f"openai: malformed answer: {type(error).__name__}: {said}"
        return Failure(ProviderUnavailable(detail), retry=True)


class _CompletionStream:
    def __init__(self, stream: openai.AsyncStream[ChatCompletionChunk]) -> None:
        self._stream = stream

    async def receive(self) -> Chunk | None:
        try:
            chunk = await self._stream.__anext__()
        except StopAsyncIteration:
            return None
        return _read(chunk)

    async def close(self) -> None:
        await self._stream.close()


def _read(chunk: ChatCompletionChunk) -> Chunk:
    """The SDK builds its models without validating them, so that is done here.

    Raises:
        Failure: the provider's filter stopped the answer.
        ValueError: not what a chunk looks like.
    """
    if not isinstance(chunk, ChatCompletionChunk) or not isinstance(chunk.choices, list):
        raise ValueError("a message of the stream is no chat.completion.chunk")
    usage = None
    if chunk.usage is not None:
        counts = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        if all(type(count) is int and count >= 0 for count in counts):
            usage = UsageReport(prompt_tokens=counts[0], completion_tokens=counts[1])
    if not chunk.choices:
        return Chunk(usage=usage)
    choice = chunk.choices[0]
    reason: str | None = choice.finish_reason
    if reason == "content_filter":
        blocked = GenerationError(
            "openai: finish_reason content_filter", user_message=BLOCKED_ANSWER
        )
        raise Failure(blocked, retry=False)
    if reason == "error":  # OpenRouter: the model behind it failed
        raise Failure(ProviderUnavailable("openai: finish_reason error"), retry=True)
    finish = None
    if reason is not None:
        finish = Finish.LENGTH if reason == "length" else Finish.STOP
    text = ""
    if choice.delta is not None:
        text = choice.delta.content or choice.delta.refusal or ""
    if not isinstance(text, str):
        raise ValueError("a delta's content is no string")
    return Chunk(text=text, usage=usage, finish=finish)


def _refuses_stream_options(error: openai.APIStatusError) -> bool:
    said = f"{error.message} {error.param}"
    return "stream_options" in said or "include_usage" in said


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Azure and OpenAI also send milliseconds, which are more exact."""
    milliseconds = parse_retry_after(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return parse_retry_after(headers.get("retry-after"))


def _failure_in_stream(error: openai.APIError, detail: str) -> Failure:
    """An `error` object that came with status 200. Some gateways put a status in its `code`."""
    code = error.code or ""
    if code.isascii() and code.isdigit() and 400 <= int(code[:4]) < 600:
        return failure_of_status(int(code[:4]), detail)
    if "rate_limit" in code or error.type == "rate_limit_error":
        return failure_of_status(429, detail)
    if error.type == "invalid_request_error":
        return Failure(ProviderRejected(detail), retry=False)
    return Failure(ProviderUnavailable(detail), retry=True)
