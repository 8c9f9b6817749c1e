"""A client of the protocol: a person with a token, and what they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from tests.application import Running, SubscriptionRefused
from tests.schema.operations import ASK, CHAT, FOLLOW, HISTORY, SEND, SESSIONS, STOP

QUESTION = "Within how many days of delivery can I return an item?"

Event = dict[str, Any]


@dataclass
class Person:
    app: Running
    token: str

    @classmethod
    async def enter(cls, app: Running, email: str = "ada@example.com") -> Person:
        return cls(app, await app.login(email))

    async def send(self, content: str = QUESTION, **more: Any) -> dict[str, Any]:
        data = await self.app.data(SEND, {"i": {"content": content, **more}}, self.token)
        result: dict[str, Any] = data["sendMessage"]
        return result

    async def ask(self, content: str = QUESTION, **more: Any) -> dict[str, Any]:
        data = await self.app.data(ASK, {"i": {"content": content, **more}}, self.token)
        result: dict[str, Any] = data["ask"]
        return result

    async def stop(self, reply_id: str) -> dict[str, Any]:
        result: dict[str, Any] = (await self.app.data(STOP, {"id": reply_id}, self.token))[
            "stopReply"
        ]
        return result

    async def change(self, mutation: str, **variables: Any) -> dict[str, Any]:
        """The result of a mutation with one field."""
        (result,) = (await self.app.data(mutation, variables, self.token)).values()
        found: dict[str, Any] = result
        return found

    async def chat(self, content: str = QUESTION, **more: Any) -> list[Event]:
        """All events of `chat`."""
        variables = {"i": {"content": content, **more}}
        return [event async for event in self.events(CHAT, variables)]

    async def read(self, reply_id: str, after: int | None = 0) -> list[Event]:
        """All events of `reply(id, after)`."""
        return [event async for event in self.events(FOLLOW, {"id": reply_id, "a": after})]

    async def read_until_text(self, reply_id: str, text: str) -> list[Event]:
        """The events from the first until the text so far is `text`; then the reader leaves.

        A space at the end is not shown before the text goes on.
        """
        seen: list[Event] = []
        async with (
            asyncio.timeout(10),
            aclosing(self.events(FOLLOW, {"id": reply_id})) as events,
        ):
            async for event in events:
                seen.append(event)
                if text_of(seen) == text:
                    return seen
        raise AssertionError(f"the reply ended with {text_of(seen)!r}")

    async def events(self, query: str, variables: dict[str, Any]) -> AsyncGenerator[Event, None]:
        async with aclosing(self.app.subscribe(query, variables, self.token)) as payloads:
            async for payload in payloads:
                assert list(payload) == ["data"], payload
                (event,) = payload["data"].values()
                yield event

    async def refusal(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The extensions of the one error with which a subscription is refused at once."""
        try:
            async for event in self.events(query, variables):
                raise AssertionError(f"not refused: {event}")
        except SubscriptionRefused as refused:
            (error,) = refused.errors
            extensions: dict[str, Any] = error["extensions"]
            return extensions
        raise AssertionError("not refused: completed")

    async def messages(self, session_id: str) -> list[dict[str, Any]]:
        data = await self.app.data(HISTORY, {"id": session_id, "first": 100}, self.token)
        return [edge["node"] for edge in data["session"]["messages"]["edges"]]

    async def sessions(self) -> list[str]:
        data = await self.app.data(SESSIONS, {"first": 100}, self.token)
        return [edge["node"]["id"] for edge in data["sessions"]["edges"]]

    async def status(self, reply_id: str) -> tuple[str, str]:
        """Status and content of a reply, as they are stored."""
        node = "query($id: ID!) { node(id: $id) { ... on ChatMessage { status content } } }"
        found = (await self.app.data(node, {"id": reply_id}, self.token))["node"]
        return found["status"], found["content"]

    async def wait_ended(self, reply_id: str) -> None:
        """Return when the reply has ended, without reading it."""
        async with asyncio.timeout(10):
            while (await self.status(reply_id))[0] in ("PENDING", "STREAMING"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def kinds(events: list[Event]) -> list[str]:
    return [event["__typename"] for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event["text"] for event in events if event["__typename"] == "TextDelta")


def bytes_of(events: list[Event]) -> bytes:
    return json.dumps(events, ensure_ascii=False, sort_keys=False).encode()
