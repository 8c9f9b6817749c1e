"""Noting security events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.security_event import EventKind, SecurityEvent
from models.store import Store
from resolvers.audit import note, note_signing_keys
from resolvers.context import Context
from tests.clock import RunningClock

pytestmark = pytest.mark.anyio


async def test_other_keys_are_noted_once(store: Store, clock: RunningClock) -> None:
    """At the first start, and at each start with others than before."""
    noted = [await note_signing_keys(clock.now(), keys) for keys in ("a", "a", "b c", "b c", "a")]
    assert noted == [True, False, True, False, True]
    events = await SecurityEvent.all().order_by("id")
    assert [(one.kind, one.detail) for one in events] == [
        ("SIGNING_KEY_CHANGED", keys) for keys in ("a", "b c", "a")
    ]


async def test_whatever_a_header_holds_can_be_noted(context: Context) -> None:
    """It is cut and cleaned, so that no header undoes an event and what it tells about."""
    odd = "x\0\ud800" * 200
    hostile = replace(context, address=odd, user_agent=odd, request_id=odd)
    await note(hostile, EventKind.LOGGED_IN, detail="d" * 500)
    event = await SecurityEvent.get()
    assert (event.address, event.device) == ("x" * 45, "x" * 200)
    assert (event.request_id, event.detail) == ("x" * 100, "d" * 200)
