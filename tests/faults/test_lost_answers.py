"""The store did what it was told, and the answer was lost: nothing is written or shown twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.chat_message import ChatMessage, MessageStatus
from models.errors import StoreUnavailable
from models.statements import Statement
from models.store import Store
from models.user import User
from rag.embedding.fake import FakeEmbedder
from rag.generation.scripted import ScriptedGenerator
from resolvers.replies import service
from resolvers.replies.events import Delta
from resolvers.replies.start import Question
from tests.application import running_app, test_settings, write_documents

pytestmark = pytest.mark.anyio

write = Store.write


async def test_commits_whose_answer_is_lost(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second commit of the log fails after it was made, the first one, too; each reply has
    its text once, in events without gap or repetition, and its own end."""
    pieces = [piece for number in range(30) for piece in (f"{number} ", 0.01)]
    generator = ScriptedGenerator(pieces)
    write_documents(tmp_path / "kb")
    settings = test_settings(tmp_path, f"sqlite://{tmp_path / 'test.db'}")
    async with running_app(settings, embedder=FakeEmbedder(), generator=generator) as app:
        app.services.store.bind()
        user = await User.create(email="a@example.com", display_name="A", password_hash="x")
        replies = app.services.replies
        accepted = [await replies.start(user, Question("Returns?")) for _ in range(3)]
        commits = 0

        async def losing(self: Store, statements: Sequence[Statement]) -> None:
            nonlocal commits
            await write(self, statements)
            commits += 1
            if commits % 2:
                raise StoreUnavailable("no answer")

        monkeypatch.setattr(Store, "write", losing)
        async with asyncio.timeout(60):
            read = [[event async for event in replies.follow(one.reply.id)] for one in accepted]
        assert commits >= 4
        for one, events in zip(accepted, read, strict=True):
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            text = "".join(event.text for event in events if isinstance(event, Delta))
            assert text == "".join(piece for piece in pieces if isinstance(piece, str))
            row = await ChatMessage.get(id=one.reply.id)
            assert (row.status, row.content) == (MessageStatus.COMPLETE, text)
            assert [event async for event in replies.follow(one.reply.id)] == events


async def test_a_question_whose_answer_is_lost(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that was stored without anyone knowing does not block its session: its reply is
    ended, and sending the question again with its key finds it."""
    monkeypatch.setattr(service, "ORPHANS", 0.05)
    write_documents(tmp_path / "kb")
    settings = test_settings(tmp_path, f"sqlite://{tmp_path / 'test.db'}")
    generator = ScriptedGenerator(["Yes."])
    async with running_app(settings, embedder=FakeEmbedder(), generator=generator) as app:
        app.services.store.bind()
        user = await User.create(email="a@example.com", display_name="A", password_hash="x")
        replies = app.services.replies

        async def losing(self: Store, statements: Sequence[Statement]) -> None:
            monkeypatch.undo()
            await write(self, statements)
            raise StoreUnavailable("no answer")

        monkeypatch.setattr(Store, "write", losing)
        question = Question("Returns?", client_key="once")
        with pytest.raises(StoreUnavailable):
            await replies.start(user, question)
        again = await replies.start(user, question)
        assert again.fresh is False
        async with asyncio.timeout(10):
            await replies.wait(again.reply.id)
        row = await ChatMessage.get(id=again.reply.id)
        assert row.status is MessageStatus.INTERRUPTED
        assert await ChatMessage.all().count() == 2
        later = await replies.start(user, Question("And now?", session_id=again.session.id))
        async with asyncio.timeout(10):
            await replies.wait(later.reply.id)
        assert (await ChatMessage.get(id=later.reply.id)).content == "Yes."
