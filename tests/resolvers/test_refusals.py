"""Refusals become events, and a flood of them does not fill the log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.security_event import EventKind, SecurityEvent
from models.user import User
from resolvers import refusals
from resolvers.account import AuthTokensData
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.errors import TooManyChanges
from resolvers.event_log import MORE, Origin
from resolvers.rates import Allowances
from resolvers.refusals import Refusals, Refused
from tests.clock import RunningClock

pytestmark = pytest.mark.anyio

ROLE = Refused(EventKind.ACCESS_REFUSED, "setUserRole")
KEYS = Refused(EventKind.ACCESS_REFUSED, "createApiKey")
HERE = Origin("192.0.2.1", "Test/1.0", "r1")


@pytest.fixture
def log(services: Services) -> Refusals:
    return services.refusals


async def details(**filter: Any) -> list[str]:
    return [one.detail for one in await SecurityEvent.filter(**filter).order_by("id")]


async def test_who_what_and_from_where(log: Refusals) -> None:
    """All of it stands in the event."""
    ada, key = new_id(), new_id()
    await log.note([ROLE], HERE, actor=ada, api_key=key)
    event = await SecurityEvent.get()
    assert (event.kind, event.outcome, event.detail) == (
        "ACCESS_REFUSED",
        "REFUSED",
        "setUserRole",
    )
    assert (event.actor_id, event.concerns_id, event.api_key_id) == (ada, ada, key)
    assert (event.address, event.device, event.request_id) == ("192.0.2.1", "Test/1.0", "r1")


async def test_one_a_minute(log: Refusals, clock: RunningClock) -> None:
    """Of a person and a field; the others are counted in the next one. Other fields and other
    people have their own."""
    ada, ben = new_id(), new_id()
    await asyncio.gather(*(log.note([ROLE, KEYS], HERE, actor=ada) for _ in range(50)))
    await log.note([ROLE], HERE, actor=ben)
    assert sorted(await details(actor_id=ada)) == ["createApiKey", "setUserRole"]
    assert await details(actor_id=ben) == ["setUserRole"]
    clock.forward(seconds=61)
    await log.note([ROLE], HERE, actor=ada)
    assert (await details(actor_id=ada))[-1] == "setUserRole (49 more before)"


async def test_what_was_counted_is_written_at_last(log: Refusals, clock: RunningClock) -> None:
    """Once the minute is over, and at a stop; that event is the next minute's."""
    ada = new_id()
    for _ in range(3):
        await log.note([ROLE], HERE, actor=ada)
    await log.settle()
    assert await details() == ["setUserRole"]
    clock.forward(seconds=61)
    await log.settle()
    await log.note([ROLE], HERE, actor=ada)
    await log.settle()
    assert await details() == ["setUserRole", "setUserRole (2 more before)"]
    await log.settle(all_=True)
    assert (await details())[-1] == "setUserRole (1 more before)"
    clock.forward(seconds=61)
    await log.settle()
    await log.settle(all_=True)
    assert len(await details()) == 3
    assert not log._windows


async def test_an_hour_has_a_most(log: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a person, of a network, and of all who are not logged in; then one row says so."""
    monkeypatch.setattr(refusals, "PER_PERSON", 5)
    monkeypatch.setattr(refusals, "PER_NETWORK", 3)
    monkeypatch.setattr(refusals, "OF_ALL", 7)
    ada = new_id()
    many = [Refused(EventKind.LIMIT_REFUSED, f"field{number}") for number in range(20)]
    await log.note(many, HERE, actor=ada)
    assert await details(actor_id=ada) == [f"field{number}" for number in range(5)] + [MORE]
    for number in range(1, 5):
        await log.note(many, Origin(f"198.51.100.{number}"))
    found = await details(actor_id__isnull=True)
    assert len([one for one in found if one != MORE]) == 7
    assert found.count(MORE) == 5  # of four networks, and of all


async def test_addresses_of_one_network_are_one(log: Refusals) -> None:
    """Whoever has 64 bits of addresses gets no more events by it."""
    for number in range(10):
        await log.note([ROLE], Origin(f"2001:db8::{number:x}"))
    assert await details() == ["setUserRole"]


async def test_the_memory_is_bounded(log: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr(refusals, "_MAX_WINDOWS", 4)
    for number in range(10):
        await log.note([ROLE], Origin(f"198.51.100.{number}"))
    assert len(log._windows) == 4


async def test_a_log_that_cannot_be_written_harms_nobody(
    log: Refusals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer was given already."""

    async def fail(*_: Any, **__: Any) -> None:
        raise OSError("secret")

    monkeypatch.setattr(refusals, "write", fail)
    await log.note([ROLE], HERE)
    assert "not listed: OSError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_person_s_own_events_have_a_most(
    context: Context, services: Services, clock: RunningClock, anna: User, tokens: AuthTokensData
) -> None:
    """What is beyond is refused, with the seconds to wait, and another person goes on; documents
    have their own rate."""
    services.rates._allowances = Allowances(changes_per_hour=2)
    for _ in range(2):
        await note(context, EventKind.PUBLIC_LINK_CREATED, actor=anna.id)
    with pytest.raises(TooManyChanges) as caught:
        await note(context, EventKind.PUBLIC_LINK_CREATED, actor=anna.id)
    assert 1 <= caught.value.retry_after_seconds <= 3_600
    await note(context, EventKind.DOCUMENT_ADDED, actor=anna.id)
    await note(context, EventKind.PUBLIC_LINK_CREATED, actor=new_id())
