"""Pins, tags and ratings: each person's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from models.chat_session import ChatSession
from models.message_rating import MessageRating
from models.participant import Participant, ParticipantRole
from models.user import User
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from tests.application import Running, running_app, test_settings
from tests.schema.operations import ASK, SEND, STOP

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PIN = """mutation($id: ID!, $p: Boolean) { pinSession(id: $id, pinned: $p) { __typename
  ... on ChatSession { pinned tags archived } } }"""
TAG = """mutation($id: ID!, $t: [String!]!) { tagSession(id: $id, tags: $t) { __typename
  ... on ChatSession { tags pinned } ... on InvalidInput { field } } }"""
TAGS = "{ sessionTags { name count } }"
TAGGED = "query($t: String) { sessions(tag: $t) { edges { node { id } } } }"
RATE = """mutation($id: ID!, $r: Rating, $c: String) { rateReply(id: $id, rating: $r, comment: $c) {
  __typename ... on ChatMessage { rating ratingComment } } }"""
RATED = "query($id: ID!) { node(id: $id) { ... on ChatMessage { rating ratingComment } } }"


@pytest.fixture
async def app(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application on either database."""
    generator = ScriptedGenerator(["An answer."])
    async with running_app(
        test_settings(tmp_path, database_url), embedder=embedder, generator=generator
    ) as running:
        yield running


async def people(app: Running) -> tuple[str, str, str, dict[str, Any]]:
    """Owner, reader and stranger, and what the owner has asked."""
    owner, reader, stranger = [
        await app.login(f"{name}@example.com") for name in ("owner", "reader", "stranger")
    ]
    asked = (await app.data(ASK, {"i": {"content": "Question?"}}, owner))["ask"]
    app.services.store.bind()
    session = await ChatSession.all().first()
    assert session is not None
    await Participant.create(
        session_id=session.id,
        user_id=(await User.get(email="reader@example.com")).id,
        role=ParticipantRole.READER,
        active_at=NOW,
    )
    return owner, reader, stranger, asked


async def test_pins_are_one_s_own(app: Running) -> None:
    """Owner and reader pin for themselves; to a stranger there is no such session."""
    owner, reader, stranger, asked = await people(app)
    id = {"id": asked["session"]["id"]}
    assert (await app.data(PIN, id, reader))["pinSession"]["pinned"] is True
    seen = "query($id: ID!) { session(id: $id) { pinned } }"
    assert (await app.data(seen, id, owner))["session"] == {"pinned": False}
    assert (await app.data(seen, id, reader))["session"] == {"pinned": True}
    pinned = "{ sessions(pinned: true) { edges { node { id } } } }"
    assert len((await app.data(pinned, token=reader))["sessions"]["edges"]) == 1
    assert (await app.data(pinned, token=owner))["sessions"]["edges"] == []
    assert (await app.data(PIN, {**id, "p": False}, reader))["pinSession"]["pinned"] is False
    assert (await app.data(PIN, id, stranger))["pinSession"]["__typename"] == "NotFound"
    assert await app.code(PIN, id) == "UNAUTHENTICATED"


