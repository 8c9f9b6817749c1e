"""Conversations."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.user import User


class ChatSession(Row):
    """A conversation. `updated_at` is its last activity: lists and retention go by it."""

    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="sessions", on_delete=fields.CASCADE
    )
    owner_id: UUID
    title = fields.CharField(max_length=200)
    archived = fields.BooleanField(default=False)
    updated_at: datetime = fields.DatetimeField()

    class Meta:
        table = "chat_session"
        indexes = (
            # A person's list, newest activity first, paged by (updated_at, id).
            Index(fields=("owner_id", "archived", "updated_at", "id")),
            # The retention job.
            Index(fields=("updated_at",)),
        )
