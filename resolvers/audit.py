"""Noting security events: who did what to whom, from where, and how it ended.

An event is written in the transaction of what it tells about, so that there is none without the
other. No event holds an address of a mailbox, a name, a token or a password: `detail` is made of
words of our own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from models.security_event import EventKind, EventOutcome, SecurityEvent
from resolvers.attempts import network_of
from resolvers.context import Context
from resolvers.errors import RateLimited
from resolvers.text import storable

log = logging.getLogger("groundql.audit")

# What strangers can cause is listed so often in an hour: of one network, and of all together. With
# rows of 0.5 KB they add 60 MB a day at most.
PER_NETWORK: Final = 100
OF_ALL: Final = 5_000
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


async def note(
    context: Context,
    kind: EventKind,
    *,
    actor: UUID | None = None,
    concerns: UUID | None = None,
    about: About | None = None,
    detail: str = "",
    outcome: EventOutcome = EventOutcome.SUCCEEDED,
) -> None:
    """Add an event to the current transaction. `actor` is who did it, if that is not the viewer;
    `concerns` whom it was done to, if that is not the actor."""
    viewer = context.viewer
    who = actor or (viewer.id if viewer is not None else None)
    await write(
        context.services.clock.now(),
        kind,
        Origin(context.address, context.user_agent, context.request_id),
        actor=who,
        api_key=None if viewer is None else viewer.key_id,
        concerns=concerns or who,
        about=about,
        detail=detail,
        outcome=outcome,
    )


async def note_stranger(
    context: Context,
    kind: EventKind,
    *,
    concerns: UUID | None,
    detail: str = "",
    outcome: EventOutcome = EventOutcome.FAILED,
) -> None:
    """Add an event that anybody can cause as often as they like, if it is not one of too many.

    For an address without an account `concerns` is None; it takes the same statements.
    """
    rates, network = context.services.rates, network_of(context.address)
    for name, most in ((network, PER_NETWORK), ("all", OF_ALL)):
        try:
            await rates.take("events", most, name, seconds=_HOUR)
        except RateLimited:
            log.warning("An event is not listed, as there are too many: %s", kind)
            try:
                await rates.take("events beyond", 1, name, seconds=_HOUR)
            except RateLimited:
                return
            concerns, detail = None, MORE
            break
    await write(
        context.services.clock.now(),
        kind,
        Origin(context.address, context.user_agent, context.request_id),
        concerns=concerns,
        detail=detail,
        outcome=outcome,
    )


async def note_closed_account(context: Context, user_id: UUID, why: str) -> None:
    """The password was right, and there is no login all the same."""
    kind, outcome = EventKind.LOGIN_FAILED, EventOutcome.REFUSED
    await note_stranger(context, kind, concerns=user_id, detail=why, outcome=outcome)


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


async def note_signing_keys(moment: datetime, keys: str) -> bool:
    """At a server's start: note which keys sign from now on, by their ids, if those are others than
    before. Returns whether they are."""
    last = (
        await SecurityEvent.filter(kind=EventKind.SIGNING_KEY_CHANGED.value).order_by("-id").first()
    )
    if last is not None and last.detail == keys:
        return False
    await write(moment, EventKind.SIGNING_KEY_CHANGED, Origin(device="server.py"), detail=keys)
    return True
