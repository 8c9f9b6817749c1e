"""Streams whose reader loses the right to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import ExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from models.base import new_id
from models.chat_session import ChatSession
from models.login import Login
from models.participant import Participant, ParticipantRole
from models.store import Store
from models.user import User
from resolvers.access_watch import AccessEndReason, AccessLost, AccessWatch, Grant
from resolvers.errors import Forbidden, Unauthenticated
from resolvers.session_bus import ParticipantsChanged, SessionBus, SessionDeleted
from tests.clock import SettableClock
from tests.queries import counted
from tests.transport.app import eventually

pytestmark = pytest.mark.anyio


class FakeDevices:
    """Connections of `open`; remembers what it was told to close."""

    def __init__(self) -> None:
        self.open: set[UUID] = set()
        self.closed: list[set[UUID]] = []

    def logins(self) -> set[UUID]:
        return self.open

    async def close_expired(self) -> None:
        """None of these has a token."""

    async def close(self, login_ids: Collection[UUID], *, reason: str) -> None:
        self.closed.append(set(login_ids))
        self.open -= set(login_ids)


class World:
    """A session with one person in it, who has one login."""

    def __init__(self, store: Store) -> None:
        self.clock = SettableClock()
        self.bus = SessionBus()
        self.devices = FakeDevices()
        self.store = store
        self.watch = AccessWatch(store, self.clock, self.bus, poll_seconds=0.01)
        self.user: User
        self.session: ChatSession
        self.login: Login

    async def fill(self) -> World:
        now = self.clock.now()
        owner = await User.create(email="o@x.example", display_name="O", password_hash="x")
        self.user = await User.create(email="a@x.example", display_name="A", password_hash="x")
        self.session = await ChatSession.create(owner=owner, title="S", updated_at=now)
        self.login = await self.sign_in()
        await Participant.create(
            session=self.session, user=self.user, role=ParticipantRole.READER, active_at=now
        )
        return self

    async def sign_in(self) -> Login:
        now = self.clock.now()
        return await Login.create(
            user=self.user, created_at=now, last_used_at=now, expires_at=now.replace(year=2031)
        )

    def grant(self, stack: ExitStack, login: Login | None = None) -> Grant:
        key = (login or self.login).id
        return stack.enter_context(self.watch.grant(self.user.id, key, self.session.id))


@pytest.fixture
async def world(store: Store) -> World:
    return await World(store).fill()


async def numbers() -> AsyncGenerator[int, None]:
    yield 1
    await asyncio.Event().wait()


# ---- one stream ----------------------------------------------------------------------------------


async def test_the_wait_for_an_event_ends_with_the_right() -> None:
    """The task itself is not cancelled: it goes on, and can wait for other things."""
    grant, events = Grant(uuid4(), uuid4(), uuid4()), numbers()
    assert await grant.next(events) == 1
    asyncio.get_running_loop().call_later(0.01, grant.end, AccessEndReason.REMOVED)
    with pytest.raises(AccessLost) as lost:
        await grant.next(events)
    assert lost.value.reason is AccessEndReason.REMOVED
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(1):
        await asyncio.sleep(0)
    with pytest.raises(AccessLost):
        await grant.next(numbers())


async def test_an_event_that_came_with_the_loss_is_not_delivered() -> None:
    """Also where the event is ready first."""
    grant = Grant(uuid4(), uuid4(), uuid4())

    async def losing() -> AsyncGenerator[int, None]:
        grant.lost = AccessEndReason.LOGGED_OUT
        yield 1

    with pytest.raises(AccessLost):
        await grant.next(losing())


async def test_a_cancellation_from_outside_stays_one() -> None:
    """A reader who goes away is no reader who lost a right, also at the same moment."""
    for lose in (False, True):
        grant = Grant(uuid4(), uuid4(), uuid4())
        events = numbers()
        await grant.next(events)
        reading = asyncio.create_task(grant.next(events))
        await asyncio.sleep(0)
        if lose:
            grant.end(AccessEndReason.REMOVED)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert reading.cancelled()


async def test_the_first_reason_stays() -> None:
    """A later one does not cancel again what is ending."""
    grant = Grant(uuid4(), uuid4(), uuid4())
    grant.end(AccessEndReason.LOGGED_OUT)
    grant.end(AccessEndReason.REMOVED)
    assert grant.lost is AccessEndReason.LOGGED_OUT


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (AccessEndReason.REMOVED, Forbidden),
        (AccessEndReason.SESSION_DELETED, Forbidden),
        (AccessEndReason.LOGGED_OUT, Unauthenticated),
        (AccessEndReason.ACCOUNT_CLOSED, Unauthenticated),
    ],
)
async def test_each_reason_has_an_error(reason: AccessEndReason, error: type[Exception]) -> None:
    """For streams whose type has no event for it."""
    assert type(AccessLost(reason).as_error()) is error


# ---- what ends streams ---------------------------------------------------------------------------


async def test_what_this_process_did_is_noticed_at_once(world: World) -> None:
    """A deletion and an ended login, without a query and without the poll."""
    with ExitStack() as stack:
        grant, other = world.grant(stack), world.grant(stack, await world.sign_in())
        world.watch.end_logins([world.login.id])
        assert (grant.lost, other.lost) == (AccessEndReason.LOGGED_OUT, None)
        world.bus.publish(uuid4(), SessionDeleted())
        assert other.lost is None
        world.bus.publish(world.session.id, SessionDeleted())
        assert other.lost is AccessEndReason.SESSION_DELETED
    assert world.watch.open_grants == 0


async def test_everything_is_checked_with_two_queries(world: World) -> None:
    """However many streams are open; none without any."""
    with ExitStack() as stack:
        async with counted(world.store) as queries:
            await world.watch.check()
        assert queries == []
        grants = [world.grant(stack) for _ in range(50)]
        async with counted(world.store) as queries:
            await world.watch.check()
        assert len(queries) == 2
        assert not any(grant.lost for grant in grants)


@pytest.mark.parametrize("reason", AccessEndReason)
async def test_a_check_tells_why(world: World, reason: AccessEndReason) -> None:
    """Each reason, as the rows say it."""
    with ExitStack() as stack:
        grant = world.grant(stack)
        await world.watch.check()
        assert grant.lost is None
        match reason:
            case AccessEndReason.REMOVED:
                await Participant.filter(user_id=world.user.id).delete()
            case AccessEndReason.SESSION_DELETED:
                await ChatSession.filter(id=world.session.id).delete()
            case AccessEndReason.LOGGED_OUT:
                await Login.filter(id=world.login.id).update(revoked_at=world.clock.now())
            case AccessEndReason.ACCOUNT_CLOSED:
                await User.filter(id=world.user.id).delete()
        await world.watch.check()
        assert grant.lost is reason


async def test_an_expired_login_ends_by_the_clock(world: World) -> None:
    """Not before."""
    with ExitStack() as stack:
        grant = world.grant(stack)
        world.clock.forward(days=365)
        assert world.clock.now() == world.login.expires_at
        await world.watch.check()
        assert grant.lost is AccessEndReason.LOGGED_OUT


async def test_more_streams_than_one_query_names(world: World) -> None:
    """2,500 open streams are checked in parts, and the one that has its right keeps it."""
    with ExitStack() as stack:
        kept = world.grant(stack)
        lost = [
            stack.enter_context(world.watch.grant(new_id(), new_id(), new_id()))
            for _ in range(2_500)
        ]
        await world.watch.check()
        assert kept.lost is None
        assert all(grant.lost is AccessEndReason.ACCOUNT_CLOSED for grant in lost)


# ---- the poll ------------------------------------------------------------------------------------


async def test_the_poll_notices_what_another_process_did(world: World) -> None:
    """Streams end, and connections on which nothing streams are closed."""
    idle, busy = await world.sign_in(), await world.sign_in()
    world.devices.open = {idle.id, busy.id}
    world.watch.start(world.devices)
    try:
        with ExitStack() as stack:
            grant = world.grant(stack, busy)
            await asyncio.sleep(0.05)
            assert grant.lost is None
            await Login.filter(id__in=[idle.id, busy.id]).update(revoked_at=world.clock.now())
            await eventually(lambda: grant.lost is not None)
            await eventually(lambda: world.devices.closed == [{idle.id, busy.id}])
    finally:
        await world.watch.stop()


async def test_a_change_of_participants_is_looked_at_before_the_next_poll(store: Store) -> None:
    """Whose part is still there stays."""
    world = World(store)
    world.watch = AccessWatch(store, world.clock, world.bus, poll_seconds=3600)
    await world.fill()
    world.watch.start(world.devices)
    try:
        with ExitStack() as stack:
            grant = world.grant(stack)
            owner = stack.enter_context(world.watch.grant(world.user.id, world.login.id, uuid4()))
            world.bus.publish(world.session.id, ParticipantsChanged())
            await asyncio.sleep(0.05)
            assert grant.lost is None
            await Participant.filter(user_id=world.user.id).delete()
            world.bus.publish(world.session.id, ParticipantsChanged())
            await eventually(lambda: grant.lost is AccessEndReason.REMOVED)
            assert owner.lost is None  # of another session: not looked at
    finally:
        await world.watch.stop()


async def test_a_database_that_is_away_ends_nothing(
    world: World, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged once; when the database is back, the poll goes on."""
    world.watch.start(world.devices)
    try:
        with ExitStack() as stack, caplog.at_level(logging.WARNING, "groundql.access"):
            grant = world.grant(stack)
            await store.connection.execute_script("ALTER TABLE login RENAME TO login_away")
            await eventually(lambda: len(caplog.records) > 0)
            await asyncio.sleep(0.05)
            assert grant.lost is None
            assert len(caplog.records) == 1
            await store.connection.execute_script("ALTER TABLE login_away RENAME TO login")
            await Login.filter(id=world.login.id).update(revoked_at=world.clock.now())
            await eventually(lambda: grant.lost is AccessEndReason.LOGGED_OUT)
    finally:
        await world.watch.stop()


