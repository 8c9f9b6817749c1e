"""Writing rows of the log of security events, and how many of them anybody can cause."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final, TypeAlias
from uuid import UUID

from models.security_event import EventKind, EventOutcome, SecurityEvent
from resolvers.errors import RateLimited
from resolvers.rates import Rates
from resolvers.text import storable

log = logging.getLogger("groundql.audit")

MORE: Final = "MORE_ARE_NOT_LISTED"
_HOUR: Final = 3_600

# The name of a type of the API, and a row's id.
About: TypeAlias = tuple[str, UUID]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something came from; all empty for the server itself."""

    address: str = ""
    device: str = ""
    request_id: str = ""


async def write(
    moment: datetime,
    kind: EventKind,
    origin: Origin,
    *,
    actor: UUID | None = None,
    api_key: UUID | None = None,
    concerns: UUID | None = None,
    about: About | None = None,
    detail: str = "",
    outcome: EventOutcome = EventOutcome.SUCCEEDED,
) -> None:
    """Add an event to the current transaction."""
    await SecurityEvent.create(
        created_at=moment,
        kind=kind.value,
        outcome=outcome.value,
        actor_id=actor,
        api_key_id=api_key,
        concerns_id=concerns,
        object_type=None if about is None else about[0],
        object_id=None if about is None else about[1],
        detail=detail[:200],
        address=storable(origin.address, 45),
        device=storable(origin.device, 300),
        request_id=storable(origin.request_id, 100),
    )


class Room(Enum):
    """Whether one more event may be listed."""

    LISTED = auto()
    SUMMED = auto()
    """Not itself: one row says that there are more."""
    LEFT_OUT = auto()


async def room_for(rates: Rates, what: str, limits: Sequence[tuple[str, int]], kind: str) -> Room:
    """Count one event of `what` by each of these names, of which each may have so many in an hour;
    of those beyond, one."""
    for name, most in limits:
        try:
            await rates.take(what, most, name, seconds=_HOUR)
        except RateLimited:
            log.warning("An event is not listed, as there are too many: %s", kind)
            try:
                await rates.take(f"{what} beyond", 1, name, seconds=_HOUR)
            except RateLimited:
                return Room.LEFT_OUT
            return Room.SUMMED
    return Room.LISTED
