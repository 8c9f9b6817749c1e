"""A client that keeps what it saw, for comparisons after a fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PASSWORD = "a long sentence is a good password"

EVENT = """__typename seq replyId
  ... on ReplyStarted { session { id } message { id content } }
  ... on SourcesFound { hits { text score startOffset endOffset } }
  ... on TextDelta { text }
  ... on ReplyEnded { reply { id status content failure } }"""
CHAT = f"subscription ($i: SendMessageInput!) {{ event: chat(input: $i) {{ {EVENT} }} }}"
FOLLOW = f"subscription ($id: ID!, $a: Int) {{ event: reply(id: $id, after: $a) {{ {EVENT} }} }}"
SEND = """mutation ($i: SendMessageInput!) { sendMessage(input: $i) { __typename
  ... on SendMessagePayload { session { id } message { id } reply { id status } }
  ... on RateLimited { retryAfterSeconds } } }"""
STOP = """mutation ($id: ID!) { stopReply(id: $id) {
  ... on ChatMessage { status content failure } } }"""
MESSAGES = """query ($id: ID!) { session(id: $id) { messages { edges { node {
  id role status content failure } } } } }"""


def text_of(events: Iterable[dict[str, Any]]) -> str:
    """The text of all deltas."""
    return "".join(event["text"] for event in events if event["__typename"] == "TextDelta")


def check_numbers(events: list[dict[str, Any]], after: int = 0) -> None:
    """Assert that seq goes on from `after` without gap or repetition."""
    assert [event["seq"] for event in events] == list(range(after + 1, after + 1 + len(events)))


@dataclass
class Reading:
    """What one reader of one reply has received, in order, and how its reading ended."""

    question: str
    events: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False

    @property
    def acknowledged(self) -> bool:
        return bool(self.events)

    @property
    def ended(self) -> bool:
        return self.acknowledged and self.events[-1]["__typename"] == "ReplyEnded"

    @property
    def reply_id(self) -> str:
        reply: str = self.events[0]["replyId"]
        return reply

    @property
    def last_seq(self) -> int:
        seq: int = self.events[-1]["seq"]
        return seq


@dataclass
class Client:
    """One person's requests to a server."""

    url: str
    http: httpx.AsyncClient
    token: str | None = None

    async def post(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer to an operation."""
        headers = {"accept": "application/json"}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        body = {"query": query, "variables": variables}
        response = await self.http.post(f"{self.url}/graphql", json=body, headers=headers)
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must have no errors."""
        answer = await self.post(query, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def log_in(self, email: str = "ada@example.com") -> None:
        person = {"email": email, "password": PASSWORD}
        await self.data(
            "mutation ($i: RegisterInput!) { register(input: $i) { __typename } }", i=person
        )
        answer = await self.data(
            """mutation ($i: LoginInput!) {
              login(input: $i) { ... on AuthTokens { accessToken } } }""",
            i=person,
        )
        self.token = answer["login"]["accessToken"]

    async def send(self, content: str, **more: Any) -> dict[str, Any]:
        """Ask; the payload of an accepted question."""
        answer = await self.data(SEND, i={"content": content, **more})
        payload: dict[str, Any] = answer["sendMessage"]
        assert payload["__typename"] == "SendMessagePayload", payload
        return payload

    async def messages(self, session: str) -> list[dict[str, Any]]:
        """The messages of a session, oldest first."""
        answer = await self.data(MESSAGES, id=session)
        return [edge["node"] for edge in answer["session"]["messages"]["edges"]]

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Socket]:
        """An acknowledged connection, closed afterwards."""
        async with connect(
            self.url.replace("http", "ws", 1) + "/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            ping_interval=None,
            max_queue=None,
        ) as connection:
            payload = {"authorization": f"Bearer {self.token}"}
            await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
            assert json.loads(await connection.recv())["type"] == "connection_ack"
            socket = Socket(connection)
            receiving = asyncio.create_task(socket.receive())
            try:
                yield socket
            finally:
                await connection.close()
                await receiving

    async def read(self, reply_id: str, after: int = 0) -> list[dict[str, Any]]:
        """All events of a reply after seq `after`, until it has ended."""
        async with self.socket() as socket:
            reading = await socket.follow(reply_id, after)
            await socket.wait(reading)
            return reading.events


class Socket:
    """Many readings on one connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._readings: dict[str, Reading] = {}
        self._changed = asyncio.Condition()
        self.closed_with: int | None = None

    async def chat(self, question: str, **more: Any) -> Reading:
        """Ask and read along."""
        return await self._subscribe(question, CHAT, i={"content": question, **more})

    async def follow(self, reply_id: str, after: int = 0) -> Reading:
        return await self._subscribe("", FOLLOW, id=reply_id, a=after)

    async def _subscribe(self, question: str, query: str, **variables: Any) -> Reading:
        reading = Reading(question)
        name = str(len(self._readings) + 1)
        self._readings[name] = reading
        payload = {"query": query, "variables": variables}
        message = {"id": name, "type": "subscribe", "payload": payload}
        await self._connection.send(json.dumps(message))
        return reading

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._connection.transport.abort()

    async def receive(self) -> None:
        """Take what comes until the connection ends."""
        try:
            async for raw in self._connection:
                message = json.loads(raw)
                reading = self._readings[message["id"]]
                async with self._changed:
                    match message["type"]:
                        case "next" if "errors" in message["payload"]:
                            reading.errors += message["payload"]["errors"]
                        case "next":
                            reading.events.append(message["payload"]["data"]["event"])
                        case "error":
                            reading.errors += message["payload"]
                            reading.complete = True
                        case "complete":
                            reading.complete = True
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        self.closed_with = self._connection.close_code
        async with self._changed:
            self._changed.notify_all()

    async def wait(self, reading: Reading, events: int | None = None, seconds: float = 40) -> None:
        """Wait until a reading is complete, or has this many events."""

        def done() -> bool:
            enough = events is not None and len(reading.events) >= events
            return reading.complete or enough or self.closed_with is not None

        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(done)

    async def wait_closed(self, seconds: float = 40) -> int:
        """Wait for the server to close the connection; gives the code."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: self.closed_with is not None)
        assert self.closed_with is not None
        return self.closed_with


@asynccontextmanager
async def client_of(url: str, *, seconds: float = 30) -> AsyncIterator[Client]:
    # Connections that are kept would count among the server's open files.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=seconds, limits=limits) as http:
        yield Client(url, http)
