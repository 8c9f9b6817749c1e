"""Pieces of text sent past the executor are what the executor would have sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st
from strawberry.types import ExecutionResult

from models.base import new_id
from models.chat_message import ChatMessage
from resolvers.replies.events import Delta, Event, Sources
from schema.context import Info
from schema.reply_events import (
    ReplyEnded,
    ReplyEvent,
    ReplyStarted,
    SourcesFound,
    TextDelta,
    reply_events,
)
from transport.direct import Direct
from transport.encoding import encode_json

ROW = ChatMessage(id=new_id())
TEXTS = ("Hello", ' "quoted" \\ \n', "é😀", "\ud83d")


async def _events() -> AsyncGenerator[Event, None]:
    yield Sources(2, ())
    for place, text in enumerate(TEXTS):
        yield Delta(3 + place, text)


@strawberry.type
class Query:
    ok: bool = True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def reply(self, info: Info) -> AsyncGenerator[ReplyEvent, None]:
        async for event in reply_events(info, _events(), ROW):
            yield event


SCHEMA = strawberry.Schema(
    Query, subscription=Subscription, types=[ReplyStarted, SourcesFound, TextDelta, ReplyEnded]
)


def stream(query: str, *, direct: bool) -> list[Any]:
    """The results as JSON, each with whether it was sent directly."""

    async def collect() -> list[tuple[bytes, bool]]:
        found: list[tuple[bytes, bool]] = []

        async def send(data: dict[str, Any]) -> bool:
            found.append((encode_json({"data": data}), True))
            return True

        results = await SCHEMA.stream(query, root_value=Direct(send) if direct else None)
        async for result in results:
            assert isinstance(result, ExecutionResult)
            assert not result.errors, result.errors
            found.append((encode_json({"data": result.data}), False))
        return found

    return asyncio.run(collect())


def check(selection: str, fragments: str = "", *, short: bool) -> None:
    query = f"subscription {{ events: reply {{ {selection} }} }} {fragments}"
    executed = stream(query, direct=False)
    sent = stream(query, direct=True)
    assert [data for data, _ in sent] == [data for data, _ in executed]
    assert [way for _, way in executed] == [False] * 5
    assert [way for _, way in sent] == [False] + [short] * 4


@pytest.mark.parametrize(
    ("selection", "fragments"),
    [
        ("seq", ""),
        ("... on TextDelta { text }", ""),
        ("... on ReplyStarted { session { id } }", ""),
        ("b: seq __typename a: seq ... { replyId seq ... on TextDelta { text seq } }", ""),
        (
            "...A ...B ...A",
            "fragment A on ReplyEvent { seq ...B } fragment B on TextDelta { text }",
        ),
        ("... on TextDelta { text } ... on TextDelta { text kind: __typename }", ""),
        ("... on SourcesFound { hits { text } n: seq } ... on TextDelta { n: seq }", ""),
    ],
)
def test_plain_selections_go_the_short_way(selection: str, fragments: str) -> None:
    """Aliases, fragments and merged fields give the same bytes as execution."""
    check(selection, fragments, short=True)


@pytest.mark.parametrize(
    ("selection", "fragments"),
    [
        ("seq @include(if: true) ... on TextDelta { text }", ""),
        ("seq ... on TextDelta { text @skip(if: true) }", ""),
        ("seq ... on TextDelta @include(if: false) { text }", ""),
        ("seq ...A @skip(if: false)", "fragment A on TextDelta { text }"),
    ],
)
def test_directives_take_the_executor(selection: str, fragments: str) -> None:
    """A directive is never decided here."""
    check(selection, fragments, short=False)


_FIELDS = st.sampled_from(["seq", "replyId", "__typename", "a_seq: seq", "b_id: replyId"])
_TEXT = st.lists(
    st.one_of(_FIELDS, st.sampled_from(["text", "t: text", "...Text", "... { text }"])),
    min_size=1,
    max_size=4,
).map(" ".join)
_SELECTION = st.recursive(
    st.one_of(
        _FIELDS,
        st.just("...Any"),
        _TEXT.map("... on TextDelta {{ {} }}".format),
        st.just("... on SourcesFound { x: seq hits { score } }"),
    ),
    lambda inner: st.lists(inner, min_size=1, max_size=4).flatmap(
        lambda parts: st.sampled_from(["... {{ {} }}", "... on ReplyEvent {{ {} }}"]).map(
            lambda form: form.format(" ".join(parts))
        )
    ),
    max_leaves=8,
)
_FRAGMENTS = {
    "Text": "fragment Text on TextDelta { c_seq: seq text }",
    "Any": "fragment Any on ReplyEvent { seq d_id: replyId }",
}


@given(st.lists(_SELECTION, min_size=1, max_size=4).map(" ".join))
def test_any_plain_selection_gives_the_same_bytes(selection: str) -> None:
    """Whatever is nested, repeated and renamed."""
    used = [text for name, text in _FRAGMENTS.items() if f"...{name}" in selection]
    check(selection, " ".join(used), short=True)
