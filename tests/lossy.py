"""A network that loses connections: a TCP proxy in front of a server."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True)
class Cut:
    """Cut the first connection on which the server sends `marker`; what holds it gets lost.

    With `code`, the client gets a WebSocket's close frame instead of a broken connection.
    """

    marker: str
    code: int | None = None


class LossyNetwork:
    """Forwards connections to `target`, and cuts them as told, one cut after the other."""

    def __init__(self, target: str, cuts: Sequence[Cut]) -> None:
        self.target = target
        self.left = list(cuts)
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        address = urlsplit(self.target)
        try:
            upstream_reader, upstream = await asyncio.open_connection(
                address.hostname, address.port
            )
        except OSError:
            writer.transport.abort()
            return
        sending = asyncio.create_task(_copy(reader, upstream))
        try:
            await self._receive(upstream_reader, writer)
        finally:
            sending.cancel()
            upstream.transport.abort()
            writer.close()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        while data := await _read(reader):
            seen += data
            cut = self.left[0] if self.left else None
            if cut is not None and cut.marker.encode() in seen:
                del self.left[0]
                if cut.code is None:
                    writer.transport.abort()
                else:
                    writer.write(b"\x88\x02" + struct.pack("!H", cut.code))
                return
            writer.write(data)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await _read(reader):
        writer.write(data)
    writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""


@asynccontextmanager
async def lossy_network(target: str, *cuts: Cut) -> AsyncIterator[tuple[LossyNetwork, str]]:
    """The network and the address at which clients reach `target` through it."""
    network = LossyNetwork(target, cuts)
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield network, urlunsplit(urlsplit(target)._replace(netloc=f"127.0.0.1:{port}"))
    finally:
        server.close()


@contextmanager
def lossy_network_in_thread(target: str, *cuts: Cut) -> Iterator[tuple[LossyNetwork, str]]:
    """The same for tests without an event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = lossy_network(target, *cuts)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
