"""Titles that are made beside the conversation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from models.chat_message import ChatMessage, MessageStatus
from models.chat_session import ChatSession, TitleSource
from models.store import Store
from rag.pipeline import Pipeline
from rag.titles import generate_title, question_title
from resolvers.replies.start import NEW_SESSION
from resolvers.session_bus import SessionBus, SessionChanged

log = logging.getLogger("groundql.titles")

# Seconds that the model has for a title, the connection included.
TIME_LIMIT = 10.0


class SessionTitles:
    """Gives a session its title after its first complete reply, unless a person gave it one.

    Nothing waits for it, and whatever goes wrong is a line in the log: the session keeps the title
    that was made from its question.
    """

    def __init__(
        self,
        store: Store,
        pipeline: Callable[[], Awaitable[Pipeline]],
        sessions: SessionBus,
        *,
        ask_model: bool = True,
    ) -> None:
        """Without `ask_model`, titles stay those of the questions."""
        self._store = store
        self._pipeline = pipeline
        self._sessions = sessions
        self._ask_model = ask_model
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(self, session_id: UUID, reply_id: UUID) -> None:
        """Start to make a title; returns at once."""
        if self._closed:
            return
        task = asyncio.create_task(self._run(session_id, reply_id), name=f"title-{session_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what has not ended."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Return when everything that was begun has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, session_id: UUID, reply_id: UUID) -> None:
        self._store.bind()
        try:
            await self._make(session_id, reply_id)
        except TimeoutError:
            log.warning("No title for session %s within %g s", session_id, TIME_LIMIT)
        except Exception as error:
            log.warning("No title for session %s: %s", session_id, error)

    async def _make(self, session_id: UUID, reply_id: UUID) -> None:
        reply = await ChatMessage.get_or_none(id=reply_id).select_related("parent", "session")
        if reply is None or reply.parent is None or reply.status is not MessageStatus.COMPLETE:
            return
        if reply.session.title_source is not TitleSource.QUESTION:
            return
        question = reply.parent.content
        if reply.session.title == NEW_SESSION:
            # The session was begun before its first question.
            await self._store_title(session_id, question_title(question), TitleSource.QUESTION)
        if not self._ask_model:
            return
        generator = (await self._pipeline()).generator
        if generator.provider == "offline":
            return
        async with asyncio.timeout(TIME_LIMIT):
            title = await generate_title(generator, question, reply.content)
        if title is not None:
            await self._store_title(session_id, title, TitleSource.MODEL)

    async def _store_title(self, session_id: UUID, title: str, source: TitleSource) -> None:
        """In one statement, so that a person's title, given meanwhile, stays."""
        untitled = ChatSession.filter(id=session_id, title_source=TitleSource.QUESTION)
        if await untitled.update(title=title, title_source=source):
            self._sessions.publish(session_id, SessionChanged())
