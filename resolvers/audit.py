"""Noting security events: who did what to whom, from where, and how it ended.

An event is written in the transaction of what it tells about, so that there is none without the
other. No event holds an address of a mailbox, a name, a token or a password: `detail` is made of
words of our own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from models.security_event import EventKind, EventOutcome, SecurityEvent
from resolvers.attempts import network_of
from resolvers.context import Context
from resolvers.errors import RateLimited, TooManyChanges
from resolvers.event_log import MORE, About, Origin, Room, room_for, write
from resolvers.rates import Rates
from resolvers.refusals import noted_already

# What strangers can cause is listed so often in an hour: of one network, and of all together. With
# rows of 0.5 KB they add 60 MB a day at most.
PER_NETWORK: Final = 100
OF_ALL: Final = 5_000
# They have a rate of their own (UPLOADS_PER_MINUTE), or can only come after one of those.
_OTHERWISE_BOUNDED: Final = {
    EventKind.DOCUMENT_ADDED,
    EventKind.DOCUMENT_CHANGED,
    EventKind.DOCUMENT_DELETED,
}


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
    `concerns` whom it was done to, if that is not the actor.

    Raises:
        TooManyChanges: the person has caused too many in this hour; the transaction must end.
    """
    viewer = context.viewer
    who = actor or (viewer.id if viewer is not None else None)
    if outcome is not EventOutcome.SUCCEEDED:
        noted_already()
    if who is not None and kind not in _OTHERWISE_BOUNDED:
        await _take_change(context.services.rates, who)
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


async def _take_change(rates: Rates, who: UUID) -> None:
    try:
        await rates.take_change(who)
    except RateLimited as limited:
        raise TooManyChanges(limited.retry_after_seconds) from None


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
    limits = [(network_of(context.address), PER_NETWORK), ("all", OF_ALL)]
    noted_already()
    match await room_for(context.services.rates, "events", limits, kind):
        case Room.LEFT_OUT:
            return
        case Room.SUMMED:
            concerns, detail = None, MORE
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
