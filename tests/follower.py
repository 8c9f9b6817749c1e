"""A person who follows something over a WebSocket of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.application import Running

PATIENCE = 5  # seconds within which everything must have come


class Follower:
    """One socket. Each subscription's messages are read in the order in which they come."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def subscribe(self, query: str, id: str, variables: dict[str, Any]) -> None:
        await self.send(id=id, type="subscribe", payload={"query": query, "variables": variables})

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def message(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next message of the protocol."""
        message: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), seconds))
        return message

    async def event(self) -> dict[str, Any]:
        """The next event of a subscription."""
        message = await self.message()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (event,) = message["payload"]["data"].values()
        found: dict[str, Any] = event
        return found

    async def until(self, *names: str) -> dict[str, Any]:
        """The next event of one of these types; others are skipped."""
        while (event := await self.event())["__typename"] not in names:
            pass
        return event

    async def silent(self, seconds: float = 0.15) -> None:
        """Nothing comes."""
        try:
            message = await self.message(seconds)
        except TimeoutError:
            return
        raise AssertionError(message)

    async def completed(self) -> None:
        """The next message ends the subscription."""
        assert (await self.message())["type"] == "complete"

    async def refused(self) -> dict[str, Any]:
        """The error that ends the subscription, after its events."""
        while (message := await self.message())["type"] != "error":
            assert message["type"] == "next", message
        (error,) = message["payload"]
        found: dict[str, Any] = error
        return found

    async def closed(self) -> int:
        """The code with which the server closes the socket; nothing else comes before."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.message()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code


@asynccontextmanager
async def following(
    app: Running, token: str, query: str | None = None, **variables: Any
) -> AsyncIterator[Follower]:
    """A follower with an open socket, and with its subscription sent."""
    async with app.socket(token) as socket:
        follower = Follower(socket)
        if query is not None:
            await follower.subscribe(query, "1", variables)
        yield follower
