"""Who waits for the hashing of passwords."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from dataclasses import replace

import argon2
import pytest

from models.attempt import Attempt
from models.security_event import EventKind, SecurityEvent
from models.user import User
from resolvers import account, password_changes, registration
from resolvers.context import Context, Services
from resolvers.errors import InvalidCredentials, RateLimited
from resolvers.password_queue import MOST, MOST_OF_NETWORK, PasswordQueue
from resolvers.passwords import PasswordHasher
from tests.resolvers.conftest import EMAIL, PASSWORD, as_viewer

pytestmark = pytest.mark.anyio


class Gate:
    """A hasher that begins no check before it is opened, for contexts of its own."""

    def __init__(self, context: Context, most: int) -> None:
        self.most, self.of_network = most, most // 2
        queue = PasswordQueue(workers=2, most=self.most, most_of_network=self.of_network)
        self.hasher = hasher = PasswordHasher(
            time_cost=1, memory_cost=8, parallelism=1, queue=queue
        )
        self.opened = threading.Event()
        self.context = replace(context, services=replace(context.services, passwords=hasher))

    def at(self, address: str) -> Context:
        return replace(self.context, address=address)

    async def login(self, email: str, address: str, password: str = "wrong password") -> str:
        """What kind of answer comes."""
        try:
            await account.login(self.at(address), email=email, password=password)
        except (InvalidCredentials, RateLimited) as error:
            return type(error).__name__
        return "AuthTokens"

    async def filled(self, number: int) -> None:
        while self.hasher.waiting < number:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture(params=[40, pytest.param(MOST, marks=pytest.mark.slow)])
async def gate(
    request: pytest.FixtureRequest, context: Context, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gate]:
    made = Gate(context, request.param)
    verify = argon2.PasswordHasher.verify

    def waiting(self: argon2.PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        made.opened.wait(30)
        return verify(self, hash, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", waiting)
    try:
        yield made
    finally:
        made.opened.set()
        made.hasher.close()


async def test_hundreds_of_logins_at_once(gate: Gate, anna: User) -> None:
    """Of 712 from 7 networks as many wait as there are places; the others are told at once how
    long, and nothing is counted or noted against them. Others' queries go on meanwhile. The right
    person who is told to wait gets in afterwards."""
    logins = [
        asyncio.create_task(gate.login(f"p{number}@example.com", f"192.0.2.{number % 7}"))
        for number in range(gate.most + 200)
    ]
    await gate.filled(gate.most)
    with pytest.raises(RateLimited) as caught:
        await account.login(gate.at("203.0.113.9"), email=EMAIL, password=PASSWORD)
    # Two at a time, and 0.1 seconds each until one was measured.
    seconds = math.ceil(gate.most * 0.1 / 2)
    assert caught.value.retry_after_seconds == seconds
    told = f"Too many people are logging in now; wait {seconds} seconds."
    assert caught.value.message == told
    assert await User.filter(email=EMAIL).exists()
    while sum(one.done() for one in logins) < 200:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert gate.hasher.waiting == gate.most
    gate.opened.set()
    kinds = Counter(await asyncio.gather(*logins))
    assert kinds == {"InvalidCredentials": gate.most, "RateLimited": 200}
    assert gate.hasher.waiting == 0
    assert await Attempt.filter(kind="password").count() == gate.most
    assert not await SecurityEvent.filter(kind=EventKind.LOGIN_BLOCKED).exists()
    assert await gate.login(EMAIL, "203.0.113.9", PASSWORD) == "AuthTokens"


async def test_a_flood_from_one_network_leaves_room(gate: Gate, anna: User) -> None:
    """It has half of the places; who comes from elsewhere gets one."""
    flood = [
        asyncio.create_task(gate.login(f"p{number}@example.com", "192.0.2.1"))
        for number in range(2 * gate.of_network)
    ]
    await gate.filled(gate.of_network)
    while sum(one.done() for one in flood) < gate.of_network:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    elsewhere = asyncio.create_task(gate.login(EMAIL, "198.51.100.1", PASSWORD))
    await gate.filled(gate.of_network + 1)
    gate.opened.set()
    assert await elsewhere == "AuthTokens"
    assert Counter(await asyncio.gather(*flood)) == {
        "InvalidCredentials": gate.of_network,
        "RateLimited": gate.of_network,
    }


async def test_everything_that_hashes_waits_in_it(
    context: Context, services: Services, anna: User
) -> None:
    """Registering, a new password and the question for the present one are refused, too, while all
    places are taken, and leave nothing behind."""
    tokens = await account.login(context, email=EMAIL, password=PASSWORD)
    viewer = await as_viewer(context, tokens.access_token)
    hasher = services.passwords
    await Attempt.all().delete()
    with ExitStack() as places:
        for number in range(MOST):
            places.enter_context(hasher.place(str(number % 2)))
        with pytest.raises(RateLimited):
            await registration.register(context, email="new@example.com", password=PASSWORD)
        with pytest.raises(RateLimited):
            await password_changes.change_password(
                viewer, current_password=PASSWORD, new_password="another sentence"
            )
        with pytest.raises(RateLimited):
            await account.login(context, email=EMAIL, password=PASSWORD)
    assert await User.all().count() == 1
    assert await Attempt.all().count() == 0
    await account.login(context, email=EMAIL, password=PASSWORD)


async def test_the_wait_is_what_was_measured() -> None:
    """In whole seconds, one at least, in words for one and for many; a place that is left is free,
    also after an error."""
    assert (MOST, MOST_OF_NETWORK) == (512, 256)
    queue = PasswordQueue(workers=2, most=3, most_of_network=2)
    with suppress(ValueError), queue.place("a"):
        assert queue.waiting == 1
        raise ValueError
    assert queue.waiting == 0
    with queue.place("a"), queue.place("a"):
        with pytest.raises(RateLimited) as one:
            queue.place("a").__enter__()
        assert one.value.message == "Too many people are logging in now; wait one second."
        assert one.value.retry_after_seconds == 1
        with queue.place("b"):
            for _ in range(200):
                queue.took(3.0)
            with pytest.raises(RateLimited) as many:
                queue.place("c").__enter__()
            assert many.value.message == "Too many people are logging in now; wait 5 seconds."
            assert many.value.retry_after_seconds == 5
    assert queue.waiting == 0
