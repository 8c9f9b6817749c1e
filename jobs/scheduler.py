"""Says when each job runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from jobs.expired_tokens import delete_expired_tokens
from jobs.outbox import send_due_mails
from jobs.ports import Clock, Delivery
from jobs.retention import delete_inactive_sessions
from jobs.security_events import delete_old_events
from jobs.webhook_deliveries import delete_old_deliveries
from models.errors import is_unavailable
from models.store import Store

log = logging.getLogger("groundql.jobs")

OUTBOX_SECONDS = 5
FOLLOW_SECONDS = 2
_FIRST_RUN = timedelta(seconds=30)  # after the start, when the server has settled
_MISFIRE_GRACE = 3600  # seconds that a run may be late, say after the machine slept
_MAIL_BATCH = 20


class JobScheduler:
    """The jobs of one server, on its event loop; server.py starts and stops them in the lifespan.

    Several servers on one database may each run them: every job can run twice.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        delivery: Delivery,
        mail_waiting: asyncio.Event,
        retention_days: int,
        audit_retention_days: int,
        follow_knowledge: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`follow_knowledge` takes over what another process has changed in the knowledge base.

        `mail_waiting` is set by whoever puts a mail into the outbox: it goes out at once."""
        self._store = store
        self._clock = clock
        self._delivery = delivery
        self._mail_waiting = mail_waiting
        self._retention_days = retention_days
        self._audit_retention_days = audit_retention_days
        self._follow_knowledge = follow_knowledge
        self._running: set[asyncio.Task[None]] = set()
        self._outbox_lock = asyncio.Lock()
        self._wake_task: asyncio.Task[None] | None = None
        # UTC: asking for the machine's zone reads files, and a daily job needs no summer time.
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={
                "coalesce": True,
                "max_instances": 1,
                "misfire_grace_time": _MISFIRE_GRACE,
            },
        )

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        soon = datetime.now(UTC) + _FIRST_RUN
        self._scheduler.add_job(
            self._deliver_mails, IntervalTrigger(seconds=OUTBOX_SECONDS, timezone=UTC), id="outbox"
        )
        self._scheduler.add_job(
            self._delete_sessions,
            CronTrigger(hour=3, minute=17, timezone=UTC),
            id="retention",
            next_run_time=soon,
        )
        self._scheduler.add_job(
            self._delete_tokens,
            IntervalTrigger(hours=1, timezone=UTC),
            id="expired-tokens",
            next_run_time=soon,
        )
        if self._follow_knowledge is not None:
            self._scheduler.add_job(
                self._run,
                IntervalTrigger(seconds=FOLLOW_SECONDS, timezone=UTC),
                args=("knowledge", self._follow_knowledge),
                id="knowledge",
            )
        self._scheduler.start()
        self._wake_task = asyncio.create_task(self._deliver_on_wake(), name="outbox-wake")

    async def stop(self, *, grace: float = 5.0) -> None:
        """Start no more jobs, wait `grace` seconds for those that run, then cancel them.

        A job that is cut off is safe: its transaction is undone, and a mail's lease runs out.
        """
        if self._wake_task is None:
            return
        self._scheduler.pause()
        self._wake_task.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace)
            for task in late:
                task.cancel()
        self._scheduler.shutdown(wait=False)
        await asyncio.gather(self._wake_task, *self._running, return_exceptions=True)
        self._wake_task = None

    async def _deliver_on_wake(self) -> None:
        while True:
            await self._mail_waiting.wait()
            self._mail_waiting.clear()
            # Its own task: stop() ends the waiting at once, but not a mail that is being sent.
            await asyncio.shield(self._track(asyncio.create_task(self._deliver_mails())))

    async def _deliver_mails(self) -> None:
        async def deliver() -> None:
            async with self._outbox_lock:
                while (
                    await send_due_mails(
                        self._store, self._delivery, self._clock, limit=_MAIL_BATCH
                    )
                    == _MAIL_BATCH
                ):
                    pass

        await self._run("outbox", deliver)

    async def _delete_sessions(self) -> None:
        async def delete() -> None:
            await delete_inactive_sessions(
                self._store, self._clock, retention_days=self._retention_days
            )

        await self._run("retention", delete)

    async def _delete_tokens(self) -> None:
        async def delete() -> None:
            await delete_expired_tokens(self._store, self._clock)
            await delete_old_deliveries(self._clock)
            await delete_old_events(self._clock, days=self._audit_retention_days)

        await self._run("expired-tokens", delete)

    async def _run(self, name: str, job: Callable[[], Awaitable[object]]) -> None:
        """One run of a job in this task. Its failure is logged and does not end the schedule."""
        task = asyncio.current_task()
        assert task is not None
        self._track(task)
        self._store.bind()
        try:
            await job()
        except Exception as error:
            if is_unavailable(error):
                log.warning("The job %s waits for the database: %s", name, error)
            else:
                log.exception("The job %s failed; it runs again at its next time", name)

    def _track(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
