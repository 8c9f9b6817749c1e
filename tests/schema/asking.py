"""Asking questions in the tests of the schema."""

from __future__ import annotations

from typing import Any

from tests.application import Running
from tests.schema.operations import ASK, FOLLOW, SEND

QUESTION = "Within how many days of delivery can I return an item?"
STRANGE_IDS = ["", "x", "Q2hhdFNlc3Npb246MQ==", "VXNlcjowMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDA="]


def question(content: str = QUESTION, **more: Any) -> dict[str, Any]:
    return {"i": {"content": content, **more}}


async def send(app: Running, token: str, content: str = QUESTION, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = (await app.data(SEND, question(content, **more), token))["sendMessage"]
    return result


async def ask(app: Running, token: str, content: str = QUESTION, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = (await app.data(ASK, question(content, **more), token))["ask"]
    return result


async def follow(app: Running, token: str, reply_id: str, after: int = 0) -> list[dict[str, Any]]:
    return [
        payload["data"]["reply"]
        async for payload in app.subscribe(FOLLOW, {"id": reply_id, "a": after}, token)
    ]
