"""Forgetting old calls of the webhook."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.webhook_deliveries import KEPT, delete_old_deliveries
from models.ingestion import WebhookDelivery
from models.store import Store
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio


async def test_only_old_calls_are_forgotten(store: Store) -> None:
    """Those of the last seven days still answer as they did."""
    clock = SettableClock()
    for name, age in (("new", timedelta(0)), ("kept", KEPT), ("old", KEPT + timedelta(seconds=1))):
        await WebhookDelivery.create(id=name, received_at=clock.now() - age, answer={})
    assert await delete_old_deliveries(clock) == 1
    assert {row.id for row in await WebhookDelivery.all()} == {"new", "kept"}
