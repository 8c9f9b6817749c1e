"""People."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from tortoise import fields

from models.base import Row


class Role(StrEnum):
    USER = "USER"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"


# Who looks after the documents and the answers.
EDITORS: Final = (Role.EDITOR, Role.ADMIN)


class User(Row):
    """A person with an account. `email` is in the normal form that logins are looked up by.

    `password_hash` is empty for who has only signed in by a provider: no password is theirs.
    """

    email = fields.CharField(max_length=320, unique=True)
    display_name = fields.CharField(max_length=100)
    role = fields.CharEnumField(Role, default=Role.USER, max_length=10)
    password_hash = fields.CharField(max_length=200)
    language = fields.CharField(max_length=2, null=True)  # of our texts, None: as the browser says
    email_verified_at: datetime | None = fields.DatetimeField(null=True)
    suspended_at: datetime | None = fields.DatetimeField(null=True)
    updated_at: datetime = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "user_account"  # "user" is a reserved word in PostgreSQL

    def __repr__(self) -> str:
        return f"<User {self.id}>"
