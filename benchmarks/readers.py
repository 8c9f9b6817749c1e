"""The other side of `benchmarks.servers`: starts them, and reads replies as cheaply as it can.

A reader only keeps the bytes that arrive, with their times. They are taken apart and checked when
the clock has stopped, so that it is the server that is measured.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal, cast

from benchmarks.first_token import login

ROOT: Final = Path(__file__).parent.parent
SUBSCRIPTION: Final = (
    "subscription Chat($input: SendMessageInput!) { chat(input: $input) { __typename seq "
    "... on TextDelta { text } ... on ReplyEnded { reply { status } } } }"
)
QUESTION: Final = "Within how many days of delivery can I return an item?"

_END: Final = b'"type":"complete"}'
_PATIENCE: Final = 120
# Sockets that open at once; more would overflow the queue of a listening socket.
_OPENING: Final = 50

Kind = Literal["groundql", "plain"]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of `benchmarks.servers`."""

    port: int
    token: str
    pid: int

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
            if response.status != 200:
                raise RuntimeError(f"{path} answered {response.status}: {answer}")
            return answer
        finally:
            connection.close()


@contextmanager
def running(kind: Kind, folder: Path, **settings: int) -> Iterator[Server]:
    """Start a server with its data in `folder`, and stop it at the end. `settings` are those
    that differ from the sample's."""
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.servers", kind, str(folder)],
            cwd=ROOT,
            env=os.environ | {"BENCHMARK_SETTINGS": json.dumps(settings)},
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            if not port:
                raise RuntimeError(f"the server did not start: {log.name}")
            server = Server(int(port), "", process.pid)
            # Its port is bound before its lifespan begins, so this waits until it is ready.
            server.call("GET", "/usage")
            if kind == "groundql":
                token = asyncio.run(login(f"127.0.0.1:{port.decode().strip()}/graphql"))
                server = Server(server.port, token, process.pid)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of text as a reader got it; `moment` is of `time.monotonic_ns`."""

    text: str
    moment: int


@dataclass(frozen=True, slots=True)
class Flood:
    """What one server sent for one plan. Times are seconds; memory is bytes a subscription, None
    where the system does not tell."""

    replies: int
    seconds: float
    deltas: int
    characters: int
    cpu: float
    memory: float | None
    opening: float
    latencies: Sequence[float]


class _Reader(asyncio.Protocol):
    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.moments: list[int] = []
        self._marker = b""
        self._seen: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self.moments.append(time.monotonic_ns())
        self.chunks.append(data)
        if data.endswith(self._marker) or len(data) < len(self._marker):
            self._check()

    def _check(self) -> None:
        tail = b"".join(self.chunks[-len(self._marker) :])
        if tail.endswith(self._marker) and self._seen is not None and not self._seen.done():
            self._seen.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._seen is not None and not self._seen.done():
            self._seen.set_exception(RuntimeError(f"the server hung up: {self.chunks[-1:]}"))

    def until(self, marker: bytes) -> asyncio.Future[None]:
        """Done when the server has sent something that ends with the marker."""
        self._marker = marker
        self._seen = asyncio.get_running_loop().create_future()
        return self._seen

    async def open(self, token: str) -> None:
        """Shake hands, authorize, and subscribe."""
        upgraded = self.until(b"\r\n\r\n")
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        await upgraded
        acknowledged = self.until(b'"connection_ack"}')
        self._send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        await acknowledged
        self.chunks.clear()
        self.moments.clear()
        variables = {"input": {"content": QUESTION}}
        payload = {"query": SUBSCRIPTION, "variables": variables}
        self._send({"id": "1", "type": "subscribe", "payload": payload})

    def _send(self, message: dict[str, Any]) -> None:
        """A text frame; its mask is zero, which changes nothing."""
        data = json.dumps(message).encode()
        assert 125 < len(data) < 65_536 or len(data) < 126
        length = (
            bytes([0x80 | len(data)])
            if len(data) < 126
            else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
        )
        self.transport.write(b"\x81" + length + b"\0\0\0\0" + data)

    def deltas(self) -> list[Delta]:
        """Take what arrived apart.

        Raises:
            RuntimeError: the events are not those of one whole reply.
        """
        ends = list(accumulate(map(len, self.chunks)))
        data = b"".join(self.chunks)
        deltas = []
        seq, kind = 0, ""
        for start, end in _frames(data):
            message = json.loads(data[start:end])
            if message["type"] == "complete":
                break
            event = message.get("payload", {}).get("data", {}).get("chat")
            if event is None or event["seq"] != seq + 1:
                raise RuntimeError(f"event {seq + 1} of a reply is missing: {message}")
            seq, kind = event["seq"], event["__typename"]
            if kind == "TextDelta":
                deltas.append(Delta(event["text"], self.moments[bisect_left(ends, end)]))
            elif kind == "ReplyEnded" and event["reply"]["status"] != "COMPLETE":
                raise RuntimeError(f"a reply did not end well: {event}")
        if kind != "ReplyEnded":
            raise RuntimeError("a reply did not end")
        return deltas


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the payloads of a server's frames begin and end."""
    place = 0
    while place < len(data):
        length, start = data[place + 1], place + 2
        if length == 126:
            length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
        elif length == 127:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        place = start + length
        yield start, place


async def flood(server: Server, *, replies: int, tokens: int, rate: float = 0) -> Flood:
    """Open one subscription per reply, let all begin together, and read them to their ends."""
    loop = asyncio.get_running_loop()
    server.call("POST", "/plan", {"replies": replies, "tokens": tokens, "rate": rate})
    before = server.call("GET", "/usage")
    started = time.perf_counter()
    slots = asyncio.Semaphore(_OPENING)

    async def connect() -> _Reader:
        async with slots:
            _, reader = await loop.create_connection(_Reader, "127.0.0.1", server.port)
            await reader.open(server.token)
            return reader

    readers = await asyncio.gather(*(connect() for _ in range(replies)))
    async with asyncio.timeout(_PATIENCE):
        while (usage := server.call("GET", "/usage"))["waiting"] < replies:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    opening = time.perf_counter() - started
    await asyncio.sleep(0.2)  # what is on its way to the readers arrives
    usage = server.call("GET", "/usage")
    completed = [reader.until(_END) for reader in readers]
    begun = time.perf_counter()
    server.call("POST", "/open")
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*completed)
    seconds = time.perf_counter() - begun
    after = server.call("GET", "/usage")
    for reader in readers:
        reader.transport.close()

    deltas = [reader.deltas() for reader in readers]
    texts = ["".join(delta.text for delta in one) for one in deltas]
    latencies: list[float] = []
    if rate:
        latencies = [
            (delta.moment - int(stamp)) / 1e6
            for one in deltas
            for delta in one
            for stamp in re.findall(r"\d+", delta.text)
        ]
        if len(latencies) != replies * tokens:
            raise RuntimeError("a reply is not whole")
    elif len(set(texts)) != 1:
        raise RuntimeError("a reply is not whole")
    await asyncio.sleep(0.3)  # the server tidies up
    memory = None
    if usage["memory"] is not None:
        memory = (usage["memory"] - before["memory"]) / replies
    return Flood(
        replies=replies,
        seconds=seconds,
        deltas=sum(map(len, deltas)),
        characters=sum(map(len, texts)),
        cpu=after["cpu"] - usage["cpu"],
        memory=memory,
        opening=opening,
        latencies=latencies,
    )
