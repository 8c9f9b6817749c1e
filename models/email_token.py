"""Links sent by mail."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.user import User


class EmailPurpose(StrEnum):
    VERIFY = "VERIFY"
    RESET = "RESET"


class EmailToken(Row):
    """A one-time token in a mail, known only by its SHA-256. `email` is the address it proves.

    A token of VERIFY carries the password (hashed) and the name of the registration that its mail
    tells about: they count once it is opened, whoever registered the address before. `network` is
    where that registration came from.
    """

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="email_tokens", on_delete=fields.CASCADE
    )
    user_id: UUID
    purpose = fields.CharEnumField(EmailPurpose, max_length=10)
    email = fields.CharField(max_length=320)
    token_hash = fields.CharField(max_length=64, unique=True)
    expires_at: datetime = fields.DatetimeField(db_index=True)
    used_at: datetime | None = fields.DatetimeField(null=True)
    password_hash = fields.CharField(max_length=200, null=True)
    display_name = fields.CharField(max_length=100, null=True)
    network = fields.CharField(max_length=45, null=True)

    class Meta:
        table = "email_token"
        indexes = (Index(fields=("user_id",)),)

    def __repr__(self) -> str:
        return f"<EmailToken {self.id}>"
