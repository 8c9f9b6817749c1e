"""Gemini through google-generativeai, the SDK whose support its vendor has ended.

Only for those who must stay with it: it needs the optional extra `gemini-legacy`. Its
`GenerativeModel` is not used, since its streams hold back every chunk until the next one has come,
and since its key and address are global to the process. This adapter uses the messages of
`google.generativeai.protos` and the asynchronous gRPC client underneath, which come with it.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import Any
from urllib.parse import urlsplit

with warnings.catch_warnings():
    # The package says at import that it is out of support, and google-api-core until when it
    # supports this version of Python. `GENERATOR=gemini-legacy` was chosen by name; all know.
    warnings.simplefilter("ignore", FutureWarning)
    import grpc  # type: ignore[import-untyped]
    import grpc.aio  # type: ignore[import-untyped]
    from google.ai.generativelanguage_v1beta.services import (  # type: ignore[import-untyped]
        generative_service,
    )
    from google.api_core import exceptions  # type: ignore[import-untyped]
    from google.generativeai import protos
    from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from rag.generation.base import Prompt, UsageReport
from rag.generation.gemini_words import (
    OFFICIAL_BASE_URL,
    blocked_prompt,
    finish_of,
    grouped_turns,
    split_system,
)
from rag.generation.retrying import Chunk, Failure, Finish, failure_of_status
from rag.generation.vendor import Access, VendorApi, VendorGenerator


class _GenerateContent(VendorApi):
    name = "gemini-legacy"

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self._resource = access.model if "/" in access.model else f"models/{access.model}"
        self._connect_timeout = access.timeouts.connect
        address = urlsplit(access.base_url)
        # gRPC's own retries are off, and after a failed connection it waits no longer than we do.
        options = [("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        if address.scheme == "https":
            target = f"{address.hostname}:{address.port or 443}"
            self._channel = grpc.aio.secure_channel(
                target, grpc.ssl_channel_credentials(), options=options
            )
        else:
            target = f"{address.hostname}:{address.port or 80}"
            self._channel = grpc.aio.insecure_channel(target, options=options)
        transport = generative_service.transports.GenerativeServiceGrpcAsyncIOTransport(
            channel=self._channel
        )
        self._client = generative_service.GenerativeServiceAsyncClient(transport=transport)

    async def open(self, prompt: Prompt) -> _ContentStream:
        await self._connect()
        system, turns = split_system(prompt.messages)
        request = protos.GenerateContentRequest(
            model=self._resource,
            contents=[
                protos.Content(role=role, parts=[protos.Part(text=text) for text in texts])
                for role, texts in grouped_turns(turns)
            ],
        )
        if system:
            request.system_instruction = protos.Content(parts=[protos.Part(text=system)])
        call = await self._client.stream_generate_content(
            request,
            metadata=[("x-goog-api-key", self._access.key)],
            retry=None,
            timeout=None,
        )
        return _ContentStream(call)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._channel.channel_ready()
        except TimeoutError:
            state = self._channel.get_state()
        else:
            return
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:  # gRPC keeps trying: refused
            raise self._unavailable("connection failed")
        raise self._connecting_took_too_long()

    async def close(self) -> None:
        await self._channel.close()

    def _explain(self, error: Exception) -> Failure:
        if isinstance(error, exceptions.GoogleAPICallError) and error.code is not None:
            said = self._masked(f"{int(error.code)}: {error.message}")
            retry_after = None
            for detail in error.details:
                if isinstance(detail, error_details_pb2.RetryInfo):
                    retry_after = max(0.0, detail.retry_delay.ToTimedelta().total_seconds())
            detail = f"gemini-legacy: {said}"
            return failure_of_status(int(error.code), detail, retry_after=retry_after)
        return self._unavailable(self._masked(f"{type(error).__name__}: {error}"))


class _ContentStream:
    def __init__(self, call: Any) -> None:
        self._call = call
        self._chunks = aiter(call)

    async def receive(self) -> Chunk | None:
        chunk = await anext(self._chunks, None)
        return None if chunk is None else _read(chunk)

    async def close(self) -> None:
        self._call.cancel()


def _read(chunk: Any) -> Chunk:
    """Raises:
    Failure: the question was blocked, or the answer ended without being complete.
    """
    provider = "gemini-legacy"
    if chunk.prompt_feedback.block_reason:
        raise blocked_prompt(_name(chunk.prompt_feedback.block_reason), provider=provider)
    usage = None
    counts = chunk.usage_metadata
    if counts.prompt_token_count:
        usage = UsageReport(counts.prompt_token_count, counts.candidates_token_count)
    if not chunk.candidates:
        return Chunk(usage=usage)
    candidate = chunk.candidates[0]
    finish: Finish | None = None
    if candidate.finish_reason:
        finish = finish_of(_name(candidate.finish_reason), provider=provider)
    text = "".join(part.text for part in candidate.content.parts)
    return Chunk(text=text, usage=usage, finish=finish)


def _name(value: Any) -> str:
    """An enum's name; values that are younger than the SDK come as bare numbers."""
    return str(getattr(value, "name", value))


class GeminiLegacyGenerator(VendorGenerator):
    """Streams `GenerateContent` over gRPC. A `base_url` of http:// means a plain-text channel.

    Build it inside the event loop that will use it.
    """

    official_base_url = OFFICIAL_BASE_URL
    api_type = _GenerateContent
