from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from tortoise import context as tortoise_context

from jobs.ports import DeliveryError
from jobs.scheduler import JobScheduler
from models.outbox_mail import OutboxMail
from models.store import Store
from tests.clock import SettableClock
from tests.jobs.test_outbox import Postman, enqueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def postman() -> Postman:
    return Postman()


@asynccontextmanager
async def running(
    store: Store, clock: SettableClock, postman: Postman, waiting: asyncio.Event
) -> AsyncIterator[JobScheduler]:
    scheduler = JobScheduler(
        store=store,
        clock=clock,
        delivery=postman,
        mail_waiting=waiting,
        audit_retention_days=0,
        retention_days=30,
    )
    scheduler.start()
    try:
        yield scheduler
    finally:
        await scheduler.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_sent(count: int) -> None:
    async with asyncio.timeout(3):
        while await OutboxMail.filter(sent_at__isnull=False).count() < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_wakes(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A mail goes out as soon as it is announced, and the next one, too."""
    waiting = asyncio.Event()
    async with running(store, clock, postman, waiting):
        for count, to in enumerate("abc", start=1):
            await enqueue(clock, to)
            waiting.set()
            await until_sent(count)
    assert postman.delivered == ["a", "b", "c"]


async def test_sends_all_of_a_flood(store: Store, clock: SettableClock, postman: Postman) -> None:
    """More mails than one batch go out without waiting for the next turn."""
    waiting = asyncio.Event()
    await enqueue(clock, *(str(number) for number in range(45)))
    async with running(store, clock, postman, waiting):
        waiting.set()
        await until_sent(45)


async def test_looks_by_itself(
    store: Store, clock: SettableClock, postman: Postman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that nobody announced goes out at the next turn."""
    monkeypatch.setattr("jobs.scheduler.OUTBOX_SECONDS", 0.05)
    await enqueue(clock, "a")
    async with running(store, clock, postman, asyncio.Event()):
        await until_sent(1)


async def test_binds_the_store(
    store: Store, clock: SettableClock, postman: Postman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs find the store although the scheduler was started in a task that had none."""
    monkeypatch.setattr("jobs.scheduler.OUTBOX_SECONDS", 0.05)
    await enqueue(clock, "a")
    token = tortoise_context._current_context.set(None)
    try:
        async with running(store, clock, postman, asyncio.Event()):
            await until(lambda: bool(postman.delivered))
    finally:
        tortoise_context._current_context.reset(token)


async def test_failures_are_logged(
    store: Store,
    clock: SettableClock,
    postman: Postman,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run that fails is logged with its reason, and the next one takes place."""
    waiting = asyncio.Event()
    await enqueue(clock, "a")
    await store.connection.execute_script("ALTER TABLE outbox_mail RENAME TO away")
    async with running(store, clock, postman, waiting):
        waiting.set()
        await until(lambda: "The job outbox failed" in caplog.text)
        await store.connection.execute_script("ALTER TABLE away RENAME TO outbox_mail")
        waiting.set()
        await until_sent(1)


async def test_stop_waits(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A stop lets the mail that is being sent go out."""
    waiting = asyncio.Event()
    postman.delay = 0.2
    await enqueue(clock, "a")
    async with running(store, clock, postman, waiting):
        waiting.set()
        await asyncio.sleep(0.05)
        assert postman.at_once == 1
    assert postman.delivered == ["a"]
    assert (await OutboxMail.get()).sent_at is not None


async def test_stop_does_not_wait_for_ever(
    store: Store, clock: SettableClock, postman: Postman
) -> None:
    """After its time a stop cuts a job off, and leaves no task behind."""
    waiting = asyncio.Event()
    postman.delay = 30
    await enqueue(clock, "a")
    before = asyncio.all_tasks()
    scheduler = JobScheduler(
        store=store,
        clock=clock,
        delivery=postman,
        mail_waiting=waiting,
        audit_retention_days=0,
        retention_days=30,
    )
    scheduler.start()
    waiting.set()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await scheduler.stop(grace=0.1)
    await scheduler.stop()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    mail = await OutboxMail.get()
    assert (mail.sent_at, mail.attempts, mail.text) == (None, 1, "text")


async def test_when(store: Store, clock: SettableClock, postman: Postman) -> None:
    """Retention runs soon after the start and at 03:17 UTC, tokens every hour."""
    async with running(store, clock, postman, asyncio.Event()) as scheduler:
        jobs = {job.id: job for job in scheduler._scheduler.get_jobs()}
        assert set(jobs) == {"outbox", "retention", "expired-tokens"}
        now = datetime.now(UTC)
        for name in ("retention", "expired-tokens"):
            assert 20 < (jobs[name].next_run_time - now).total_seconds() <= 30
        later = jobs["retention"].trigger.get_next_fire_time(None, now)
        assert (later.hour, later.minute, later.utcoffset()) == (3, 17, now.utcoffset())
        assert jobs["expired-tokens"].trigger.interval.total_seconds() == 3600
        for job in jobs.values():
            assert (job.coalesce, job.max_instances) == (True, 1)


async def test_each_job_runs(
    store: Store, clock: SettableClock, postman: Postman, caplog: pytest.LogCaptureFixture
) -> None:
    """Each job can be run by its name's entry in the schedule."""
    await enqueue(clock, "a")
    postman.failures["a"] = DeliveryError("550 no", permanent=True)
    with caplog.at_level(logging.INFO, logger="groundql"):
        async with running(store, clock, postman, asyncio.Event()) as scheduler:
            for job in scheduler._scheduler.get_jobs():
                await asyncio.create_task(job.func())
    assert "Outbox: 0 of 1 due mails delivered" in caplog.text
    assert "Sessions without activity for 30 days deleted: 0" in caplog.text
    assert "Expired rows deleted: 0 mail tokens" in caplog.text
