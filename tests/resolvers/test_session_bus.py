"""What readers of a session are told."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from uuid import UUID, uuid4

import pytest

from resolvers.errors import RateLimited
from resolvers.session_bus import (
    MAX_WAITING,
    MessageAdded,
    MessageChanged,
    ParticipantsChanged,
    SessionBus,
    SessionEvent,
    TypingChanged,
)

pytestmark = pytest.mark.anyio

SESSION = uuid4()


async def test_each_reader_gets_each_event_once_and_in_order() -> None:
    """Also a reader that comes later, from then on; another session's reader gets none."""
    bus = SessionBus()
    events: list[SessionEvent] = [MessageAdded(uuid4()) for _ in range(5)]
    with bus.reader(SESSION) as first, bus.reader(uuid4()) as other:
        bus.publish(SESSION, events[0])
        with bus.reader(SESSION) as second:
            for event in events[1:]:
                bus.publish(SESSION, event)
            assert [await anext(first) for _ in events] == events
            assert [await anext(second) for _ in events[1:]] == events[1:]
            assert (first.waiting, second.waiting, other.waiting) == (0, 0, 0)
        assert bus.open_readers == 2
    assert bus.open_readers == 0


async def test_following_waits_for_what_comes() -> None:
    """The generator wakes for an event, and closing it leaves nothing."""
    bus = SessionBus()
    async with aclosing(bus.follow(SESSION)) as events:
        reading = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        bus.publish(SESSION, ParticipantsChanged())
        assert await reading == ParticipantsChanged()
    assert bus.open_readers == 0


async def test_an_event_that_waits_is_not_added_again() -> None:
    """A reader that takes nothing holds one event per row, at its first place."""
    bus = SessionBus()
    first, second, person = uuid4(), uuid4(), uuid4()
    with bus.reader(SESSION) as reader:
        for _ in range(10_000):
            bus.publish(SESSION, MessageAdded(first, person))
            bus.publish(SESSION, MessageChanged(first))
            bus.publish(SESSION, TypingChanged(person))
            bus.publish(SESSION, MessageChanged(second))
        assert reader.waiting == 4
        assert await anext(reader) == MessageAdded(first)
        bus.publish(SESSION, MessageAdded(first))
        taken = [await anext(reader) for _ in range(4)]
        assert taken[-1] == MessageAdded(first)


async def test_a_reader_that_is_far_behind_is_told_so() -> None:
    """Its memory has a limit; what does not fit is not lost in silence, and the others go on."""
    bus = SessionBus()
    with bus.reader(SESSION) as slow, bus.reader(SESSION) as quick:
        for number in range(2 * MAX_WAITING):
            bus.publish(SESSION, MessageAdded(UUID(int=number)))
            assert await anext(quick) == MessageAdded(UUID(int=number))
        assert slow.waiting == MAX_WAITING
        with pytest.raises(RateLimited, match="too slowly"):
            await anext(slow)
        assert slow.waiting == 0


async def test_messages_are_told_in_the_order_of_their_commits() -> None:
    """Of writers at the same time, each holds its turn from the commit to the event."""
    bus = SessionBus()
    committed: list[UUID] = []

    async def write(message_id: UUID, delay: float) -> None:
        async with bus.in_order(SESSION):
            committed.append(message_id)
            await asyncio.sleep(delay)  # the way from the commit back to the writer
            bus.publish(SESSION, MessageAdded(message_id))

    with bus.reader(SESSION) as reader:
        await asyncio.gather(*(write(uuid4(), 0.01 / (n + 1)) for n in range(5)))
        told = [await anext(reader) for _ in committed]
    assert told == [MessageAdded(one) for one in committed]
    assert not bus._turns


async def test_a_new_session_needs_no_turn() -> None:
    """Nobody else can write to it yet."""
    bus = SessionBus()
    async with bus.in_order(None), bus.in_order(None):
        assert not bus._turns


async def test_a_relay_carries_events_both_ways() -> None:
    """It gets what happens here, and not again what it brought."""
    sent: list[tuple[UUID, SessionEvent]] = []
    heard: list[SessionEvent] = []

    class Relay:
        def send(self, session_id: UUID, event: SessionEvent) -> None:
            sent.append((session_id, event))

    bus = SessionBus(Relay())
    bus.listen(lambda _, event: heard.append(event))
    here, there = MessageAdded(uuid4()), MessageAdded(uuid4())
    with bus.reader(SESSION) as reader:
        bus.publish(SESSION, here)
        bus.deliver(SESSION, there)
        assert [await anext(reader), await anext(reader)] == heard == [here, there]
    assert sent == [(SESSION, here)]
