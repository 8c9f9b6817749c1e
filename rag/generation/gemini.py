"""Gemini through google-genai, the vendor's current SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar

import httpx2
from google import genai
from google.genai import errors, types

from rag.errors import ProviderTimeout, ProviderUnavailable
from rag.generation.base import GenerationEvent, Prompt, RetryPolicy, Timeouts, UsageReport
from rag.generation.gemini_words import (
    OFFICIAL_BASE_URL,
    blocked_prompt,
    finish_of,
    grouped_turns,
    parse_retry_delay,
    split_system,
)
from rag.generation.masking import checked_base_url, checked_key, with_cause, without_secret
from rag.generation.retrying import (
    Chunk,
    Failure,
    Finish,
    failure_of_status,
    parse_retry_after,
    stream_answer,
)

# The SDK hands out no object that could close a stream's connection: its stream is a chain of
# asynchronous generators, and closing the outermost leaves the others to the garbage collector.
# So our HTTP client notes here the response that a request of the current task has got.
_opened: ContextVar[list[httpx2.Response]] = ContextVar("_opened")


class GeminiGenerator:
    """Streams `generateContent` through the vendor's SDK.

    Raises (constructor):
        RagError: the key or the base URL cannot be one.
    """

    provider = "gemini"

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
        self._api = _GenerateContent(
            key=checked_key(api_key), model=model, base_url=self._base_url, timeouts=self._timeouts
        )

    def __repr__(self) -> str:
        return f"GeminiGenerator(model={self._model!r}, base_url={self._base_url!r})"

    @property
    def model(self) -> str:
        return self._model

    def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        return stream_answer(self._api, prompt, timeouts=self._timeouts, retry=self._retry)

    async def close(self) -> None:
        await self._api.close()


class _GenerateContent:
    name = "gemini"

    def __init__(self, *, key: str, model: str, base_url: str, timeouts: Timeouts) -> None:
        self._key = key
        self._model = model
        # Only connecting is timed here: `retrying` times the tokens, from outside. It is a hook
        # because the SDK sets the time-out of each request anew, to none.
        limits = httpx2.Timeout(None, connect=timeouts.connect).as_dict()

        async def set_timeout(request: httpx2.Request) -> None:
            request.extensions["timeout"] = limits

        async def note_response(response: httpx2.Response) -> None:
            _opened.get().append(response)

        self._http = httpx2.AsyncClient(
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
            follow_redirects=False,
            event_hooks={"request": [set_timeout], "response": [note_response]},
        )
        self._client = genai.Client(
            vertexai=False,
            api_key=key,
            # No retry options: the SDK then tries once.
            http_options=types.HttpOptions(base_url=base_url, httpx_async_client=self._http),
        )

    async def open(self, prompt: Prompt) -> _ContentStream:
        system, turns = split_system(prompt.messages)
        responses: list[httpx2.Response] = []
        token = _opened.set(responses)
        try:
            chunks = await self._client.aio.models.generate_content_stream(
                model=self._model,
                contents=[
                    types.Content(role=role, parts=[types.Part(text=text) for text in texts])
                    for role, texts in grouped_turns(turns)
                ],
                config=types.GenerateContentConfig(
                    system_instruction=system or None,
                    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
                    # Else the SDK reconnects on its own after a failure in mid-stream.
                    automatic_continuation=False,
                ),
            )
            # The SDK sends the request only when the first chunk is asked for.
            first = await anext(chunks, None)
        except BaseException:
            for response in responses:
                await response.aclose()
            raise
        finally:
            _opened.reset(token)
        return _ContentStream(first, chunks, responses)

    async def close(self) -> None:
        self._client.close()
        await self._http.aclose()

    def explain(self, error: Exception) -> Failure:
        return with_cause(self._explain(error), error, self._key)

    def _explain(self, error: Exception) -> Failure:
        said = without_secret(error, self._key)
        if isinstance(error, httpx2.TimeoutException):
            # The only time-out that this client has, see `__init__`.
            return Failure(ProviderTimeout("gemini: connecting took too long"), retry=True)
        if isinstance(error, httpx2.RequestError):
            detail = f"gemini: connection failed: {type(error).__name__}: {said}"
            return Failure(ProviderUnavailable(detail), retry=True)
        if isinstance(error, errors.APIError) and isinstance(error.code, int):
            said = without_secret(f"{error.code} {error.status}: {error.message}", self._key)
            detail = f"gemini: {said}"
            return failure_of_status(error.code, detail, retry_after=_retry_after(error))
        # The SDK lets through whatever its JSON, SSE and model parsing throws.
        detail = f"gemini: malformed answer: {type(error).__name__}: {said}"
        return Failure(ProviderUnavailable(detail), retry=True)


class _ContentStream:
    def __init__(
        self,
        first: types.GenerateContentResponse | None,
        chunks: AsyncIterator[types.GenerateContentResponse],
        responses: list[httpx2.Response],
    ) -> None:
        self._first = first
        self._chunks = chunks
        self._responses = responses

    async def receive(self) -> Chunk | None:
        chunk, self._first = self._first, None
        if chunk is None:
            chunk = await anext(self._chunks, None)
        return None if chunk is None else _read(chunk)

    async def close(self) -> None:
        for response in self._responses:
            await response.aclose()


def _read(chunk: types.GenerateContentResponse) -> Chunk:
    """Raises:
    Failure: the question was blocked, or the answer ended without being complete.
    """
    feedback = chunk.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise blocked_prompt(feedback.block_reason.value, provider="gemini")
    usage = None
    counts = chunk.usage_metadata
    if counts is not None and counts.prompt_token_count is not None:
        # Thinking is billed like the answer, and reported apart from it.
        written = (counts.candidates_token_count or 0) + (counts.thoughts_token_count or 0)
        usage = UsageReport(prompt_tokens=counts.prompt_token_count, completion_tokens=written)
    if not chunk.candidates:
        return Chunk(usage=usage)
    candidate = chunk.candidates[0]
    parts = (candidate.content.parts if candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    finish: Finish | None = None
    reason = candidate.finish_reason
    if reason is not None and reason.value != "FINISH_REASON_UNSPECIFIED":
        finish = finish_of(reason.value, provider="gemini")
    return Chunk(text=text, usage=usage, finish=finish)


def _retry_after(error: errors.APIError) -> float | None:
    """The header Retry-After, or else the RetryInfo that Google puts into the error's details."""
    headers = getattr(error.response, "headers", None) or {}
    seconds = parse_retry_after(headers.get("retry-after"))
    if seconds is not None or not isinstance(error.details, dict):
        return seconds
    body = error.details.get("error")
    details = body.get("details") if isinstance(body, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith("google.rpc.RetryInfo"):
            return parse_retry_delay(detail.get("retryDelay"))
    return None
