"""How often something may be tried, counted in the database.

The counts outlive a restart and are the same for every server on the database.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final
from weakref import WeakValueDictionary

from models.attempt import Attempt
from models.store import Store
from resolvers.clock import Clock
from resolvers.errors import RateLimited
from texts import counted


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `most` tries of a kind in a window, which is a day at most: then a job deletes them.
    `waits[n]` is what must lie between the nth try
       that counts and the next one, in seconds; beyond its end its last value counts."""

    kind: str
    most: int
    window: timedelta
    waits: Sequence[int] = (0,)


# The first three wrong passwords cost nothing, as people mistype; ten take at least two minutes.
PASSWORD_TRIES: Final = Rule(
    "password", 10, timedelta(minutes=15), waits=(0, 0, 0, 1, 2, 4, 8, 16, 32, 64)
)


class Attempts:
    """Counts tries, and refuses those that are too many or come too soon."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, rule: Rule, key: str) -> AsyncIterator[str]:
        """One try, which counts unless `forgive` is called: tries with the same key come one after
        the other, so that many at once learn no more than one after another.

        Raises:
            RateLimited: it is one too many; nothing was counted.
        """
        hashed = _hash(key)
        lock = self._turns.setdefault(f"{rule.kind} {hashed}", asyncio.Lock())
        async with lock:
            if seconds := await self._count([(rule, hashed)]):
                raise RateLimited(
                    counted(
                        "Too many tries; wait one second.",
                        "Too many tries; wait {seconds} seconds.",
                        seconds=seconds,
                    ),
                    retry_after_seconds=seconds,
                )
            yield key

    async def forgive(self, rule: Rule, key: str) -> None:
        """Forget the tries: the last one was right."""
        await Attempt.filter(kind=rule.kind, key=_hash(key)).delete()

    async def take_mail(self, limits: Sequence[tuple[Rule, str]]) -> None:
        """Count one mail by each of these rules.

        Raises:
            RateLimited: by one of them it is one too many; nothing was counted.
        """
        if seconds := await self._count([(rule, _hash(key)) for rule, key in limits]):
            raise RateLimited(
                counted(
                    "Too many mails were asked for; wait one second.",
                    "Too many mails were asked for; wait {seconds} seconds.",
                    seconds=seconds,
                ),
                retry_after_seconds=seconds,
            )

    async def _count(self, limits: Sequence[tuple[Rule, str]]) -> int:
        """Count one try by each rule, if all allow it: 0, or the seconds to wait."""
        now = self._clock.now()
        seconds = 0
        async with self._store.transaction():
            # In one order for everyone, so that no two wait for each other.
            for rule, key in sorted(limits, key=lambda limit: (limit[0].kind, limit[1])):
                await self._store.lock_name(f"attempt {rule.kind} {key}")
                seconds = max(seconds, await self._wait(rule, key, now))
            if not seconds:
                for rule, key in limits:
                    await Attempt.create(kind=rule.kind, key=key, created_at=now)
        return seconds

    async def _wait(self, rule: Rule, key: str, now: datetime) -> int:
        """Whole seconds until the next try is allowed."""
        rows = Attempt.filter(kind=rule.kind, key=key, created_at__gt=now - rule.window)
        times: list[datetime] = [
            time
            for (time,) in await rows.order_by("-created_at", "-id")
            .limit(rule.most)
            .values_list("created_at")
        ]
        if not times:
            return 0
        if len(times) >= rule.most:
            free = times[-1] + rule.window
        else:
            wait = rule.waits[min(len(times), len(rule.waits) - 1)]
            free = times[0] + timedelta(seconds=wait)
        return max(0, math.ceil((free - now).total_seconds()))


def network_of(address: str) -> str:
    """What addresses of one place have in common: a whole IPv4 address, and the first 64 bits of an
    IPv6 address, since every household has as many of those as it likes."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
