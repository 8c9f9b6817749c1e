"""A small scriptable HTTP/1.1 server on 127.0.0.1, in a thread with an event loop of its own.

It is written on bare sockets, since its purpose is to misbehave: to stall, to break off in the
middle of a chunk, to reset a connection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

# -- Replies ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing more, and wait until the client closes the connection."""


@dataclass(frozen=True, slots=True)
class BreakOff:
    """Close the connection without ending the reply; with `reset`, by a TCP reset."""

    reset: bool = False


Step = bytes | Pause | Stall | BreakOff


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does with one request: a status, headers, and a body in steps.

    Every `bytes` step is one chunk on the wire. `before` are steps that come before the status
    line. Without `BreakOff` the body ends properly.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    before: tuple[Pause | Stall | BreakOff, ...] = ()


def json_reply(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status=status,
        headers={"content-type": "application/json", **(headers or {})},
        steps=(json.dumps(body).encode(),),
    )


def slowly(reply: Reply, delay: float) -> Reply:
    """The same reply with a pause of `delay` seconds before each chunk."""
    steps: list[Step] = []
    for step in reply.steps:
        if isinstance(step, bytes):
            steps.append(Pause(delay))
        steps.append(step)
    return replace(reply, steps=tuple(steps))


def stalled_before_headers() -> Reply:
    """Take the request and never answer."""
    return Reply(before=(Stall(),))


def refused_by_reset() -> Reply:
    """Take the request and reset the connection."""
    return Reply(before=(BreakOff(reset=True),))


# -- Requests --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Request:
    """A request as it came, and how its reply went.

    `headers` have lower-case names. `at` is `time.monotonic()` of its arrival. `disconnected` is
    set when the client went away before the reply's end, `finished` when the reply was sent whole.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    at: float
    disconnected: bool = False
    finished: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


# What `enqueue` takes: a reply, or a function that makes one for the request.
Script = Reply | Callable[[Request], Reply]


# -- The server ------------------------------------------------------------------------------------


class WireServer:
    """Base of the vendors' servers: `with OpenAIWireServer() as server: …`.

    Subclasses say in `refuse` which requests the vendor's API would not accept, and in `default`
    what is answered when nothing is enqueued.
    """

    default: Script

    def __init__(self, *, default: Script, api_key: str | None = None, port: int = 0) -> None:
        self.default = default
        self.api_key = api_key  # if set, requests with another key get the vendor's 401 or 400
        self.port = port
        self.requests: list[Request] = []
        self.connections = 0  # open ones
        self._queue: deque[Script] = deque()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    # Subclasses:

    def refuse(self, request: Request) -> Reply | None:
        """The vendor's error for a request that it would not accept."""
        raise NotImplementedError

    # Callers, in any thread:

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enqueue(self, *scripts: Script) -> None:
        """Answer the next requests with these, in order."""
        self._queue.extend(scripts)

    def wait_for_disconnect(self, timeout: float = 1.0, *, count: int = 1) -> bool:
        """Whether `count` clients have gone (or go within `timeout` s) before their reply's end."""
        return self._wait(lambda: sum(r.disconnected for r in self.requests) >= count, timeout)

    def wait_for_requests(self, count: int, timeout: float = 1.0) -> bool:
        return self._wait(lambda: len(self.requests) >= count, timeout)

    def wait_until_finished(self, count: int = 1, timeout: float = 1.0) -> bool:
        """Whether `count` replies have been sent whole (or are within `timeout` s)."""
        return self._wait(lambda: sum(r.finished for r in self.requests) >= count, timeout)

    def wait_until_unconnected(self, timeout: float = 1.0) -> bool:
        """Whether no connection is open (within `timeout` s), idle ones included."""
        return self._wait(lambda: self.connections == 0, timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed already
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # The server's thread:

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connection(reader, writer)
            except asyncio.CancelledError:
                pass  # the server is stopping
            finally:
                tasks.discard(task)
                writer.close()
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await writer.wait_closed()
                with self._change():
                    self.connections -= 1

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        running = list(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._change():
            self.connections += 1
        while (request := await _read_request(reader)) is not None:
            with self._change():
                self.requests.append(request)
            reply = self.refuse(request)
            if reply is None:
                script = self._queue.popleft() if self._queue else self.default
                reply = script if isinstance(script, Reply) else script(request)
            if not await self._answer(request, reply, reader, writer):
                return

    async def _answer(
        self,
        request: Request,
        reply: Reply,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Send the reply; False if the connection is no more."""
        # A client that waits for its reply sends nothing, so that anything to read is its farewell.
        gone = asyncio.ensure_future(_gone(reader))
        try:
            for early in reply.before:
                if not await _step(early, writer, gone):
                    return self._note_end(request, gone)
            phrase = HTTPStatus(reply.status).phrase
            head = [f"HTTP/1.1 {reply.status} {phrase}", "transfer-encoding: chunked"]
            head += [f"{name}: {value}" for name, value in reply.headers.items()]
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
            for step in reply.steps:
                if not await _step(step, writer, gone):
                    return self._note_end(request, gone)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            with self._change():
                request.disconnected = True
            return False
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
        with self._change():
            request.finished = True
        return True

    def _note_end(self, request: Request, gone: asyncio.Future[None]) -> bool:
        with self._change():
            request.disconnected = gone.done()
        return False


async def _step(step: Step, writer: asyncio.StreamWriter, gone: asyncio.Future[None]) -> bool:
    """Do one step; False if the connection has ended."""
    match step:
        case bytes():
            if gone.done():
                return False
            if step:  # an empty chunk would end the body
                writer.write(f"{len(step):x}\r\n".encode() + step + b"\r\n")
                await writer.drain()
            return True
        case Pause(seconds):
            done, _ = await asyncio.wait([gone], timeout=seconds)
            return not done
        case Stall():
            await asyncio.wait([gone])
            return False
        case BreakOff(reset):
            if reset:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return False


async def _gone(reader: asyncio.StreamReader) -> None:
    """Return when the client has closed its side. Leaves what it may have sent in the buffer."""
    while not reader.at_eof():
        if reader.exception() is not None:
            return
        await asyncio.sleep(0.005)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, None when the client has closed it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, body, at=time.monotonic())


# -- By hand ---------------------------------------------------------------------------------------


def serve_by_hand(create: Callable[[int], WireServer], *, description: str, hint: str) -> None:
    """Run a server until Ctrl-C, and print each request's path. `hint` may name `{origin}`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument(
        "--delay", type=float, default=0.1, metavar="SECONDS", help="between tokens (0.1)"
    )
    arguments = parser.parse_args()
    server = create(arguments.port)
    usual = server.default
    if isinstance(usual, Reply):
        server.default = slowly(usual, arguments.delay)
    with server, contextlib.suppress(KeyboardInterrupt):
        print(hint.format(origin=server.origin), flush=True)
        seen = 0
        while True:
            if server.wait_for_requests(seen + 1, timeout=3600):
                request = server.requests[seen]
                seen += 1
                print(f"{request.method} {request.path} {len(request.body)} bytes", flush=True)
