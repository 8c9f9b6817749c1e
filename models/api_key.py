"""Keys with which programs act for a person."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.login import Login
from models.user import User


class ApiScope(StrEnum):
    READ = "READ"
    CHAT = "CHAT"
    DOCUMENTS = "DOCUMENTS"


class ApiKey(Row):
    """A key of a person, known only by its SHA-256.

    Its login is what ends it: whatever watches over logins, such as open sockets, watches over
    keys, too. Its text begins with the id of that login.
    """

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="api_keys", on_delete=fields.CASCADE
    )
    user_id: UUID
    login: fields.ForeignKeyRelation[Login] = fields.ForeignKeyField(
        "models.Login", related_name="api_keys", on_delete=fields.CASCADE
    )
    login_id: UUID
    name = fields.CharField(max_length=100)
    key_hash = fields.CharField(max_length=64, unique=True)
    hint = fields.CharField(max_length=8)
    scopes: list[str] = fields.JSONField()
    last_used_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "api_key"
        indexes = (Index(fields=("user_id",)), Index(fields=("login_id",)))

    def __repr__(self) -> str:
        return f"<ApiKey {self.id}>"
