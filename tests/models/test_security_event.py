"""Security events in each kind of database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError

from models.security_event import KEPT_DAYS, EventKind, EventOutcome, SecurityEvent
from models.store import Store

pytestmark = pytest.mark.anyio

CHANGES = (
    "UPDATE security_event SET detail = 'other'",
    "UPDATE security_event SET created_at = '2001-01-01 00:00:00+00:00'",
    "DELETE FROM security_event",
)


async def make_event(**values: Any) -> SecurityEvent:
    return await SecurityEvent.create(
        kind=EventKind.LOGGED_IN.value, outcome=EventOutcome.SUCCEEDED.value, **values
    )


async def test_an_event_is_never_changed(store: Store) -> None:
    """The database itself refuses it, also in a transaction with others, and nothing is different
    afterwards."""
    event = await make_event(detail="first")
    only_here = (
        ["INSERT OR REPLACE INTO security_event SELECT * FROM security_event"]
        if store.is_sqlite
        else ["TRUNCATE security_event"]
    )
    for statement in (*CHANGES, *only_here):
        with pytest.raises(IntegrityError, match="security events are"):
            await store.connection.execute_query(statement)
    with pytest.raises(IntegrityError, match="security events are never changed"):
        await SecurityEvent.filter(id=event.id).update(detail="other")
    with pytest.raises(IntegrityError, match="kept for 30 days"):
        await event.delete()
    (kept,) = await SecurityEvent.all()
    assert (kept.id, kept.detail) == (event.id, "first")


async def test_an_old_event_can_go(store: Store) -> None:
    """After `KEPT_DAYS`, whatever the server's clock says; a younger one beside it stays."""
    now = datetime.now(UTC)
    old = await make_event(created_at=now - timedelta(days=KEPT_DAYS + 1))
    young = await make_event(created_at=now - timedelta(days=KEPT_DAYS - 1))
    assert await SecurityEvent.filter(id=old.id).delete() == 1
    with pytest.raises(IntegrityError, match="kept for 30 days"):
        await SecurityEvent.filter(id=young.id).delete()
    assert [row.id for row in await SecurityEvent.all()] == [young.id]
