"""What all tables share."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import uuid_utils.compat
from tortoise import fields
from tortoise.models import Model


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): sorts by time, and within one process by the order of the calls."""
    return uuid_utils.compat.uuid7()


class Row(Model):
    """A table whose primary key sorts by time of creation."""

    id: UUID = fields.UUIDField(primary_key=True, default=new_id)
    created_at: datetime = fields.DatetimeField(auto_now_add=True)

    class Meta:
        abstract = True
