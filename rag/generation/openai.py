"""OpenAI's chat completions, and any endpoint compatible with them."""

from __future__ import annotations

from typing import cast

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from rag.generation.base import Prompt, UsageReport
from rag.generation.retrying import (
    BLOCKED_ANSWER,
    BLOCKED_QUESTION,
    QUOTA_USED_UP,
    Chunk,
    Failure,
    Finish,
    failure_of_status,
    parse_retry_after,
)
from rag.generation.vendor import Access, VendorApi, VendorGenerator

# A request that waits for free quota only prolongs the wait of the person who asked.
QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class _ChatCompletions(VendorApi):
    name = "openai"

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        # Cleared for good once the endpoint has refused the option.
        self._ask_for_usage = True
        # Only connecting is timed here: `retrying` times the tokens, from outside.
        timeout = httpx2.Timeout(None, connect=access.timeouts.connect)
        self._client = openai.AsyncOpenAI(
            api_key=access.key,
            base_url=access.base_url,
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
                stream = await self._client.chat.completions.create(
                    model=self._access.model,
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
            await self._client.chat.completions.create(
                model=self._access.model, messages=messages, stream=True
            )
        )

    async def close(self) -> None:
        await self._client.close()

    def _explain(self, error: Exception) -> Failure:
        if isinstance(error, openai.APITimeoutError):
            # The only time-out that this client has, see `__init__`.
            return self._connecting_took_too_long()
        if isinstance(error, openai.APIConnectionError):
            reason = self._masked(error.__cause__ or error)
            return self._unavailable(
                f"connection failed: {type(error.__cause__).__name__}: {reason}"
            )
        if isinstance(error, openai.APIError):
            status = error.status_code if isinstance(error, openai.APIStatusError) else None
            detail = f"openai: {status or 'error in the stream'}: {self._masked(error)}"
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
        return self._malformed(error)


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


class OpenAIGenerator(VendorGenerator):
    """Streams chat completions through the vendor's SDK."""

    official_base_url = "https://api.openai.com/v1"
    api_type = _ChatCompletions
