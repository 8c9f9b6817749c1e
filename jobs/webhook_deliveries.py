"""Forgets old calls of the webhook."""

from __future__ import annotations

from datetime import timedelta

from jobs.ports import Clock
from models.ingestion import WebhookDelivery

# Senders give up after some days; a signature is refused after five minutes anyway.
KEPT = timedelta(days=7)


async def delete_old_deliveries(clock: Clock) -> int:
    """Delete what was received longer ago; returns how many."""
    return await WebhookDelivery.filter(received_at__lt=clock.now() - KEPT).delete()
