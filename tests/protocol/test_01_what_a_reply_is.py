"""What a reply is"""

from __future__ import annotations

import asyncio

import pytest

from models.chat_message import ChatMessage, MessageStatus
from models.reply_log import ReplyLog
from schema.node import row_id
from tests.protocol.conftest import Serve
from tests.protocol.person import QUESTION, Person

pytestmark = pytest.mark.anyio


async def test_two_messages(person: Person) -> None:
    """They are stored together, before you get an answer."""
    sent = await person.send()
    messages = await person.messages(sent["session"]["id"])
    assert [message["id"] for message in messages] == [sent["message"]["id"], sent["reply"]["id"]]
    assert [message["role"] for message in messages] == ["USER", "ASSISTANT"]
    assert messages[1]["parent"] == {"id": sent["message"]["id"]}
    await person.read(sent["reply"]["id"])


async def test_written_by_itself(person: Person) -> None:
    """Whether anybody reads along makes no difference."""
    sent = await person.send()
    await person.wait_ended(sent["reply"]["id"])
    assert await person.status(sent["reply"]["id"]) == ("COMPLETE", "Hello world [1].")


async def test_a_question_is_complete(person: Person) -> None:
    """A question is always `COMPLETE`."""
    person.app.generator.script = [asyncio.Event()]
    sent = await person.send()
    assert await person.status(sent["message"]["id"]) == ("COMPLETE", QUESTION)
    await person.stop(sent["reply"]["id"])


async def test_a_new_reply(person: Person) -> None:
    """A new reply is `PENDING`, and its `content` is empty."""
    sent = await person.send()
    assert (sent["reply"]["status"], sent["reply"]["content"]) == ("PENDING", "")
    assert sent["reply"]["grounded"] is None
    await person.read(sent["reply"]["id"])


async def test_a_streaming_reply(person: Person) -> None:
    """While a reply is `STREAMING`, its `content` is still empty: the text comes as events."""
    gate = asyncio.Event()
    person.app.generator.script = ["One", gate, " two."]
    reply_id = (await person.send())["reply"]["id"]
    await person.read_until_text(reply_id, "One")
    assert await person.status(reply_id) == ("STREAMING", "")
    gate.set()
    assert (await person.read(reply_id))[-1]["reply"]["content"] == "One two."


async def test_an_ended_reply(person: Person) -> None:
    """An ended reply keeps its status and its text for good."""
    reply = (await person.ask())["reply"]
    assert (reply["status"], reply["content"]) == ("COMPLETE", "Hello world [1].")
    await person.stop(reply["id"])
    assert await person.status(reply["id"]) == ("COMPLETE", "Hello world [1].")


async def test_every_reply_ends(anyio_backend: str, database_url: str, serve: Serve) -> None:
    """What a crash left unfinished ends at the next start of the server."""
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        reply = (await ada.ask())["reply"]
        # What kill -9 leaves behind: a reply that says it runs, and no task.
        app.services.store.bind()
        key = row_id("ChatMessage", reply["id"])
        await ReplyLog.filter(reply_id=key).delete()
        await ChatMessage.filter(id=key).update(status=MessageStatus.STREAMING, content="")
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        assert await ada.status(reply["id"]) == ("INTERRUPTED", "")
