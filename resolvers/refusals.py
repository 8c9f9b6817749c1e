"""What was refused: rights, limits, tokens and calls, as security events that cannot fill the log.

Of one person, or of one network for who is not logged in, an event of a kind and a field is written
at most once a minute; the others are counted, and the next event, or one at the minute's end, says
how many there were. Beyond that there is a most for each hour.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from models.security_event import EventKind, EventOutcome
from models.store import Store
from resolvers.attempts import network_of
from resolvers.clock import Clock
from resolvers.event_log import MORE, Origin, Room, room_for, write
from resolvers.rates import Rates

log = logging.getLogger("groundql.audit")

WINDOW: Final = timedelta(minutes=1)
# Events in an hour. With rows of 0.5 KB that is 60 MB a day at most from who is not logged in.
PER_PERSON: Final = 300
PER_NETWORK: Final = 100
OF_ALL: Final = 5_000
_MAX_WINDOWS: Final = 10_000  # in memory; about 0.5 KB each
_MAX_OF_ONE: Final = 20  # refusals of one operation


@dataclass(frozen=True, slots=True)
class Refused:
    """`detail` is made of words of our own: a field of the schema, a limit's name."""

    kind: EventKind
    detail: str


@dataclass(slots=True)
class Collected:
    """What one operation was refused."""

    refused: list[Refused] = field(default_factory=list)
    noted: bool = False
    """The next refusal has an event of its own already."""


collected: ContextVar[Collected | None] = ContextVar("refusals", default=None)


def collect(kind: EventKind, detail: str) -> None:
    """Remember what the current operation was refused; without one, nothing happens."""
    found = collected.get()
    if found is None:
        return
    if found.noted:
        found.noted = False
    elif len(found.refused) < _MAX_OF_ONE:
        found.refused.append(Refused(kind, detail))


def noted_already() -> None:
    """The use case has written an event about what it is about to refuse."""
    found = collected.get()
    if found is not None:
        found.noted = True


@dataclass(frozen=True, slots=True)
class _Who:
    actor: UUID | None
    api_key: UUID | None
    network: str


@dataclass(slots=True)
class _Window:
    began: datetime
    origin: Origin
    more: int = 0


class Refusals:
    """Writes them, of this server."""

    def __init__(self, store: Store, clock: Clock, rates: Rates) -> None:
        self._store = store
        self._clock = clock
        self._rates = rates
        self._windows: OrderedDict[tuple[_Who, Refused], _Window] = OrderedDict()

    async def note(
        self,
        refused: Iterable[Refused],
        origin: Origin,
        *,
        actor: UUID | None = None,
        api_key: UUID | None = None,
    ) -> None:
        """Write what is new this minute, and count the rest. A database that is away is logged,
        since the answer has been given."""
        network = "" if actor is not None else network_of(origin.address)
        who = _Who(actor, api_key, network)
        for one in refused:
            key, now = (who, one), self._clock.now()
            window = self._windows.get(key)
            if window is not None and now < window.began + WINDOW:
                window.more += 1
                continue
            # Before the write: of many at once one is written.
            self._windows[key] = _Window(now, origin)
            self._windows.move_to_end(key)
            while len(self._windows) > _MAX_WINDOWS:
                self._windows.popitem(last=False)
            await self._write(who, one, origin, 0 if window is None else window.more)

    async def settle(self, *, all_: bool = False) -> None:
        """Write how many were counted in the minutes that are over, or in all."""
        now = self._clock.now()
        for key, window in list(self._windows.items()):
            if not all_ and now < window.began + WINDOW:
                continue
            if window.more:
                who, one = key
                # It takes the place of the next minute's event.
                self._windows[key] = _Window(now, window.origin)
                await self._write(who, one, window.origin, window.more)
            else:
                self._windows.pop(key, None)

    async def run(self) -> None:
        """Settle every minute, until cancelled; then settle everything."""
        self._store.bind()
        try:
            while True:
                await asyncio.sleep(WINDOW.total_seconds())
                await self.settle()
        finally:
            with suppress(Exception):
                async with asyncio.timeout(5):
                    await self.settle(all_=True)

    async def _write(self, who: _Who, one: Refused, origin: Origin, more: int) -> None:
        limits = (
            [(str(who.actor), PER_PERSON)]
            if who.actor is not None
            else [(who.network, PER_NETWORK), ("all", OF_ALL)]
        )
        detail = f"{one.detail} ({more} more before)" if more else one.detail
        try:
            room = await room_for(self._rates, "refusals", limits, one.kind)
            if room is Room.LEFT_OUT:
                return
            await write(
                self._clock.now(),
                one.kind,
                origin,
                actor=who.actor,
                api_key=who.api_key,
                concerns=who.actor,
                detail=MORE if room is Room.SUMMED else detail,
                outcome=EventOutcome.REFUSED,
            )
        except Exception as error:
            log.warning("A refusal is not listed: %s", type(error).__name__)
