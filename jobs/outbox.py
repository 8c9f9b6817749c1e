"""Delivers the mails of the outbox."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import timedelta

from jobs.ports import Clock, Delivery, DeliveryError
from models.outbox_mail import OutboxMail
from models.store import Store

log = logging.getLogger("groundql.mail")

MAX_ATTEMPTS = 12  # with the waits below: over about five hours
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
LEASE = timedelta(minutes=5)

_SEND_TIMEOUT = 120  # seconds; below the lease, so no second sender starts while one is at it
_PARALLEL = 4


async def send_due_mails(store: Store, delivery: Delivery, clock: Clock, *, limit: int = 20) -> int:
    """Deliver up to `limit` mails that are due, oldest first; returns how many were delivered.

    Each mail is taken by moving its next attempt a lease into the future, with an update that only
    one of several senders can win. A crash after the delivery and before its note leads to a second
    copy with the same Message-ID: at least once, never silence. A few go out at the same time, so
    one slow recipient does not hold up the others.
    """
    due = (
        await OutboxMail.filter(next_attempt_at__lte=clock.now())
        .order_by("next_attempt_at", "id")
        .limit(limit)
    )
    places = asyncio.Semaphore(_PARALLEL)

    async def send(mail: OutboxMail) -> bool:
        async with places:
            return await _send(mail, store, delivery, clock)

    results = await asyncio.gather(*(send(mail) for mail in due), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            # Not the mail's fault but ours: the lease brings it back.
            log.error("A mail could not be processed", exc_info=result)
    sent = sum(result is True for result in results)
    if due:
        log.info("Outbox: %d of %d due mails delivered", sent, len(due))
    return sent


async def _send(mail: OutboxMail, store: Store, delivery: Delivery, clock: Clock) -> bool:
    now = clock.now()
    taken = await OutboxMail.filter(
        id=mail.id, attempts=mail.attempts, next_attempt_at__lte=now
    ).update(attempts=mail.attempts + 1, next_attempt_at=now + LEASE)
    if not taken:
        return False
    mail.attempts += 1
    try:
        async with asyncio.timeout(_SEND_TIMEOUT):
            await delivery.deliver(mail)
    except DeliveryError as error:
        await _note_failure(mail, str(error), clock, permanent=error.permanent)
        return False
    except Exception as error:
        log.error("Mail %s: unexpected error", mail.id, exc_info=error)
        await _note_failure(mail, f"unexpected {type(error).__name__}", clock, permanent=False)
        return False
    await OutboxMail.filter(id=mail.id).update(
        sent_at=clock.now(), next_attempt_at=None, last_error=None, text="", html=""
    )
    return True


async def _note_failure(mail: OutboxMail, reason: str, clock: Clock, *, permanent: bool) -> None:
    now = clock.now()
    # Servers quote the address, which no log needs.
    reason = reason.replace("\0", "")
    if "@" in mail.to:
        reason = re.sub(re.escape(mail.to), "…", reason, flags=re.IGNORECASE)
    reason = reason[:300]
    if permanent or mail.attempts >= MAX_ATTEMPTS:
        log.error("Mail %s is given up after %d attempts: %s", mail.id, mail.attempts, reason)
        await OutboxMail.filter(id=mail.id).update(
            failed_at=now, next_attempt_at=None, last_error=reason, text="", html=""
        )
        return
    wait = min(FIRST_WAIT * 2 ** (mail.attempts - 1), LONGEST_WAIT)
    log.warning("Mail %s waits %s for its next attempt: %s", mail.id, wait, reason)
    await OutboxMail.filter(id=mail.id).update(next_attempt_at=now + wait, last_error=reason)