async def test_tags_are_one_s_own(app: Running) -> None:
    """Tags are trimmed, deduplicated and sorted, replace the earlier ones, and filter the list."""
    owner, reader, stranger, asked = await people(app)
    id = {"id": asked["session"]["id"]}
    made = await app.data(TAG, {**id, "t": [" Work ", "work", "Änd  erung", "a"]}, reader)
    assert made["tagSession"]["tags"] == ["a", "Work", "Änd erung"]
    assert (await app.data(TAGS, token=owner))["sessionTags"] == []
    for wanted, count in (("WORK", 1), (" änd erung ", 1), ("wor", 0), ("", 0)):
        found = await app.data(TAGGED, {"t": wanted}, reader)
        assert len(found["sessions"]["edges"]) == count, wanted
    assert (await app.data(TAGGED, {"t": "work"}, owner))["sessions"]["edges"] == []
    other = (await app.data(ASK, {"i": {"content": "Other"}}, reader))["ask"]["session"]["id"]
    again = await app.data(TAG, {"id": other, "t": ["WORK", "new"]}, reader)
    assert again["tagSession"]["tags"] == ["new", "Work"]
    assert (await app.data(TAGS, token=reader))["sessionTags"] == [
        {"name": "a", "count": 1},
        {"name": "new", "count": 1},
        {"name": "Work", "count": 2},
        {"name": "Änd erung", "count": 1},
    ]
    assert (await app.data(TAG, {**id, "t": []}, reader))["tagSession"]["tags"] == []
    assert len((await app.data(TAGGED, {"t": "work"}, reader))["sessions"]["edges"]) == 1
    assert (await app.data(TAG, {**id, "t": ["x"]}, stranger))["tagSession"][
        "__typename"
    ] == "NotFound"
    assert await app.code(TAG, {**id, "t": []}) == "UNAUTHENTICATED"
    assert await app.code(TAGS) == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "tags", [[""], ["  "], ["x" * 41], ["a\0b"], ["\ud800"], [f"tag {n}" for n in range(21)]]
)
async def test_unfit_tags_are_refused(scripted: Running, tags: list[str]) -> None:
    """They are InvalidInput on tags, and the earlier ones stay."""
    token = await scripted.login()
    asked = (await scripted.data(ASK, {"i": {"content": "Q"}}, token))["ask"]["session"]["id"]
    full = [f"{n:040}" for n in range(20)]
    assert (await scripted.data(TAG, {"id": asked, "t": full}, token))["tagSession"]["tags"] == full
    refused = (await scripted.data(TAG, {"id": asked, "t": tags}, token))["tagSession"]
    assert refused == {"__typename": "InvalidInput", "field": "tags"}
    assert len((await scripted.data(TAGS, token=token))["sessionTags"]) == 20


async def test_everyone_rates_for_themselves(app: Running) -> None:
    """One rating per person, replaced as a whole, seen by nobody else, taken back with null."""
    owner, reader, stranger, asked = await people(app)
    id = {"id": asked["reply"]["id"]}
    up = await app.data(RATE, {**id, "r": "UP", "c": "  Good \n"}, owner)
    assert up["rateReply"] == {"__typename": "ChatMessage", "rating": "UP", "ratingComment": "Good"}
    down = await app.data(RATE, {**id, "r": "DOWN", "c": "x" * 2000}, reader)
    assert down["rateReply"]["rating"] == "DOWN"
    assert (await app.data(RATED, id, owner))["node"] == {"rating": "UP", "ratingComment": "Good"}
    await asyncio.gather(*(app.data(RATE, {**id, "r": "DOWN"}, owner) for _ in range(10)))
    assert (await app.data(RATED, id, owner))["node"] == {"rating": "DOWN", "ratingComment": None}
    assert await MessageRating.all().count() == 2
    assert (await app.data(RATE, {**id, "r": None, "c": "x"}, owner))["rateReply"]["rating"] is None
    assert (await app.data(RATE, id, owner))["rateReply"]["rating"] is None
    assert await MessageRating.all().count() == 1
    for wrong in (asked["message"]["id"], asked["session"]["id"], "x"):
        result = await app.data(RATE, {"id": wrong, "r": "UP"}, owner)
        assert result["rateReply"]["__typename"] == "NotFound"
    assert (await app.data(RATE, {**id, "r": "UP"}, stranger))["rateReply"][
        "__typename"
    ] == "NotFound"
    assert await app.code(RATE, {**id, "r": "UP"}) == "UNAUTHENTICATED"
    assert await MessageRating.all().count() == 1


async def test_only_ended_replies_are_rated(scripted: Running) -> None:
    """A running reply and an unfit comment are BAD_USER_INPUT, and leave nothing."""
    scripted.generator.script = ["Text", asyncio.Event()]
    token = await scripted.login()
    sent = (await scripted.data(SEND, {"i": {"content": "Q"}}, token))["sendMessage"]
    id = {"id": sent["reply"]["id"]}
    assert await scripted.code(RATE, {**id, "r": "UP"}, token) == "BAD_USER_INPUT"
    await scripted.data(STOP, id, token)
    for comment in ("x" * 2001, "a\0b", "\ud800"):
        assert await scripted.code(RATE, {**id, "r": "UP", "c": comment}, token) == "BAD_USER_INPUT"
    assert (await scripted.data(RATED, id, token))["node"]["rating"] is None
    assert (await scripted.data(RATE, {**id, "r": "UP"}, token))["rateReply"]["rating"] == "UP"
