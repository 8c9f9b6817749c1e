"""Deletes security events that are older than the operator wants to keep."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from jobs.ports import Clock
from models.security_event import KEPT_DAYS, SecurityEvent

log = logging.getLogger("groundql.jobs")


async def delete_old_events(clock: Clock, *, days: int, batch: int = 500) -> int:
    """Delete events that are `days` old; returns how many. 0 days keeps all.

    The database refuses to delete younger ones than `KEPT_DAYS`, so fewer days count as those.
    """
    if days == 0:
        return 0
    # A day more: the database compares days, not times.
    cutoff = clock.now() - timedelta(days=max(days, KEPT_DAYS + 1))
    count = 0
    old = SecurityEvent.filter(created_at__lt=cutoff)
    while ids := await old.limit(batch).values_list("id", flat=True):
        count += await SecurityEvent.filter(id__in=ids).delete()
        await asyncio.sleep(0)
    if count:
        log.info("Security events older than %d days deleted: %d", days, count)
    return count
