from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from jobs.outbox import LEASE, MAX_ATTEMPTS, send_due_mails
from jobs.ports import DeliveryError
from models.outbox_mail import OutboxMail
from models.store import Store
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio


class Postman:
    """Delivers, or fails as it is told for a recipient."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.failures: dict[str, BaseException] = {}
        self.delay = 0.0
        self.at_once = self.most_at_once = 0

    async def deliver(self, mail: OutboxMail) -> None:
        assert mail.text, "a blank mail was sent"
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
            if failure := self.failures.get(mail.to):
                raise failure
            self.delivered.append(mail.to)
        finally:
            self.at_once -= 1


@pytest.fixture
def postman() -> Postman:
    return Postman()


async def enqueue(clock: SettableClock, *recipients: str) -> None:
    for to in recipients:
        await OutboxMail.create(
            to=to, subject="Hello", text="text", html="html", next_attempt_at=clock.now()
        )
        clock.forward(seconds=1)


async def test_sends(store: Store, clock: SettableClock, postman: Postman) -> None:
    """Due mails go out once; then they are marked, and their bodies are gone."""
    await enqueue(clock, "a", "b")
    assert await send_due_mails(store, postman, clock) == 2
    assert sorted(postman.delivered) == ["a", "b"]
    for mail in await OutboxMail.all():
        assert (mail.text, mail.html, mail.next_attempt_at) == ("", "", None)
        assert (mail.sent_at, mail.failed_at, mail.attempts) == (clock.now(), None, 1)
    assert await send_due_mails(store, postman, clock) == 0
    assert len(postman.delivered) == 2


async def test_not_before_its_time(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A mail that is due later waits."""
    await enqueue(clock, "a")
    clock.forward(seconds=-10)
    assert await send_due_mails(store, postman, clock) == 0
    assert postman.delivered == []


async def test_limit(store: Store, clock: SettableClock, postman: Postman) -> None:
    """The oldest go first, no more than the limit in one run."""
    await enqueue(clock, *"abcde")
    assert await send_due_mails(store, postman, clock, limit=3) == 3
    assert sorted(postman.delivered) == ["a", "b", "c"]
    assert await send_due_mails(store, postman, clock, limit=3) == 2


async def test_back_off(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A mail that fails waits twice as long each time, an hour at most, and is then given up."""
    await enqueue(clock, "a")
    postman.failures["a"] = DeliveryError("450 later")
    waits = []
    for attempt in range(1, MAX_ATTEMPTS):
        assert await send_due_mails(store, postman, clock) == 0
        mail = await OutboxMail.get()
        assert (mail.attempts, mail.last_error, mail.text) == (attempt, "450 later", "text")
        assert mail.next_attempt_at is not None
        waits.append((mail.next_attempt_at - clock.now()).total_seconds())
        clock.time = mail.next_attempt_at - timedelta(seconds=1)
        await send_due_mails(store, postman, clock)
        assert (await OutboxMail.get()).attempts == attempt
        clock.forward(seconds=1)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    await send_due_mails(store, postman, clock)
    mail = await OutboxMail.get()
    assert (mail.attempts, mail.failed_at, mail.next_attempt_at) == (12, clock.now(), None)
    assert (mail.text, mail.html, mail.last_error) == ("", "", "450 later")


async def test_recovers(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A mail that failed goes out when the server is back."""
    await enqueue(clock, "a")
    postman.failures["a"] = DeliveryError("no connection")
    await send_due_mails(store, postman, clock)
    postman.failures.clear()
    clock.forward(seconds=30)
    assert await send_due_mails(store, postman, clock) == 1
    mail = await OutboxMail.get()
    assert (mail.sent_at, mail.last_error) == (clock.now(), None)


async def test_permanent_failure(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A refused recipient is given up at once."""
    await enqueue(clock, "a")
    postman.failures["a"] = DeliveryError("550 no such user", permanent=True)
    assert await send_due_mails(store, postman, clock) == 0
    mail = await OutboxMail.get()
    assert (mail.failed_at, mail.next_attempt_at, mail.text) == (clock.now(), None, "")


async def test_bad_mails_do_not_block(
    store: Store, clock: SettableClock, postman: Postman, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happens to one mail, the others go out; a bug is logged and its mail waits."""
    await enqueue(clock, *"abcdefg")
    postman.failures = {
        "a": DeliveryError("450 " + "later " * 100 + "\0"),
        "b": RuntimeError("gqe_secret"),
        "c": DeliveryError("550 no", permanent=True),
        "d": TimeoutError(),
        "e": OSError("broken pipe"),
    }
    assert await send_due_mails(store, postman, clock) == 2
    assert sorted(postman.delivered) == ["f", "g"]
    errors = {mail.to: mail.last_error for mail in await OutboxMail.all()}
    assert errors["b"] == "unexpected RuntimeError"
    assert len(errors["a"] or "") == 300
    assert "unexpected error" in caplog.text


async def test_one_of_several_senders(store: Store, clock: SettableClock, postman: Postman) -> None:
    """Of several jobs at the same time one takes each mail."""
    await enqueue(clock, *(f"{number}" for number in range(15)))
    postman.delay = 0.01
    counts = await asyncio.gather(*(send_due_mails(store, postman, clock) for _ in range(5)))
    assert sum(counts) == len(postman.delivered) == len(set(postman.delivered)) == 15


async def test_a_few_at_once(store: Store, clock: SettableClock, postman: Postman) -> None:
    """Slow recipients do not hold up the others, and the mail server is not flooded."""
    await enqueue(clock, *"abcdefghij")
    postman.delay = 0.05
    await send_due_mails(store, postman, clock)
    assert 2 <= postman.most_at_once <= 4


async def test_crash_while_sending(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A mail whose sender died is free again when the lease has run out."""
    await enqueue(clock, "a")
    postman.delay = 30
    task = asyncio.create_task(send_due_mails(store, postman, clock))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    postman.delay = 0
    assert await send_due_mails(store, postman, clock) == 0
    clock.forward(seconds=LEASE.total_seconds())
    assert await send_due_mails(store, postman, clock) == 1
    assert (await OutboxMail.get()).attempts == 2


async def test_uncommitted_mails(store: Store, clock: SettableClock, postman: Postman) -> None:
    """A mail goes out after its transaction is committed, never before."""
    written, commit = asyncio.Event(), asyncio.Event()

    async def register() -> None:
        async with store.transaction():
            await enqueue(clock, "a")
            written.set()
            await commit.wait()

    registering = asyncio.create_task(register())
    await written.wait()
    early = asyncio.create_task(send_due_mails(store, postman, clock))
    await asyncio.sleep(0.05)
    assert postman.delivered == []
    commit.set()
    await registering
    assert await early + await send_due_mails(store, postman, clock) == 1


async def test_no_address_in_the_log(
    store: Store, clock: SettableClock, postman: Postman, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers quote the recipient in their refusals."""
    await enqueue(clock, "ada@example.com")
    postman.failures["ada@example.com"] = DeliveryError("550 <Ada@Example.com> no such user")
    await send_due_mails(store, postman, clock)
    assert (await OutboxMail.get()).last_error == "550 <…> no such user"
    assert "ada@example.com" not in caplog.text.lower()
    assert "550 <…> no such user" in caplog.text
