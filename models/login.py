"""Signed-in devices and their refresh tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from tortoise import fields
from tortoise.expressions import Q
from tortoise.indexes import Index

from models.base import Row
from models.reading import columns, fetch_by_key, hydrate_one
from models.store import Store
from models.user import User


class Login(Row):
    """One sign-in on one device: the family of all refresh tokens that descend from it.

    Access tokens name it (`sid`), so revoking the row ends them, too. `expires_at` moves with each
    refresh, up to the end that comes in any case, which is counted from `created_at`.
    """

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="logins", on_delete=fields.CASCADE
    )
    user_id: UUID
    last_used_at: datetime = fields.DatetimeField()
    expires_at: datetime = fields.DatetimeField(db_index=True)
    revoked_at: datetime | None = fields.DatetimeField(null=True)
    user_agent = fields.CharField(max_length=300, default="")
    address = fields.CharField(max_length=45, default="")
    is_key = fields.BooleanField(default=False, db_default=False)  # an ApiKey's, not a device's

    class Meta:
        table = "login"
        indexes = (Index(fields=("user_id",)),)

    @staticmethod
    def alive(now: datetime, lifetime: timedelta) -> Q:
        """Which rows count at this time. Those of keys end at `expires_at` alone, however long a
        device's login may live."""
        return Q(revoked_at__isnull=True, expires_at__gt=now) & Q(
            Q(is_key=True), Q(created_at__gt=now - lifetime), join_type="OR"
        )

    def is_alive(self, now: datetime, lifetime: timedelta) -> bool:
        """Whether this row counts; see `alive`."""
        return (
            self.revoked_at is None
            and self.expires_at > now
            and (self.is_key or self.created_at + lifetime > now)
        )

    @classmethod
    async def find(cls, store: Store, login_id: UUID, user_id: UUID) -> Login | None:
        """A person's login with the person. Every operation of the API begins with it, so its
        statement is made once: building it takes longer than the database."""
        rows = await fetch_by_key(cls, _find_sql(), [login_id, user_id])
        if not rows:
            return None
        user = hydrate_one(User, rows[0], begin=len(cls._meta.fields_db_projection))
        return hydrate_one(cls, rows[0], user=user)


@lru_cache(maxsize=1)
def _find_sql() -> str:
    return (
        f"SELECT {columns(Login, 'l')}, {columns(User, 'u')} "
        f'FROM "{Login._meta.db_table}" l JOIN "{User._meta.db_table}" u ON u."id" = l."user_id" '
        'WHERE l."id" = $1 AND l."user_id" = $2'
    )


class RefreshToken(Row):
    """A refresh token, known only by the SHA-256 of its text. Used once: `used_at` says when."""

    login: fields.ForeignKeyRelation[Login] = fields.ForeignKeyField(
        "models.Login", related_name="refresh_tokens", on_delete=fields.CASCADE
    )
    login_id: UUID
    token_hash = fields.CharField(max_length=64, unique=True)
    expires_at: datetime = fields.DatetimeField(db_index=True)
    used_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "refresh_token"
        indexes = (Index(fields=("login_id",)),)

    def __repr__(self) -> str:
        return f"<RefreshToken {self.id}>"
