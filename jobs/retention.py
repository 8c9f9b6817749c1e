"""Deletes conversations that nobody has used for a while."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.expressions import Subquery

from jobs.ports import Clock
from models.chat_message import RUNNING, ChatMessage
from models.chat_session import ChatSession
from models.session_deletion import delete_session
from models.store import Store

log = logging.getLogger("groundql.jobs")


async def delete_inactive_sessions(
    store: Store, clock: Clock, *, retention_days: int, batch: int = 200
) -> int:
    """Delete sessions without activity for `retention_days`; returns how many.

    0 days keeps all. A session with a running reply stays, however old: the end of the reply is
    its next activity. Ids are read `batch` at a time, and each session goes in a transaction of
    its own, so others wait for one session at most; one that becomes active meanwhile stays.
    """
    if retention_days == 0:
        return 0
    cutoff = clock.now() - timedelta(days=retention_days)
    count = 0
    last: UUID | None = None
    while ids := await _inactive(cutoff, after=last, limit=batch):
        for session_id in ids:
            count += await delete_session(store, session_id, inactive_since=cutoff)
            await asyncio.sleep(0)
        last = ids[-1]
    log.info("Sessions without activity for %d days deleted: %d", retention_days, count)
    return count


async def _inactive(cutoff: datetime, *, after: UUID | None, limit: int) -> list[UUID]:
    rows = ChatSession.filter(updated_at__lt=cutoff).exclude(
        id__in=Subquery(ChatMessage.filter(status__in=RUNNING).values("session_id"))
    )
    if after is not None:
        # Past the ones that could not be deleted, so that each is tried once.
        rows = rows.filter(id__gt=after)
    return [row.id for row in await rows.order_by("id").limit(limit).only("id")]
