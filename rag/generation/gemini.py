"""Gemini through google-genai, the vendor's current SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar

import httpx2
from google import genai
from google.genai import errors, types

from rag.generation.base import Prompt, UsageReport
from rag.generation.gemini_words import (
    OFFICIAL_BASE_URL,
    blocked_prompt,
    finish_of,
    grouped_turns,
    parse_retry_delay,
    split_system,
)
from rag.generation.retrying import (
    Chunk,
    Failure,
    Finish,
    failure_of_status,
    parse_retry_after,
)
from rag.generation.vendor import Access, VendorApi, VendorGenerator

# The SDK hands out no object that could close a stream's connection: its stream is a chain of
# asynchronous generators, and closing the outermost leaves the others to the garbage collector.
# So our HTTP client notes here the response that a request of the current task has got.
_opened: ContextVar[list[httpx2.Response]] = ContextVar("_opened")


class _GenerateContent(VendorApi):
    name = "gemini"

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        # Only connecting is timed here: `retrying` times the tokens, from outside. It is a hook
        # because the SDK sets the time-out of each request anew, to none.
        limits = httpx2.Timeout(None, connect=access.timeouts.connect).as_dict()

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
            api_key=access.key,
            # No retry options: the SDK then tries once.
            http_options=types.HttpOptions(base_url=access.base_url, httpx_async_client=self._http),
        )

    async def open(self, prompt: Prompt) -> _ContentStream:
        system, turns = split_system(prompt.messages)
        responses: list[httpx2.Response] = []
        token = _opened.set(responses)
        try:
            chunks = await self._client.aio.models.generate_content_stream(
                model=self._access.model,
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

    def _explain(self, error: Exception) -> Failure:
        if isinstance(error, httpx2.TimeoutException):
            # The only time-out that this client has, see `__init__`.
            return self._connecting_took_too_long()
        if isinstance(error, httpx2.RequestError):
            return self._unavailable(
                f"connection failed: {type(error).__name__}: {self._masked(error)}"
            )
        if isinstance(error, errors.APIError) and isinstance(error.code, int):
            said = self._masked(f"{error.code} {error.status}: {error.message}")
            detail = f"gemini: {said}"
            return failure_of_status(error.code, detail, retry_after=_retry_after(error))
        return self._malformed(error)


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


class GeminiGenerator(VendorGenerator):
    """Streams `generateContent` through the vendor's SDK."""

    official_base_url = OFFICIAL_BASE_URL
    api_type = _GenerateContent
