"""Looking up security events: for ADMIN."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.expressions import Q

from models.security_event import EventKind, SecurityEvent
from models.user import Role
from resolvers.context import Context
from resolvers.errors import BadUserInput
from resolvers.paging import Page, PageRequest, id_page


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events; None is all. `user_id` is of who did it or whom it concerns."""

    user_id: UUID | None = None
    kinds: Collection[EventKind] | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_events(
    context: Context, wanted: Wanted, request: PageRequest
) -> Page[SecurityEvent]:
    """The newest first.

    Raises:
        Unauthenticated, Forbidden, BadUserInput
    """
    context.require_role(Role.ADMIN)
    for name, moment in (("since", wanted.since), ("until", wanted.until)):
        if moment is not None and moment.tzinfo is None:
            raise BadUserInput(f"{name} needs a zone, such as Z at its end.")
    query = SecurityEvent.all()
    if wanted.user_id is not None:
        query = query.filter(Q(actor_id=wanted.user_id) | Q(concerns_id=wanted.user_id))
    if wanted.kinds is not None:
        query = query.filter(kind__in=[kind.value for kind in wanted.kinds])
    if wanted.since is not None:
        query = query.filter(created_at__gte=wanted.since)
    if wanted.until is not None:
        query = query.filter(created_at__lt=wanted.until)
    return await id_page(query, request, newest_first=True)
