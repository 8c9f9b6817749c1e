"""Results streamed over HTTP: multipart/mixed as Apollo's clients read it, and server-sent events.

https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from transport.encoding import encode_json
from transport.results import Payload

Headers = list[tuple[bytes, bytes]]

_YIELD_EVERY = 32
"""Events after which a stream lets others run: a send that need not wait does not suspend."""


class Framing(Protocol):
    headers: Headers
    opening: bytes
    heartbeat: bytes

    def event(self, payload: Payload) -> bytes: ...

    def fatal(self, payload: Payload) -> bytes:
        """An error of the transport, after which the stream ends."""
        ...

    closing: bytes


class MultipartFraming:
    """Each part ends with the next delimiter, so that a client can use it as soon as it arrives."""

    headers: Headers = [(b"content-type", b'multipart/mixed;boundary="-";subscriptionSpec="1.0"')]
    opening = b"\r\n---"
    heartbeat = b"\r\ncontent-type: application/json\r\n\r\n{}\r\n---"
    closing = b"--\r\n"

    def event(self, payload: Payload) -> bytes:
        return _part(b'{"payload":' + encode_json(payload) + b"}")

    def fatal(self, payload: Payload) -> bytes:
        return _part(encode_json({"payload": None, **payload}))


class EventFraming:
    headers: Headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        # nginx would otherwise hold events back until its buffer is full.
        (b"x-accel-buffering", b"no"),
    ]
    opening = b":\n\n"
    heartbeat = b":\n\n"
    closing = b"event: complete\ndata:\n\n"

    def event(self, payload: Payload) -> bytes:
        # JSON as encoded here holds no line break.
        return b"event: next\ndata: " + encode_json(payload) + b"\n\n"

    fatal = event


class Stream:
    """One streamed response: results, heartbeats in silence, and its end when the client leaves."""

    def __init__(
        self,
        framing: Framing,
        receive: Receive,
        send: Send,
        *,
        headers: Headers,
        heartbeat_seconds: float,
        start_seconds: float,
        close_seconds: float,
    ) -> None:
        self._framing = framing
        self._receive = receive
        self._send = send
        self._headers = [*framing.headers, *headers]
        self._heartbeat_seconds = heartbeat_seconds
        self._start_seconds = start_seconds
        self._close_seconds = close_seconds
        # The events and the heartbeats come from two tasks; the lock keeps their order.
        self._sending = asyncio.Lock()
        self._sent = 0
        self._last = 0.0
        self._task: asyncio.Task[None] | None = None
        self._fatal: Payload | None = None
        self._finished = False
        self.started = False

    async def run(self, produce: Callable[[], Awaitable[None]]) -> Payload | None:
        """Run `produce`, which calls `event`, until it ends or the client leaves.

        Returns the payload given to `fail` or `end` if that came before anything was sent: the
        caller answers with it, as a plain response.
        """
        async with asyncio.TaskGroup() as group:
            self._task = producer = group.create_task(self._produce(produce))
            heart = group.create_task(self._beat())
            watcher = group.create_task(self._watch())
            watcher.add_done_callback(lambda _: producer.cancel())
            producer.add_done_callback(lambda _: (heart.cancel(), watcher.cancel()))
        if self._fatal is None:
            return None
        if not self.started:
            return self._fatal
        fatal = self._framing.fatal(self._fatal) + self._framing.closing
        with suppress(ClientDisconnect, TimeoutError):
            async with asyncio.timeout(self._close_seconds):
                await self._write(fatal, last=True)
        return None

    def fail(self, payload: Payload) -> None:
        """Make this error the stream's end; a stream that has not started never will."""
        self._fatal = payload

    def end(self, payload: Payload) -> None:
        """Stop producing, and close the response with this error."""
        self.fail(payload)
        if self._task is not None:
            self._task.cancel()

    async def event(self, payload: Payload) -> None:
        await self._write(self._framing.event(payload))
        self._sent += 1
        if self._sent % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    async def _produce(self, produce: Callable[[], Awaitable[None]]) -> None:
        with suppress(ClientDisconnect):
            await produce()
            if self._fatal is None:
                await self._write(self._framing.closing, last=True)

    async def _beat(self) -> None:
        await asyncio.sleep(self._start_seconds)
        with suppress(ClientDisconnect):
            if not self.started:
                await self._write(self._framing.heartbeat)
            while True:
                silence = time.monotonic() - self._last
                if silence < self._heartbeat_seconds:
                    await asyncio.sleep(self._heartbeat_seconds - silence)
                else:
                    await self._write(self._framing.heartbeat)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _write(self, data: bytes, *, last: bool = False) -> None:
        async with self._sending:
            if self._finished or (self._fatal is not None and not self.started):
                return
            self._finished = last
            if not self.started:
                self.started = True
                headers = self._headers
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                data = self._framing.opening + data
            self._last = time.monotonic()
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})


def _part(body: bytes) -> bytes:
    return b"\r\ncontent-type: application/json\r\n\r\n" + body + b"\r\n---"
