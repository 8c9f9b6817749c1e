"""A reply's life when things go wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.chat_message import ChatMessage, MessageStatus
from models.chat_session import ChatSession
from models.citation import Citation
from models.reply_log import ReplyEvent, ReplyLog
from models.user import User
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from resolvers.errors import RateLimited
from resolvers.replies.events import Delta, Ended, Event
from resolvers.replies.log import LogWriter
from resolvers.replies.service import ReplyService
from resolvers.replies.start import Question
from tests.application import Running, running_app, test_settings

pytestmark = pytest.mark.anyio

QUESTION = Question(content="Within how many days of delivery can I return an item?")


@pytest.fixture
async def user(scripted: Running) -> User:
    scripted.services.store.bind()
    return await User.create(email="a@example.com", display_name="A", password_hash="x")


@pytest.fixture
def replies(scripted: Running) -> ReplyService:
    return scripted.services.replies


async def read(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_what_a_crash_leaves_is_ended_with_exactly_what_was_seen(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """A fresh start ends a reply as INTERRUPTED with the committed text; readers can go on from
    any seq, without gap or repetition."""
    scripted.generator.script = ["One", " two", asyncio.Event()]
    accepted = await replies.start(user, QUESTION)
    seen: list[Event] = []
    async for event in replies.follow(accepted.reply.id):
        seen.append(event)
        if text_of(seen) == "One two":
            break
    # What a new process finds after kill -9: the rows, and no task.
    fresh = ReplyService(
        scripted.services.store,
        scripted.services.clock,
        scripted.services.knowledge.pipeline,
        scripted.services.sessions,
    )
    assert await fresh.recover() == 1
    assert await fresh.recover() == 0
    row = await ChatMessage.get(id=accepted.reply.id)
    assert row.status is MessageStatus.INTERRUPTED
    assert row.content == "One two"
    assert row.failure
    for after in range(len(seen) + 1):
        rest = await read(fresh.follow(accepted.reply.id, after))
        assert rest[: len(seen) - after] == seen[after:]
        assert rest[len(seen) - after :] == [Ended(len(seen) + 1)]
    assert await ReplyEvent.filter(reply_id=accepted.reply.id).count() == 0


async def test_nothing_is_shown_before_it_is_stored(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """Whenever a reader has an event, the database has it, too."""
    scripted.generator.script = [f"{n} " for n in range(50)]
    accepted = await replies.start(user, QUESTION)
    async for event in replies.follow(accepted.reply.id):
        if event.seq == 1:  # the reply's own row
            assert await ChatMessage.exists(id=accepted.reply.id)
            continue
        stored = await ReplyEvent.filter(reply_id=accepted.reply.id, seq=event.seq).exists()
        assert stored or await ReplyLog.filter(reply_id=accepted.reply.id).exists()


async def test_a_store_that_fails_for_a_while_loses_and_repeats_nothing(
    scripted: Running,
    replies: ReplyService,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While commits fail nothing is shown; afterwards everything is, once and in order."""
    gate = asyncio.Event()
    scripted.generator.script = ["a ", gate, *[f"{n} " for n in range(30)]]
    accepted = await replies.start(user, QUESTION)
    failures = 3
    write = LogWriter._write

    async def failing(self: LogWriter, batch: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("no space left on device")
        return await write(self, batch)

    monkeypatch.setattr(LogWriter, "_write", failing)
    gate.set()
    with caplog.at_level(logging.CRITICAL):
        events = await asyncio.wait_for(read(replies.follow(accepted.reply.id)), timeout=10)
    assert failures == 0
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert text_of(events) == "a " + "".join(f"{n} " for n in range(30)).rstrip() or text_of(
        events
    ) == "a " + "".join(f"{n} " for n in range(30))
    row = await ChatMessage.get(id=accepted.reply.id)
    assert row.content == text_of(events)


async def test_a_reply_that_cannot_be_stored_does_not_hold_up_others(
    scripted: Running,
    replies: ReplyService,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends as FAILED with what was seen of it; the others go on to their end."""
    gate = asyncio.Event()
    scripted.generator.script = ["ok ", gate, "more"]
    poisoned = await replies.start(user, QUESTION)
    other = await replies.start(user, QUESTION)
    await asyncio.sleep(0.1)
    write = LogWriter._write

    async def failing(self: LogWriter, batch: Any) -> Any:
        if any(running.reply_id == poisoned.reply.id for running, _ in batch):
            raise ValueError("this cannot be encoded")
        return await write(self, batch)

    monkeypatch.setattr(LogWriter, "_write", failing)
    gate.set()
    with caplog.at_level(logging.CRITICAL):
        bad, good = await asyncio.wait_for(
            asyncio.gather(
                read(replies.follow(poisoned.reply.id)), read(replies.follow(other.reply.id))
            ),
            timeout=20,
        )
    assert text_of(good) == "ok more"
    assert (await ChatMessage.get(id=other.reply.id)).status is MessageStatus.COMPLETE
    row = await ChatMessage.get(id=poisoned.reply.id)
    assert row.status is MessageStatus.FAILED
    assert row.failure
    assert row.content == text_of(bad)
    assert bad[-1] == Ended(len(bad))


async def test_halves_of_characters_from_a_provider_are_joined(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """A provider that splits an emoji over two pieces, or sends NUL, breaks nothing."""
    scripted.generator.script = ["smile \ud83d", "\ude00 a\0b \ud83d"]
    accepted = await replies.start(user, QUESTION)
    events = await asyncio.wait_for(read(replies.follow(accepted.reply.id)), timeout=10)
    row = await ChatMessage.get(id=accepted.reply.id)
    assert row.status is MessageStatus.COMPLETE
    assert row.content == text_of(events) == "smile 😀 ab \ufffd"


async def test_an_ended_reply_is_stored_compactly(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """The text is stored once; of the events only where each delta ended."""
    scripted.generator.script = [f"word{n} " for n in range(40)]
    accepted = await replies.start(user, QUESTION)
    events = await read(replies.follow(accepted.reply.id))
    await replies.wait(accepted.reply.id)
    assert await ReplyEvent.filter(reply_id=accepted.reply.id).count() == 0
    log = await ReplyLog.get(reply_id=accepted.reply.id)
    deltas = [event for event in events if isinstance(event, Delta)]
    assert len(log.delta_ends) == len(deltas)
    assert log.delta_ends[-1] == len(text_of(events))


async def test_many_replies_at_once_stay_apart(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """A hundred replies share the log's commits, and each has its own text, gapless."""
    scripted.generator.script = [piece for n in range(20) for piece in (f"{n} ", 0.001)]
    accepted = await asyncio.gather(*(replies.start(user, QUESTION) for _ in range(100)))
    logs = await asyncio.gather(*(read(replies.follow(one.reply.id)) for one in accepted))
    for events in logs:
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert text_of(events).split() == [str(n) for n in range(20)]
    assert await ChatMessage.filter(status=MessageStatus.COMPLETE).count() == 200


async def test_a_slow_reader_holds_nobody_up(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """The reply ends and others read it to its end, while one reader has taken a single event."""
    scripted.generator.script = [f"{n} " for n in range(200)]
    accepted = await replies.start(user, QUESTION)
    slow = replies.follow(accepted.reply.id)
    await anext(slow)
    others = await asyncio.gather(*(read(replies.follow(accepted.reply.id)) for _ in range(10)))
    assert all(other == others[0] for other in others)
    assert [others[0][0], *[event async for event in slow]] == others[0]


async def test_closing_ends_what_runs_and_refuses_what_comes(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """After the grace period replies are INTERRUPTED with their text; new questions are refused."""
    scripted.generator.script = ["Kept", asyncio.Event()]
    accepted = await replies.start(user, QUESTION)
    async for event in replies.follow(accepted.reply.id):
        if isinstance(event, Delta):
            break
    await replies.close(grace=0.05)
    row = await ChatMessage.get(id=accepted.reply.id)
    assert row.status is MessageStatus.INTERRUPTED
    assert row.content == "Kept"
    with pytest.raises(RateLimited, match="restart"):
        await replies.start(user, QUESTION)


async def test_a_question_that_is_refused_leaves_no_task(
    scripted: Running, replies: ReplyService, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the write fails, the search that was begun for it is given up, and nothing is stored."""

    async def failing(*_: Any, **__: Any) -> Any:
        raise OSError("no space left on device")

    monkeypatch.setattr("resolvers.replies.service.store_request", failing)
    for _ in range(10):
        with pytest.raises(OSError, match="no space"):
            await replies.start(user, QUESTION)
    await asyncio.sleep(0.05)
    left = [str(task.get_coro()) for task in asyncio.all_tasks()]
    assert not [one for one in left if "retrieve" in one or "embed" in one]
    assert await ChatMessage.all().count() == 0
    assert await ChatSession.all().count() == 0


async def test_followers_leave_nothing_behind(
    scripted: Running, replies: ReplyService, user: User
) -> None:
    """A thousand readers that come and go while a reply runs leave no task and no waiter."""
    gate = asyncio.Event()
    scripted.generator.script = ["a", gate]
    accepted = await replies.start(user, QUESTION)
    before = _tasks()
    for _ in range(1000):
        reader = replies.follow(accepted.reply.id)
        await anext(reader)
        await reader.aclose()
    waiting = [asyncio.create_task(read(replies.follow(accepted.reply.id))) for _ in range(50)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    running = replies._running[accepted.reply.id]
    assert len(running._changed) <= 1  # the reply's own task
    assert _tasks() <= before + 3  # jobs may begin one meanwhile
    gate.set()


def _tasks() -> int:
    """How many there are beside those of jobs, which begin when they like."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return sum(not name.startswith(("ingestion", "outbox")) for name in names)


async def test_a_deleted_document_stays_in_the_log(offline: Running, tmp_path: Path) -> None:
    """A reply that cites a document can be read again after the document was deleted; the
    citation's document is then null."""
    token = await offline.login()
    from tests.schema.operations import ASK, FOLLOW, HISTORY  # noqa: F401

    asked = await offline.data(ASK, {"i": {"content": QUESTION.content}}, token)
    reply = asked["ask"]["reply"]
    assert reply["citations"]
    from models.document import Document

    offline.services.store.bind()
    document = await Document.get(title="Returns")
    await offline.services.knowledge.remove(document)
    events = [
        payload["data"]["reply"]
        async for payload in offline.subscribe(FOLLOW, {"id": reply["id"]}, token)
    ]
    assert events[1]["hits"][0]["text"]
    assert events[-1]["reply"]["content"] == reply["content"]
    cited = [one for one in events[-1]["reply"]["citations"] if one["title"] == "Returns"]
    assert cited
    assert all(one["document"] is None for one in cited)
    assert [one["quote"] for one in cited] == [
        one["quote"] for one in reply["citations"] if one["title"] == "Returns"
    ]
    assert await Citation.filter(document_id=document.id).count() == len(cited)


async def test_the_provider_s_stream_is_closed_when_the_app_stops(
    sqlite_url: str, tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> None:
    """A server that stops cancels the generator and leaves no reply pending."""
    generator = ScriptedGenerator(["Text", asyncio.Event()])
    settings = test_settings(tmp_path, sqlite_url, shutdown_grace=0.05)
    async with running_app(settings, embedder=embedder, generator=generator) as app:
        app.services.store.bind()
        user = await User.create(email="a@example.com", display_name="A", password_hash="x")
        accepted = await app.services.replies.start(user, QUESTION)
        async for event in app.services.replies.follow(accepted.reply.id):
            if isinstance(event, Delta):
                break
    assert generator.aborted == 1
    assert generator.closed
    async with running_app(settings, embedder=embedder, generator=generator) as app:
        app.services.store.bind()
        row = await ChatMessage.get(id=accepted.reply.id)
        assert row.status is MessageStatus.INTERRUPTED
        assert row.content == "Text"
