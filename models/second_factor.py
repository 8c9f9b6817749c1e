"""Codes of an authenticator app as the second factor of a login, and codes for when it is lost."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.user import User


class SecondFactor(Row):
    """A person's secret for TOTP (RFC 6238). It counts once `confirmed_at` says when.

    `secret` is encrypted (resolvers/sealing.py); rows of old versions hold it as it is until the
    server's next start.

    `last_step` is the time step of the last code that was taken, so that none is taken twice.
    `tries` counts the codes that were tried since `tries_since` without a right one.
    """

    user: fields.OneToOneRelation[User] = fields.OneToOneField(
        "models.User", related_name="second_factor", on_delete=fields.CASCADE
    )
    user_id: UUID
    secret = fields.CharField(max_length=200)
    confirmed_at: datetime | None = fields.DatetimeField(null=True)
    last_step = fields.BigIntField(default=0)
    tries = fields.IntField(default=0)
    tries_since: datetime = fields.DatetimeField()

    class Meta:
        table = "second_factor"

    def __repr__(self) -> str:
        return f"<SecondFactor {self.id}>"


class RecoveryCode(Row):
    """A code that stands in for the app once, known only by its SHA-256."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="recovery_codes", on_delete=fields.CASCADE
    )
    user_id: UUID
    code_hash = fields.CharField(max_length=64)
    used_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "recovery_code"
        unique_together = (("user", "code_hash"),)

    def __repr__(self) -> str:
        return f"<RecoveryCode {self.id}>"
