"""Who is there and who writes, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from resolvers.presence import Presence
from resolvers.session_bus import (
    MessageAdded,
    PresenceChanged,
    SessionBus,
    SessionEvent,
    TypingChanged,
)

SESSION, ANN, BEN = uuid4(), uuid4(), uuid4()


class Timers:
    """Timers that go off when the test moves the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running: list[_Timer] = []

    def start(self, seconds: float, action: Callable[[], None]) -> _Timer:
        timer = _Timer(self, self.now + seconds, action)
        self.running.append(timer)
        return timer

    def forward(self, seconds: float) -> None:
        self.now += seconds
        for timer in [one for one in self.running if one.due <= self.now]:
            self.running.remove(timer)
            timer.action()


class _Timer:
    def __init__(self, timers: Timers, due: float, action: Callable[[], None]) -> None:
        self.timers, self.due, self.action = timers, due, action

    def cancel(self) -> None:
        if self in self.timers.running:
            self.timers.running.remove(self)


class World:
    def __init__(self) -> None:
        self.timers = Timers()
        self.bus = SessionBus()
        self.told: list[SessionEvent] = []
        self.bus.listen(lambda _, event: self.told.append(event))
        self.presence = Presence(self.bus, start_timer=self.timers.start)

    def news(self) -> list[SessionEvent]:
        told, self.told = self.told, []
        return told


@pytest.fixture
def world() -> World:
    return World()


def test_typing_lasts_six_seconds_after_its_last_renewal(world: World) -> None:
    """A renewal is not told; the end is, once."""
    presence = world.presence
    presence.set_typing(SESSION, ANN, typing=True)
    assert world.news() == [TypingChanged(ANN)]
    for _ in range(5):
        world.timers.forward(5.9)
        presence.set_typing(SESSION, ANN, typing=True)
    assert presence.typing(SESSION) == {ANN}
    assert world.news() == []
    world.timers.forward(5.9)
    assert presence.typing(SESSION) == {ANN}
    world.timers.forward(0.1)
    assert presence.typing(SESSION) == set()
    assert world.news() == [TypingChanged(ANN)]
    assert presence.is_empty
    world.timers.forward(100)
    assert world.news() == []


def test_a_message_ends_its_author_s_typing_only(world: World) -> None:
    """Ben goes on when Ann's message is there; a reply ends nobody's."""
    for person in (ANN, BEN):
        world.presence.set_typing(SESSION, person, typing=True)
    message = MessageAdded(uuid4(), ANN)
    world.news()
    world.bus.publish(SESSION, message)
    assert TypingChanged(ANN) in world.news()
    world.bus.publish(SESSION, MessageAdded(uuid4()))
    world.bus.publish(uuid4(), MessageAdded(uuid4(), BEN))
    assert world.presence.typing(SESSION) == {BEN}
    assert len(world.timers.running) == 1


def test_ending_what_was_not_begun_is_not_told(world: World) -> None:
    """And keeps nothing."""
    world.presence.set_typing(SESSION, ANN, typing=False)
    assert world.news() == []
    assert world.presence.is_empty


def test_a_person_with_several_streams_counts_once(world: World) -> None:
    """Only the first and the last of them change who is there."""
    presence = world.presence
    with presence.enter(SESSION, ANN):
        assert world.news() == [PresenceChanged()]
        with presence.enter(SESSION, ANN):
            assert world.news() == []
            with presence.enter(SESSION, BEN):
                assert presence.present(SESSION) == {ANN, BEN}
            assert world.news() == [PresenceChanged()] * 2
        assert world.news() == []
        assert presence.present(SESSION) == {ANN}
        assert presence.present(uuid4()) == set()
        presence.set_typing(SESSION, ANN, typing=True)
    assert world.news() == [TypingChanged(ANN), TypingChanged(ANN), PresenceChanged()]
    assert presence.is_empty
    assert world.timers.running == []
