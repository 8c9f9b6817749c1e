"""Requests to providers that cannot take more memory than they should."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

import httpx2

# A discovery document has some KB, a set of keys with certificates some more.
MAX_BYTES: Final = 512 * 1024


class TooLarge(Exception):
    """An answer is larger than MAX_BYTES."""


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Reads at most MAX_BYTES of an answer, unpacked. It goes straight to the provider: a proxy in
    the environment is not used."""

    def __init__(self) -> None:
        self._inner: httpx2.AsyncHTTPTransport | None = None
        self._making = asyncio.Lock()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async with self._making:
            if self._inner is None:
                # Reading the certificates of all authorities takes about 50 ms.
                context = await asyncio.to_thread(_tls)
                self._inner = httpx2.AsyncHTTPTransport(
                    verify=context, limits=httpx2.Limits(max_connections=20)
                )
        # What is packed could unpack to a thousand times as much.
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise TooLarge
        return response

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BYTES
        async for piece in self._inner:
            left -= len(piece)
            if left < 0:
                raise TooLarge
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()
