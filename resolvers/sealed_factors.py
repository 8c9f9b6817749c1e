"""Keeping the secrets of second factors sealed with the present key."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from models.second_factor import SecondFactor
from resolvers.sealing import Seal, Unreadable

log = logging.getLogger("groundql.accounts")


async def seal_again(seal: Seal, *, batch: int = 500) -> int:
    """At a server's start: seal what old versions left open, and what a former key has sealed, with
    the present key; returns how many. So a former key is needed for one start alone.

    What cannot be opened stays as it is, and is told in the log.
    """
    count = unreadable = 0
    last: UUID | None = None
    while True:
        rows = SecondFactor.exclude(secret__startswith=seal.prefix).order_by("id").limit(batch)
        page = await (rows if last is None else rows.filter(id__gt=last))
        for row in page:
            try:
                sealed = seal.seal(seal.open(row.secret, row.user_id), row.user_id)
            except Unreadable:
                unreadable += 1
                continue
            # Only as it was read: another server may have done it meanwhile.
            count += await SecondFactor.filter(id=row.id, secret=row.secret).update(secret=sealed)
        await asyncio.sleep(0)
        if len(page) < batch:
            break
        last = page[-1].id
    if count:
        log.info("Secrets of second factors were sealed anew: %d", count)
    if unreadable:
        log.error(
            "%d second factors cannot be read with this SECRET_KEY: their codes are refused, only "
            "recovery codes count. Add the key of before to FORMER_SECRET_KEYS",
            unreadable,
        )
    return count
