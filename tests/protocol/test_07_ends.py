"""Ends"""

from __future__ import annotations

import asyncio

import pytest

from models.chat_message import ChatMessage, MessageStatus
from rag.errors import ProviderTimeout
from resolvers.replies.run import INTERRUPTED
from resolvers.replies.service import ReplyService
from schema.node import row_id
from tests.protocol.conftest import Serve
from tests.protocol.person import Person, text_of

PAYLOAD = """{ __typename
  ... on SendMessagePayload { message { id } reply { id } } ... on InvalidInput { field } }"""
REGENERATE = f"""mutation($id: ID!, $key: String) {{
  regenerateReply(id: $id, clientKey: $key) {PAYLOAD} }}"""
EDIT = f"""mutation($id: ID!, $content: String!, $key: String) {{
  editMessage(id: $id, content: $content, clientKey: $key) {PAYLOAD} }}"""

pytestmark = pytest.mark.anyio


async def test_complete(person: Person) -> None:
    """| `COMPLETE` | the answer is whole | the text and its citations; if `grounded` is false, the
    documents do not cover the question |"""
    reply = (await person.ask())["reply"]
    assert (reply["status"], reply["grounded"], reply["failure"]) == ("COMPLETE", True, None)
    assert len(reply["citations"]) == 1
    reply = (await person.ask("xylophone zzz?"))["reply"]
    assert (reply["status"], reply["grounded"], reply["citations"]) == ("COMPLETE", False, [])


async def test_stopped(person: Person) -> None:
    """| `STOPPED` | somebody stopped it | the text so far |"""
    person.app.generator.script = ["You have 45 days [1].", asyncio.Event()]
    reply_id = (await person.send())["reply"]["id"]
    await person.read_until_text(reply_id, "You have 45 days [1].")
    stopped = await person.stop(reply_id)
    assert (stopped["status"], stopped["failure"]) == ("STOPPED", None)
    assert len(stopped["citations"]) == 1


async def test_interrupted(anyio_backend: str, database_url: str, serve: Serve) -> None:
    """| `INTERRUPTED` | the server went down | the text so far, and `failure` |"""
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        app.generator.script = ["One", " two", asyncio.Event()]
        reply_id = (await ada.send())["reply"]["id"]
        seen = await ada.read_until_text(reply_id, "One two")
    async with serve(database_url) as app:
        ada = await Person.enter(app)
        (ended,) = await ada.read(reply_id, seen[-1]["seq"])
        reply = ended["reply"]
        assert (reply["status"], reply["content"]) == ("INTERRUPTED", "One two")
        assert reply["failure"] == INTERRUPTED


async def test_failed(person: Person) -> None:
    """| `FAILED` | the model, the index or the store failed | the text so far, and `failure` |"""
    person.app.generator.script = ["Partly", ProviderTimeout("secret-host did not answer")]
    events = await person.chat()
    reply = events[-1]["reply"]
    assert (reply["status"], reply["content"]) == ("FAILED", "Partly")
    assert reply["failure"] == ProviderTimeout.user_message
    assert text_of(events) == "Partly"


async def test_an_empty_text(person: Person) -> None:
    """The text so far is exactly what the readers saw, and it may be empty."""
    person.app.generator.script = [ProviderTimeout("at once")]
    events = await person.chat()
    assert (text_of(events), events[-1]["reply"]["content"]) == ("", "")
    assert events[-1]["reply"]["status"] == "FAILED"


async def test_a_crash(anyio_backend: str, sqlite_url: str, serve: Serve) -> None:
    """A reply that a crash cut off has no `citations`, `usage` and `grounded`; use the `hits` of
    `SourcesFound`."""
    async with serve(sqlite_url) as app:
        ada = await Person.enter(app)
        app.generator.script = ["You have 45 days [1].", asyncio.Event()]
        reply_id = (await ada.send())["reply"]["id"]
        seen = await ada.read_until_text(reply_id, "You have 45 days [1].")
        # What a new process finds after kill -9: the rows, and no task.
        app.services.store.bind()
        fresh = ReplyService(
            app.services.store,
            app.services.clock,
            app.services.knowledge.pipeline,
            app.services.sessions,
        )
        assert await fresh.recover() == 1
    async with serve(sqlite_url) as app:
        ada = await Person.enter(app)
        events = await ada.read(reply_id)
        assert events[:-1] == seen
        assert len(events[1]["hits"]) >= 1
        reply = events[-1]["reply"]
        assert reply["content"] == "You have 45 days [1]."
        assert (reply["citations"], reply["usage"], reply["grounded"]) == ([], None, None)


async def test_another_answer(person: Person) -> None:
    """It takes a reply of any end status. A running one is refused with `InvalidInput`, field
    `id`."""
    gate = asyncio.Event()
    person.app.generator.script = ["Kept", gate]
    sent = await person.send()
    refused = await person.change(REGENERATE, id=sent["reply"]["id"])
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "id")
    gate.set()
    await person.wait_ended(sent["reply"]["id"])
    person.app.generator.script = ["Another."]
    old = row_id("ChatMessage", sent["reply"]["id"])
    for status in (
        MessageStatus.COMPLETE,
        MessageStatus.STOPPED,
        MessageStatus.INTERRUPTED,
        MessageStatus.FAILED,
    ):
        person.app.services.store.bind()
        assert await ChatMessage.filter(id=old).update(status=status) == 1
        again = await person.change(REGENERATE, id=sent["reply"]["id"])
        assert again["message"]["id"] == sent["message"]["id"]
        events = await person.read(again["reply"]["id"])
        assert text_of(events) == "Another."
        assert events[0]["message"]["id"] == sent["message"]["id"]
    assert await person.status(sent["reply"]["id"]) == ("FAILED", "Kept")


async def test_another_answer_once(person: Person) -> None:
    """Both answer like `sendMessage`, and a `clientKey` makes them safe to repeat in the same way.
    It must be a new key."""
    sent = await person.ask(clientKey="question")
    wishes = [
        (REGENERATE, {"id": sent["reply"]["id"]}),
        (EDIT, {"id": sent["message"]["id"], "content": "In other words?"}),
    ]
    for key, (operation, variables) in zip(("again", "edit"), wishes, strict=True):
        made = await asyncio.gather(
            *(person.change(operation, **variables, key=key) for _ in range(5))
        )
        assert {one["__typename"] for one in made} == {"SendMessagePayload"}
        (reply_id,) = {one["reply"]["id"] for one in made}
        assert reply_id != sent["reply"]["id"]
        await person.wait_ended(reply_id)
        later = await person.change(operation, **variables, key=key)
        assert later["reply"]["id"] == reply_id
        used = await person.change(operation, **variables, key="question")
        assert (used["__typename"], used["field"]) == ("InvalidInput", "clientKey")
    assert (await person.ask(clientKey="question"))["reply"] == sent["reply"]
