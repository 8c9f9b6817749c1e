"""A client of graphql-transport-ws that sends and sees single messages."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")


class Client:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def next(self) -> Any:
        return json.loads(await asyncio.wait_for(self.socket.recv(), 5))

    async def init(self, payload: Any = None) -> None:
        await self.send({"type": "connection_init", "payload": payload})
        assert await self.next() == {"type": "connection_ack"}

    async def subscribe(self, query: str, id: str = "1", **rest: Any) -> None:
        await self.send({"id": id, "type": "subscribe", "payload": {"query": query, **rest}})

    async def closed(self) -> tuple[int, str]:
        """Wait for the server's close frame, skipping messages."""
        try:
            async with asyncio.timeout(5):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as caught:
            close = caught.rcvd
        assert close is not None
        return close.code, close.reason


@asynccontextmanager
async def opened(address: str, **options: Any) -> AsyncIterator[Client]:
    options.setdefault("subprotocols", [PROTOCOL])
    async with connect(f"ws://{address}/graphql", proxy=None, **options) as socket:
        yield Client(socket)


def next_(data: Any, id: str = "1") -> dict[str, Any]:
    return {"id": id, "type": "next", "payload": {"data": data}}


def complete(id: str = "1") -> dict[str, Any]:
    return {"id": id, "type": "complete"}