async def test_a_login_ends_though_it_is_used(world: World) -> None:
    """90 days after it was made its streams and connections end; a key's go on to its own end."""
    now = world.clock.now()
    key = await Login.create(
        user=world.user,
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(days=365),
        is_key=True,
    )
    world.devices.open = {world.login.id, key.id}
    with ExitStack() as stack:
        world.watch.start(world.devices)
        mine, program = world.grant(stack), world.grant(stack, key)
        world.clock.forward(days=90, seconds=-1)
        await world.watch.check()
        assert (mine.lost, program.lost) == (None, None)
        world.clock.forward(seconds=1)
        await world.watch.check()
        assert (mine.lost, program.lost) == (AccessEndReason.LOGGED_OUT, None)
        await eventually(lambda: world.devices.closed == [{world.login.id}])
        world.clock.forward(days=275)
        await world.watch.check()
        assert program.lost is AccessEndReason.LOGGED_OUT
        await world.watch.stop()


async def test_a_suspension_by_another_process(world: World) -> None:
    """A login that is not ended ends with its person's suspension, and its connection, too."""
    world.devices.open = {world.login.id}
    with ExitStack() as stack:
        world.watch.start(world.devices)
        grant = world.grant(stack)
        await world.watch.check()
        assert grant.lost is None
        await User.filter(id=world.user.id).update(suspended_at=world.clock.now())
        await eventually(lambda: grant.lost is AccessEndReason.LOGGED_OUT)
        await eventually(lambda: world.devices.closed == [{world.login.id}])
        await world.watch.stop()
