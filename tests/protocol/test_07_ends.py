"""Ends"""

from __future__ import annotations

import asyncio

import pytest

from rag.errors import ProviderTimeout
from resolvers.replies.run import INTERRUPTED
from resolvers.replies.service import ReplyService
from tests.protocol.conftest import Serve
from tests.protocol.person import Person, text_of

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
