"""Deletes logins, tokens and sent mails that nobody can use any more."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from jobs.ports import Clock
from models.attempt import Attempt
from models.email_change import EmailChange
from models.email_token import EmailToken
from models.login import Login, RefreshToken
from models.outbox_mail import OutboxMail
from models.sign_in import SignInFlow, SpentLogout
from models.store import Store

log = logging.getLogger("groundql.jobs")

KEEP_ENDED = timedelta(days=30)
KEEP_ATTEMPTS = timedelta(days=1)  # the longest time over which tries may be counted


@dataclass(frozen=True, slots=True)
class DeletedRows:
    """How many rows of each table went."""

    email_tokens: int
    refresh_tokens: int
    logins: int
    mails: int
    attempts: int = 0
    email_changes: int = 0
    sign_ins: int = 0
    logouts: int = 0


async def delete_expired_tokens(store: Store, clock: Clock, *, batch: int = 500) -> DeletedRows:
    """Delete what has expired, in batches of `batch` rows, and let others in between.

    A used token stays until it expires: a used refresh token that comes back must be recognised,
    and a confirmed link must not look broken. Logins that have ended, and mails that were sent or
    given up, stay for 30 days, for questions about what happened.
    """
    now = clock.now()
    ended = now - KEEP_ENDED
    deleted = DeletedRows(
        email_tokens=await _delete(EmailToken.filter(expires_at__lte=now), batch),
        refresh_tokens=await _delete(RefreshToken.filter(expires_at__lte=now), batch),
        logins=await _delete(
            Login.filter(Q(expires_at__lte=ended) | Q(revoked_at__lte=ended)), batch
        ),
        mails=await _delete(
            OutboxMail.filter(
                Q(sent_at__lte=ended) | Q(failed_at__lte=ended), next_attempt_at__isnull=True
            ),
            batch,
        ),
        attempts=await _delete(Attempt.filter(created_at__lte=now - KEEP_ATTEMPTS), batch),
        email_changes=await _delete(EmailChange.filter(expires_at__lte=now), batch),
        sign_ins=await _delete(SignInFlow.filter(expires_at__lte=now), batch),
        logouts=await _delete(SpentLogout.filter(expires_at__lte=now), batch),
    )
    log.info(
        "Expired rows deleted: %d mail tokens, %d refresh tokens, %d logins, %d mails, %d tries",
        deleted.email_tokens,
        deleted.refresh_tokens,
        deleted.logins,
        deleted.mails,
        deleted.attempts,
    )
    return deleted


async def _delete(rows: QuerySet[Any], batch: int) -> int:
    count = 0
    while ids := await rows.limit(batch).values_list("id", flat=True):
        await rows.model.filter(id__in=ids).delete()
        count += len(ids)  # SQLite's own count includes the rows of other tables that went along
        await asyncio.sleep(0)
    return count
