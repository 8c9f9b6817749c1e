"""Changes of addresses that wait for their confirmation."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.user import User


class EmailChange(Row):
    """A person's wish for another address. It is done once both mailboxes have confirmed.

    Each mailbox got a token of its own, known only by its SHA-256. `new_hash` is null where the new
    address belongs to somebody: that mailbox got another mail then, and nothing comes of it.
    """

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="email_changes", on_delete=fields.CASCADE
    )
    user_id: UUID
    old_email = fields.CharField(max_length=320)
    new_email = fields.CharField(max_length=320)
    old_hash = fields.CharField(max_length=64, unique=True)
    new_hash = fields.CharField(max_length=64, unique=True, null=True)
    old_confirmed_at: datetime | None = fields.DatetimeField(null=True)
    new_confirmed_at: datetime | None = fields.DatetimeField(null=True)
    done_at: datetime | None = fields.DatetimeField(null=True)
    expires_at: datetime = fields.DatetimeField(db_index=True)

    class Meta:
        table = "email_change"
        indexes = (Index(fields=("user_id",)),)

    def __repr__(self) -> str:
        return f"<EmailChange {self.id}>"
