"""Replies from their start to their end, and everyone who follows them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from uuid import UUID
from weakref import WeakValueDictionary

from models.chat_message import RUNNING, ChatMessage, MessageStatus
from models.errors import is_unavailable
from models.store import Store
from models.user import User
from rag.pipeline import Pipeline
from rag.query import looks_dependent
from rag.types import Retrieval
from resolvers.answers.approved import ApprovedAnswers
from resolvers.clock import Clock
from resolvers.errors import InvalidInput, RateLimited
from resolvers.knowledge import audiences
from resolvers.rates import Rates, Reservation
from resolvers.replies.addressing import without_address
from resolvers.replies.events import Delta, Event, Sources, Started
from resolvers.replies.log import LogWriter, finish_reply
from resolvers.replies.run import INTERRUPTED, Found, RetrievalTask, run_reply
from resolvers.replies.running import Ending, RunningReply
from resolvers.replies.start import (
    STILL_RUNNING,
    Accepted,
    Place,
    PlaceTaken,
    Question,
    Request,
    StillRunning,
    check_request,
    find_earlier,
    find_place,
    store_request,
)
from resolvers.replies.stored import read_growing, read_stored
from resolvers.session_bus import MessageAdded, MessageChanged, SessionBus

log = logging.getLogger("groundql.replies")

# After a write that failed, replies that nobody generates are looked for so often. Seconds.
ORPHANS = 3.0
# How often a reply that runs in another process is looked at. Seconds.
POLL = 0.25


class ReplyService:
    """Owns the tasks that generate replies; sockets only read along."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        pipeline: Callable[[], Awaitable[Pipeline]],
        sessions: SessionBus,
        *,
        queue: bool = False,
        approved: ApprovedAnswers | None = None,
        rates: Rates | None = None,
    ) -> None:
        """`pipeline()` returns as soon as questions can be answered. With `queue`, what comes while
        the reply before it is written waits for its end; else it is refused. `approved` answers are
        given to questions that have one."""
        self._store = store
        self._clock = clock
        self._pipeline = pipeline
        self._sessions = sessions
        self._queue = queue
        self._approved = approved
        self._rates = rates
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._writer = LogWriter(store, clock)
        self._running: dict[UUID, RunningReply] = {}
        self._closing = False
        self._accepting: set[asyncio.Task[Accepted]] = set()
        # Called with session and reply when the first reply of a session has ended.
        self.first_reply_ended: Callable[[UUID, UUID], None] = lambda session_id, reply_id: None
        # Called with a question's id and what was found for it, when that was nothing of use.
        self.nothing_found: Callable[[UUID, Retrieval, Pipeline], None] = lambda *_: None
        self._in_doubt = False
        self._clearing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the log's writer, and end the replies that a crash left unfinished."""
        await self.recover()
        self._writer.start()

    async def close(self, *, grace: float) -> None:
        """Take no new questions, let running replies finish for `grace` seconds, end the rest."""
        self._closing = True
        if self._clearing is not None:
            self._clearing.cancel()
        await self._wait_until_idle(grace)
        for running in list(self._running.values()):
            running.cancel()
        # Their last commit; a store that is away must not hold up the stop for ever.
        await self._wait_until_idle(5)
        await self._writer.close()

    async def _wait_until_idle(self, seconds: float) -> None:
        """Wait until nothing runs, also what is being accepted right now."""
        end = asyncio.get_running_loop().time() + seconds
        while self._running or self._accepting:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return
            tasks = [running.task for running in self._running.values() if running.task]
            if self._accepting or not tasks:
                await asyncio.sleep(min(0.01, left))
            else:
                await asyncio.wait(tasks, timeout=left)

    async def start(self, user: User, request: Request, *, address: str = "") -> Accepted:
        """Store a question with its reply and begin to generate.

        The search for sources begins before the write, so that their times overlap; nothing of it
        is kept if the write is refused.

        Raises:
            InvalidInput, NotFound, Forbidden
            RateLimited: the server is stopping; or the person, or their `address`, is too fast or
                has used up the tokens of the day. What was sent before is answered all the same.
        """
        check_request(request)
        session_id = request.session_id if isinstance(request, Question) else request.session.id
        if not self._queue or session_id is None:
            return await self._start_now(user, request, address)
        turn = self._turns.setdefault(session_id, asyncio.Lock())
        async with turn:  # fair: who came first is asked first
            while True:
                try:
                    return await self._start_now(user, request, address)
                except StillRunning as error:
                    running = error.reply_id
                await self.wait(running)

    async def _start_now(self, user: User, request: Request, address: str) -> Accepted:
        if self._closing:
            raise RateLimited(
                "The server is about to restart; send it again.", retry_after_seconds=5
            )
        # A caller who goes away must not leave a stored question whose reply nobody generates.
        accepting = asyncio.create_task(self._accept_in_order(user, request, address))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepted)
        return await asyncio.shield(accepting)

    def _accepted(self, task: asyncio.Task[Accepted]) -> None:
        self._accepting.discard(task)
        if not task.cancelled():
            task.exception()  # the caller has it, or is gone

    async def _accept_in_order(self, user: User, request: Request, address: str) -> Accepted:
        session_id = request.session_id if isinstance(request, Question) else request.session.id
        async with self._sessions.in_order(session_id):
            return await self._accept(user, request, address)

    async def _accept(self, user: User, request: Request, address: str) -> Accepted:
        counted = False
        for _ in range(5):
            if (earlier := await find_earlier(user, request)) is not None:
                return earlier
            try:
                place = await find_place(user, request)
                if not counted and self._rates is not None:
                    await self._rates.take_message(user.id, address)
                    counted = True
                return await self._accept_new(user, request, place)
            except PlaceTaken:
                continue
            except StillRunning:
                # What runs may be this very request, sent twice at once.
                if (earlier := await find_earlier(user, request)) is not None:
                    return earlier
                raise
        raise InvalidInput("sessionId", STILL_RUNNING)

    async def _accept_new(self, user: User, request: Request, place: Place) -> Accepted:
        budget = None if self._rates is None else await self._rates.reserve_tokens(user.id)
        storing = asyncio.create_task(store_request(self._store, self._clock, user, request, place))
        # The write is on its way to the disk before the model takes the processor.
        await asyncio.sleep(0)
        retrieval = asyncio.create_task(self._retrieve(user, place, storing))
        try:
            accepted = await storing
        except BaseException as error:
            retrieval.cancel()
            if is_unavailable(error):
                self._doubt()
            if budget is not None:
                await budget.settle(0)
            raise
        self._run(accepted, place, retrieval, budget)
        if place.message is None:
            added = MessageAdded(accepted.message.id, accepted.message.author_id)
            self._sessions.publish(accepted.session.id, added)
        self._sessions.publish(accepted.session.id, MessageAdded(accepted.reply.id))
        return accepted

    async def _retrieve(
        self, user: User, place: Place, storing: asyncio.Task[Accepted]
    ) -> tuple[Pipeline, Found]:
        pipeline = await self._pipeline()
        question = without_address(place.content)
        started = pipeline.start_query(question, history=place.history)
        try:
            # While the model works: who is in the session once the question is stored, and what do
            # all of them see?
            await asyncio.wait([storing])
            if storing.cancelled() or storing.exception() is not None:
                raise asyncio.CancelledError
            session_id = storing.result().session.id
            if self._may_be_approved(place, question) and self._approved is not None:
                given = await self._approved.find(
                    question, (await started.vectors)[0], asker_id=user.id, session_id=session_id
                )
                if given is not None:
                    return pipeline, given
            visible = await audiences.visible_in_session(self._store, user.id, session_id)
        except BaseException:
            started.cancel()
            raise
        return pipeline, await pipeline.retrieve_sources(
            question,
            history=place.history,
            filter=audiences.narrowed(place.filter, visible),
            started=started,
        )

    def _may_be_approved(self, place: Place, question: str) -> bool:
        """Not a question that leans on the one before, one about some documents only, nor one that
        wants another answer than it had."""
        if self._approved is None or self._approved.is_empty:
            return False
        return not (
            place.message is not None
            or not place.filter.is_empty()
            or (place.history and looks_dependent(question))
        )

    def _run(
        self,
        accepted: Accepted,
        place: Place,
        retrieval: RetrievalTask,
        budget: Reservation | None,
    ) -> None:
        running = RunningReply(accepted.reply.id, accepted.session.id, started=Started(1))
        self._running[running.reply_id] = running
        running.task = asyncio.create_task(
            self._generate(running, place, retrieval, accepted.message.id, budget),
            name=f"reply-{running.reply_id}",
        )

    async def _generate(
        self,
        running: RunningReply,
        place: Place,
        retrieval: RetrievalTask,
        message_id: UUID,
        budget: Reservation | None,
    ) -> None:
        try:
            found = await run_reply(
                running,
                retrieval=retrieval,
                history=place.history,
                touch=self._writer.touch,
            )
            await running.wait_closed()
            if isinstance(found, Retrieval) and not found.grounded and found.searched:
                self.nothing_found(message_id, found, await self._pipeline())
        finally:
            retrieval.cancel()
            if budget is not None:
                await budget.settle(running.used_tokens or 0)
            self._running.pop(running.reply_id, None)
            self._sessions.publish(running.session_id, MessageChanged(running.reply_id))
            if place.parent is None:
                self.first_reply_ended(running.session_id, running.reply_id)

    async def follow(self, reply_id: UUID, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events after seq `after`: stored ones, then live ones, without gap or repetition.

        Closing the generator ends the reading and nothing else.
        """
        while True:
            running = self._running.get(reply_id)
            if running is not None:
                async for event in running.read(after):
                    yield event
                return
            events, ended = await read_stored(reply_id, after)
            for event in events:
                after = event.seq
                yield event
            if ended:
                return
            if reply_id not in self._running:
                await asyncio.sleep(POLL)

    async def wait(self, reply_id: UUID) -> None:
        """Return when the reply has ended and its row says so."""
        running = self._running.get(reply_id)
        if running is not None:
            await running.wait_closed()
            return
        # Another process runs it: there is no event here to wait for.
        while await ChatMessage.filter(id=reply_id, status__in=RUNNING).exists():  # noqa: ASYNC110
            await asyncio.sleep(POLL)

    async def stop(self, reply_id: UUID) -> None:
        """End a running reply as STOPPED; what was generated stays. Ended ones are left alone."""
        running = self._running.get(reply_id)
        if running is None:
            return
        running.stop_requested = True
        running.cancel()
        await running.wait_closed()

    async def stop_session(self, session_id: UUID) -> None:
        """End all running replies of a session."""
        for running in list(self._running.values()):
            if running.session_id == session_id:
                await self.stop(running.reply_id)

    async def recover(self) -> int:
        """End the replies that a crash left unfinished, as INTERRUPTED, with exactly the text that
        was committed, and so seen. Returns how many."""
        begun = time.perf_counter()
        left = await ChatMessage.filter(status__in=RUNNING)
        await self._interrupt(left)
        if left:
            log.warning(
                "Ended %s replies that the last run left unfinished, in %.2f s",
                len(left),
                time.perf_counter() - begun,
            )
        return len(left)

    def _doubt(self) -> None:
        """A write whose answer was lost may have stored a question whose reply nobody generates."""
        self._in_doubt = True
        if self._clearing is None or self._clearing.done():
            self._clearing = asyncio.create_task(self._end_orphans(), name="reply-orphans")

    async def _end_orphans(self) -> None:
        while self._in_doubt:
            await asyncio.sleep(ORPHANS)
            self._in_doubt = False
            try:
                rows = await ChatMessage.filter(status__in=RUNNING).only("id")
                # What is being accepted now is in `_running` afterwards, or failed. What runs stays
                # there until its end is written.
                if self._accepting:
                    await asyncio.wait(list(self._accepting))
                unknown = [row.id for row in rows if row.id not in self._running]
                orphans = await ChatMessage.filter(id__in=unknown, status__in=RUNNING)
                await self._interrupt(orphans)
            except Exception as error:
                log.warning("Unfinished replies cannot be looked for yet: %s", error)
                self._in_doubt = True
            else:
                if orphans:
                    log.warning("Ended %s replies whose question was stored late", len(orphans))

    async def _interrupt(self, messages: Sequence[ChatMessage]) -> None:
        for message in messages:
            events = await read_growing(message.id, 0)
            sources = next((event for event in events if isinstance(event, Sources)), None)
            await self._store.write(
                finish_reply(
                    message.id,
                    message.session_id,
                    texts=[event.text for event in events if isinstance(event, Delta)],
                    sources=None if sources is None else [hit.to_json() for hit in sources.hits],
                    ending=Ending(MessageStatus.INTERRUPTED, failure=INTERRUPTED),
                    clock=self._clock,
                )
            )
