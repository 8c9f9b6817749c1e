"""Ending logins."""

from __future__ import annotations

from uuid import UUID

from tortoise.queryset import QuerySet

from models.login import Login
from resolvers.context import Services


async def end_logins(services: Services, logins: QuerySet[Login]) -> set[UUID]:
    """End these logins, if they have not ended; returns which. Tell `services.access` after the
    commit."""
    alive = logins.filter(revoked_at__isnull=True)
    # One that is made between the two is ended, too; its streams are noticed by the next poll.
    ids = {id for (id,) in await alive.values_list("id")}
    await alive.update(revoked_at=services.clock.now())
    return ids
