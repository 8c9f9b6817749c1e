"""Events"""

from __future__ import annotations

import asyncio

import pytest

from rag.errors import ProviderTimeout
from tests.protocol.conftest import Serve
from tests.protocol.person import Person, bytes_of, kinds, text_of
from tests.schema.operations import STOP

pytestmark = pytest.mark.anyio


async def test_numbers(person: Person) -> None:
    """The events of a reply are numbered: `seq` counts 1, 2, 3 … without a gap."""
    events = await person.chat()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_reply_id(person: Person) -> None:
    """Every event names its reply in `replyId`."""
    events = await person.chat()
    assert {event["replyId"] for event in events} == {events[-1]["reply"]["id"]}


async def test_order(person: Person) -> None:
    """| `ReplyStarted` | 1 | once |"""
    events = await person.chat()
    texts = ["TextDelta"] * (len(events) - 3)
    assert kinds(events) == ["ReplyStarted", "SourcesFound", *texts, "ReplyEnded"]
    assert len(texts) >= 1
    assert events[0]["message"]["id"]
    assert [events[0]["session"]["id"]] == await person.sessions()


async def test_stop_is_an_event_like_others(person: Person) -> None:
    """| `ReplyEnded` | the last | once | the reply, with its status |"""
    person.app.generator.script = ["Kept", asyncio.Event()]
    reply_id = (await person.send())["reply"]["id"]
    seen = await person.read_until_text(reply_id, "Kept")
    stopped = (await person.app.data(STOP, {"id": reply_id}, person.token))["stopReply"]
    rest = await person.read(reply_id, seen[-1]["seq"])
    assert kinds(rest) == ["ReplyEnded"]
    assert {"__typename": "ChatMessage", **rest[0]["reply"]} == stopped


async def test_sources_first(person: Person) -> None:
    """It is missing only if the reply ended before the sources were known."""
    sent = await person.send()
    await person.stop(sent["reply"]["id"])
    early = await person.read(sent["reply"]["id"])
    assert kinds(early)[0] == "ReplyStarted"
    assert kinds(early)[-1] == "ReplyEnded"
    assert [event["seq"] for event in early] == list(range(1, len(early) + 1))
    assert text_of(early) == "" or kinds(early)[1] == "SourcesFound"


async def test_no_sources(person: Person) -> None:
    """Its `hits` are empty if nothing fits."""
    events = await person.chat("xylophone zzz?")
    assert events[1]["hits"] == []
    assert events[-1]["reply"]["grounded"] is False


async def test_markers(person: Person) -> None:
    """`[n]` in the text refers to `hits[n - 1]`."""
    events = await person.chat()
    citation = events[-1]["reply"]["citations"][0]
    hit = events[1]["hits"][citation["number"] - 1]
    assert citation["document"]["id"] == hit["document"]["id"]
    assert hit["startOffset"] <= citation["startOffset"] < citation["endOffset"]
    assert citation["endOffset"] <= hit["endOffset"]


async def test_joined_texts(person: Person) -> None:
    """The texts of all `TextDelta` joined are exactly the `content` of the ended reply."""
    script = ["  One\r\n", "\ttwo ", "\u00e9e\u0301 🎉", "日本", "語  \n", ProviderTimeout("slow")]
    person.app.generator.script = script
    events = await person.chat()
    assert events[-1]["reply"]["status"] == "FAILED"
    assert text_of(events) == events[-1]["reply"]["content"]
    assert text_of(events) == "".join(piece for piece in script if isinstance(piece, str))


async def test_whole_characters(person: Person) -> None:
    """A `TextDelta` is never empty. It may end in the middle of a word or a line. It never ends in
    the middle of a Unicode code point."""
    person.app.generator.script = ["", "wo", "rd \ud83c", "\udf89", "", "."]
    texts = [event["text"] for event in await person.chat() if "text" in event]
    assert "".join(texts) == "word 🎉."
    for text in texts:
        assert text.encode("utf-8")


async def test_the_same_for_everybody(anyio_backend: str, database_url: str, serve: Serve) -> None:
    """So all readers get the same `seq` with the same text, byte for byte: during the reply, later,
    and after a restart."""
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        gate = asyncio.Event()
        pieces = [f" piece {number} 🎉" for number in range(20)]
        app.generator.script = [*pieces[:10], gate, *pieces[10:], " [1]"]
        reply_id = (await ada.send())["reply"]["id"]
        early = [asyncio.create_task(ada.read(reply_id)) for _ in range(3)]
        await ada.read_until_text(reply_id, "".join(pieces[:10]))
        late = asyncio.create_task(ada.read(reply_id, 7))
        gate.set()
        first, *others = await asyncio.gather(*early)
        assert len(first) >= 4
        assert {bytes_of(other) for other in others} == {bytes_of(first)}
        assert bytes_of(await late) == bytes_of(first[7:])
        assert bytes_of(await ada.read(reply_id)) == bytes_of(first)
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        for after in range(len(first) + 1):
            assert bytes_of(await ada.read(reply_id, after)) == bytes_of(first[after:])


async def test_never_taken_back(anyio_backend: str, sqlite_url: str, serve: Serve) -> None:
    """An event that you have seen is never taken back."""
    async with serve(sqlite_url) as app:
        ada = await Person.enter(app)
        app.generator.script = ["One", " two", asyncio.Event()]
        reply_id = (await ada.send())["reply"]["id"]
        seen = await ada.read_until_text(reply_id, "One two")
    async with serve(sqlite_url) as app:
        ada = await Person.enter(app)
        events = await ada.read(reply_id)
        assert bytes_of(events[: len(seen)]) == bytes_of(seen)
        assert kinds(events[len(seen) :]) == ["ReplyEnded"]
        assert events[-1]["reply"]["status"] == "INTERRUPTED"
        assert events[-1]["reply"]["content"] == "One two"


async def test_offsets(person: Person) -> None:
    """Offsets (`startOffset`, `endOffset`) count Unicode code points, and `endOffset` is the first
    one behind the text."""
    reply = (await person.chat())[-1]["reply"]
    for citation in reply["citations"]:
        content = citation["document"]["content"]
        assert content[citation["startOffset"] : citation["endOffset"]] == citation["quote"]
    assert len(reply["citations"]) == 1
