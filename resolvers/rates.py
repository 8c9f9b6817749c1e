"""How often somebody may do something, and how many tokens a day their questions may take.

The counting is the library `limits`: in memory, or in Redis where several servers share it. If
Redis is away, each server counts for itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool

from models.chat_message import ChatMessage
from resolvers.clock import Clock
from resolvers.errors import RateLimited

log = logging.getLogger("groundql.rates")

TOO_FAST: Final = "You are too fast. Please wait a moment and send it again."
BUDGET_SPENT: Final = "Your tokens for today are used up. There are new ones after midnight, UTC."
_DAY: Final = 86_400
# A server that does not answer for so long is taken for away. Seconds.
_PATIENCE: Final = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Allowances:
    """The most of everything; 0 is no limit."""

    messages_per_user: int = 0
    """In a minute; so are the others but the last."""
    messages_per_address: int = 0
    uploads_per_user: int = 0
    manifests_per_user: int = 0
    webhook_calls: int = 0
    """Of one address."""
    sign_ins_per_address: int = 0
    changes_per_hour: int = 0
    """Of accounts, rights and shares, by one user."""
    provider_logouts: int = 0
    """Of one address."""
    tokens_per_day: int = 0
    """Of one user: prompts and answers."""
    reply_tokens: int = 6_000
    """What a running reply is counted as until it has ended."""


class Reservation:
    """A running reply's place in the budget of the day."""

    def __init__(self, settle: Callable[[int], Awaitable[None]]) -> None:
        self._settle = settle
        self._settled = False

    async def settle(self, tokens: int) -> None:
        """Count what was used instead; only the first call does."""
        if not self._settled:
            self._settled = True
            await self._settle(tokens)


class Rates:
    """Counts what people do. Every method is safe to call at the same time."""

    def __init__(self, allowances: Allowances, clock: Clock, *, redis_url: str = "") -> None:
        """Nothing connects before the first use."""
        self._allowances = allowances
        self._clock = clock
        self._memory: Storage = MemoryStorage()
        self._shared: Storage | None = None
        self._pool: ConnectionPool | None = None
        if redis_url:
            self._pool = ConnectionPool.from_url(redis_url.replace("redis+unix", "unix"))
            self._shared = RedisStorage(
                f"async+{redis_url}",
                implementation="redispy",
                key_prefix="groundql",
                connection_pool=cast(Any, self._pool),
            )
        self._seeding: dict[str, asyncio.Lock] = {}
        self._away = False

    async def close(self) -> None:
        """Close what is open to Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def take(
        self, what: str, most: int, *who: str, seconds: int = 60, message: str = TOO_FAST
    ) -> None:
        """Count one `what` of `who`, of which there may be `most` in that time; 0 is no limit.

        Raises:
            RateLimited: nothing was counted.
        """
        if not most:
            return
        item = RateLimitItemPerSecond(most, seconds, namespace=what)
        wait = await self._asked(lambda storage: _hit(storage, item, who))
        if wait is not None:
            raise RateLimited(message, retry_after_seconds=wait)

    async def take_message(self, user_id: UUID, address: str) -> None:
        """
        Raises:
            RateLimited
        """
        await self.take("messages", self._allowances.messages_per_user, "user", str(user_id))
        if address:
            most = self._allowances.messages_per_address
            await self.take("messages", most, "address", address)

    async def take_upload(self, user_id: UUID) -> None:
        """
        Raises:
            RateLimited
        """
        await self.take("uploads", self._allowances.uploads_per_user, "user", str(user_id))

    async def take_manifest(self, user_id: UUID) -> None:
        """
        Raises:
            RateLimited
        """
        await self.take("manifests", self._allowances.manifests_per_user, "user", str(user_id))

    async def take_webhook_call(self, address: str) -> None:
        """
        Raises:
            RateLimited
        """
        await self.take("webhook", self._allowances.webhook_calls, "address", address)

    async def take_sign_in(self, address: str) -> None:
        """
        Raises:
            RateLimited
        """
        await self.take("sign-ins", self._allowances.sign_ins_per_address, "address", address)

    async def take_change(self, user_id: UUID) -> None:
        """
        Raises:
            RateLimited
        """
        most = self._allowances.changes_per_hour
        await self.take("changes", most, "user", str(user_id), seconds=3_600)

    async def take_provider_logout(self, address: str) -> None:
        """
        Raises:
            RateLimited
        """
        await self.take("logouts", self._allowances.provider_logouts, "address", address)

    async def reserve_tokens(self, user_id: UUID) -> Reservation:
        """A place for one reply in the user's budget of this day. Of any number that come at once,
        the last that gets one is the only one that may go beyond the budget.

        Raises:
            RateLimited
        """
        budget, reserved = self._allowances.tokens_per_day, self._allowances.reply_tokens
        if not budget:
            return Reservation(_nothing)
        now = self._clock.now()
        key = f"tokens/{now:%Y-%m-%d}/{user_id}"
        await self._seed(key, user_id, now)
        total = await self._asked(lambda storage: storage.incr(key, _DAY, reserved))
        if total - reserved >= budget:
            await self._asked(lambda storage: storage.incr(key, _DAY, -reserved))
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() + _DAY
            wait = max(1, math.ceil(midnight - now.timestamp()))
            raise RateLimited(BUDGET_SPENT, retry_after_seconds=wait)

        async def settle(tokens: int) -> None:
            await self._asked(lambda storage: storage.incr(key, _DAY, tokens - reserved))

        return Reservation(settle)

    async def _seed(self, key: str, user_id: UUID, now: datetime) -> None:
        """Take over what was used before this server started. Redis knows it by itself."""
        async with self._seeding.setdefault(key, asyncio.Lock()):
            if self._shared is not None or await self._memory.get(key):
                return
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            replies = ChatMessage.filter(created_at__gte=midnight, completion_tokens__isnull=False)
            asked = await replies.filter(
                requested_by_id__isnull=True, parent__author_id=user_id
            ).values_list("prompt_tokens", "completion_tokens")
            again = await replies.filter(requested_by_id=user_id).values_list(
                "prompt_tokens", "completion_tokens"
            )
            used = sum((prompt or 0) + (answer or 0) for prompt, answer in [*asked, *again])
            # Of days that are over, nothing is needed any more.
            today = key.rpartition("/")[0]
            self._seeding = {k: v for k, v in self._seeding.items() if k.startswith(today)}
            await self._memory.incr(key, _DAY, max(used, 1))

    async def _asked(self, ask: Callable[[Storage], Awaitable[T]]) -> T:
        """The answer of Redis, or of the memory if there is none."""
        if self._shared is not None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await ask(self._shared)
            except Exception as error:
                # The kind alone: the text of an error may hold the address with its password.
                if not self._away:
                    log.warning("Redis cannot be used for rates: %s", type(error).__name__)
                self._away = True
            else:
                self._away = False
                return answer
        return await ask(self._memory)


async def _hit(storage: Storage, item: RateLimitItem, who: tuple[str, ...]) -> int | None:
    """None, or the seconds to wait."""
    limiter = SlidingWindowCounterRateLimiter(storage)
    if await limiter.hit(item, *who):
        return None
    stats = await limiter.get_window_stats(item, *who)
    return max(1, math.ceil(stats.reset_time - time.time()))


async def _nothing(tokens: int) -> None:
    """There is no budget."""
