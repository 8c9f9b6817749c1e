"""How long security events are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.security_events import delete_old_events
from models.security_event import SecurityEvent
from models.store import Store
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio

AGES = (0, 29, 32, 364, 366)


@pytest.mark.parametrize(
    ("days", "kept"), [(0, AGES), (365, AGES[:4]), (100, AGES[:3]), (1, AGES[:2])]
)
async def test_only_old_events_go(store: Store, days: int, kept: tuple[int, ...]) -> None:
    """Those that are older than the setting says, in batches; what the database keeps is not even
    tried."""
    # The database goes by its own clock.
    now = datetime.now(UTC)
    for age in AGES:
        await SecurityEvent.create(
            kind="LOGGED_IN",
            outcome="SUCCEEDED",
            detail=str(age),
            created_at=now - timedelta(days=age),
        )
    clock = SettableClock()
    clock.time = now
    assert await delete_old_events(clock, days=days, batch=1) == len(AGES) - len(kept)
    assert await delete_old_events(clock, days=days) == 0
    assert sorted(int(row.detail) for row in await SecurityEvent.all()) == list(kept)
