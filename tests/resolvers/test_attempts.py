"""Guessing passwords and flooding mailboxes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from models.attempt import Attempt
from models.outbox_mail import OutboxMail
from models.store import Store
from models.user import User
from resolvers import account, password_changes, registration
from resolvers.account_rules import AccountRules
from resolvers.attempts import PASSWORD_TRIES, Attempts, Rule, network_of
from resolvers.context import Context, Services
from resolvers.errors import InvalidCredentials, RateLimited
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio

EMAIL = "anna@example.com"
PASSWORD = "kranich seven"


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def anna(context: Context) -> User:
    await registration.register(context, email=EMAIL, password=PASSWORD)
    return await User.get()


async def guess(context: Context, password: str = "wrong password", email: str = EMAIL) -> int:
    """Seconds to wait; 0 if the password was looked at."""
    with pytest.raises((InvalidCredentials, RateLimited)) as caught:
        await account.login(context, email=email, password=password)
    if not isinstance(caught.value, RateLimited):
        return 0
    seconds = caught.value.retry_after_seconds
    told = "one second" if seconds == 1 else f"{seconds} seconds"
    assert caught.value.message == f"Too many tries; wait {told}."
    return seconds


async def test_the_waits_grow(context: Context, anna: User, clock: SettableClock) -> None:
    """Three tries at once, then after 1, 2, 4, … 64 seconds; the eleventh when the first of the ten
    is 15 minutes old. The right password is not looked at before."""
    began = clock.now()
    waits: list[int] = []
    tries = 0
    while clock.now() - began < timedelta(minutes=14, seconds=59):
        if wait := await guess(context):
            waits.append(wait)
            assert await guess(context, PASSWORD) == wait
            clock.forward(seconds=wait)
        else:
            tries += 1
    assert tries == 10
    assert clock.now() - began == timedelta(minutes=15)
    assert await guess(context) == 0
    assert waits == [1, 2, 4, 8, 16, 32, 64, 900 - 127]


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com", "nonsense", "\ud800"])
async def test_unknown_addresses_are_counted_alike(
    context: Context, anna: User, email: str
) -> None:
    """The waits do not tell whether there is such an account."""
    assert [await guess(context, email=email) for _ in range(6)] == [0, 0, 0, 1, 1, 1]


async def test_at_once_is_no_way_around(context: Context, anna: User) -> None:
    """Of 50 tries at the same moment three are looked at."""
    waits = await asyncio.gather(*(guess(context) for _ in range(50)))
    assert waits.count(0) == 3
    assert await Attempt.filter(kind="password").count() == 3


async def test_many_right_ones_at_once(context: Context, anna: User) -> None:
    """The right password is right 30 times at the same moment."""
    tokens = await asyncio.gather(
        *(account.login(context, email=EMAIL, password=PASSWORD) for _ in range(30))
    )
    assert len({one.refresh_token for one in tokens}) == 30


async def test_a_restart_forgets_nothing(
    context: Context, services: Services, store: Store, anna: User, clock: SettableClock
) -> None:
    """The counts are in the database: another server on it knows them."""
    for _ in range(3):
        assert await guess(context) == 0
    other = replace(services, attempts=Attempts(store, clock))
    assert await guess(replace(context, services=other)) == 1


async def test_the_right_person_elsewhere(context: Context, anna: User) -> None:
    """Who guesses shuts out nobody at another address, and no other account."""
    for _ in range(9):
        await guess(context)
    elsewhere = replace(context, address="198.51.100.7")
    await account.login(elsewhere, email=EMAIL, password=PASSWORD)
    assert await guess(context, email="b@example.com") == 0
    # The success elsewhere gives the guesser nothing.
    assert await guess(context) == 1


async def test_a_success_forgives(context: Context, anna: User) -> None:
    """Two typing errors are forgotten with the right password."""
    for _ in range(4):
        assert [await guess(context), await guess(context)] == [0, 0]
        await account.login(context, email=EMAIL, password=PASSWORD)
    assert await Attempt.filter(kind="password").count() == 0


async def test_the_present_password_is_not_guessed_either(context: Context, anna: User) -> None:
    """Who has stolen a device may not try passwords with changePassword, from wherever."""
    tokens = await account.login(context, email=EMAIL, password=PASSWORD)
    viewer, _ = await account.authenticate(context.services, tokens.access_token)
    for number in range(3):
        there = replace(context, viewer=viewer, address=f"198.51.100.{number}")
        with pytest.raises(InvalidCredentials):
            await password_changes.change_password(
                there, current_password="wrong", new_password="another one"
            )
    with pytest.raises(RateLimited):
        await password_changes.change_password(
            replace(context, viewer=viewer),
            current_password=PASSWORD,
            new_password="another one",
        )


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_one_mailbox_is_not_flooded(
    context: Context, anna: User, clock: SettableClock, email: str
) -> None:
    """Ten mails an hour by whichever operation, from wherever, with an account or without."""
    await Attempt.all().delete()
    refused: list[int] = []
    for number in range(30):
        there = replace(context, address=f"198.51.100.{number}")
        try:
            match number % 3:
                case 0:
                    await password_changes.request_password_reset(there, email)
                case 1:
                    await registration.resend_verification(there, email)
                case _:
                    await registration.register(there, email=email, password="some words")
        except RateLimited as error:
            refused.append(error.retry_after_seconds)
    assert refused == [3600] * 20
    assert await OutboxMail.filter(to=email).count() <= 11
    clock.forward(hours=1)
    await password_changes.request_password_reset(context, email)


async def test_one_network_does_not_flood(
    context: Context, services: Services, clock: SettableClock
) -> None:
    """However many mailboxes it writes to; another network is not held up."""
    few = replace(context, services=replace(services, rules=AccountRules(mails_per_network=5)))
    for number in range(5):
        await registration.register(few, email=f"a{number}@example.com", password=PASSWORD)
    with pytest.raises(RateLimited):
        await registration.register(few, email="a5@example.com", password=PASSWORD)
    with pytest.raises(RateLimited):
        await password_changes.request_password_reset(few, "a6@example.com")
    assert await User.all().count() == 5
    await registration.register(
        replace(few, address="198.51.100.7"), email="a5@example.com", password=PASSWORD
    )


async def test_a_refusal_counts_for_nothing(store: Store, clock: SettableClock) -> None:
    """What one rule refuses is not counted by the other."""
    attempts = Attempts(store, clock)
    narrow = Rule("narrow", 1, timedelta(hours=1))
    wide = Rule("wide", 100, timedelta(hours=1))
    await attempts.take_mail([(narrow, "a"), (wide, "b")])
    for _ in range(3):
        with pytest.raises(RateLimited):
            await attempts.take_mail([(narrow, "a"), (wide, "b")])
    assert await Attempt.filter(kind="wide").count() == 1


async def test_counted_once_by_many_servers(
    anyio_backend: str, empty_database_url: str, clock: SettableClock
) -> None:
    """Two servers on one database, each with 20 tries at once, let ten through together."""
    rule = Rule("test", 10, timedelta(minutes=15))
    store = Store(empty_database_url)
    await store.open()
    try:
        servers = [Attempts(store, clock), Attempts(store, clock)]

        async def attempt(number: int) -> bool:
            try:
                async with servers[number % 2].turn(rule, "key"):
                    return True
            except RateLimited:
                return False

        assert sum(await asyncio.gather(*(attempt(number) for number in range(40)))) == 10
        assert await Attempt.all().count() == 10
    finally:
        await store.close()


def test_the_rule() -> None:
    """Ten in 15 minutes, and the waits fit in."""
    assert (PASSWORD_TRIES.most, PASSWORD_TRIES.window) == (10, timedelta(minutes=15))
    assert sum(PASSWORD_TRIES.waits) == 127


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_networks(address: str, network: str) -> None:
    """Nobody gets new tries from another address of the same IPv6 network."""
    assert network_of(address) == network
