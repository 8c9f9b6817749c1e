"""Who takes part in a conversation."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.chat_session import ChatSession
from models.reading import columns, fetch_by_key, hydrate_one
from models.user import User


class ParticipantRole(StrEnum):
    OWNER = "OWNER"
    WRITER = "WRITER"
    READER = "READER"


READERS = (ParticipantRole.OWNER, ParticipantRole.WRITER, ParticipantRole.READER)
WRITERS = (ParticipantRole.OWNER, ParticipantRole.WRITER)
OWNERS = (ParticipantRole.OWNER,)


class Participant(Row):
    """A person in a session, and how that person keeps it. No row, no access.

    `active_at` repeats the session's `updated_at`, so that a person's list is one range of an
    index. `read_message_id` is the last message that the person has seen.
    """

    session: fields.ForeignKeyRelation[ChatSession] = fields.ForeignKeyField(
        "models.ChatSession", related_name="participants", on_delete=fields.CASCADE
    )
    session_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="participations", on_delete=fields.CASCADE
    )
    user_id: UUID
    role = fields.CharEnumField(ParticipantRole, max_length=10)
    archived = fields.BooleanField(default=False)
    pinned = fields.BooleanField(default=False)
    tags: list[str] = fields.JSONField(default=list)
    active_at: datetime = fields.DatetimeField()
    read_message_id: UUID | None = fields.UUIDField(null=True)
    read_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "participant"
        unique_together = (("session", "user"),)
        indexes = (
            # A person's list, newest activity first, paged by (active_at, id).
            Index(fields=("user_id", "archived", "active_at", "id")),
        )

    @classmethod
    async def find(cls, user_id: UUID, session_id: UUID) -> Participant | None:
        """A person's part in a session, with the session; None if there is no such session, or the
        person is not in it: what one may not see does not exist."""
        rows = await fetch_by_key(cls, _find_sql(), [session_id, user_id])
        if not rows:
            return None
        session = hydrate_one(ChatSession, rows[0], begin=len(cls._meta.fields_db_projection))
        return hydrate_one(cls, rows[0], session=session)


@lru_cache(maxsize=1)
def _find_sql() -> str:
    return (
        f"SELECT {columns(Participant, 'p')}, {columns(ChatSession, 's')} "
        f'FROM "{Participant._meta.db_table}" p '
        f'JOIN "{ChatSession._meta.db_table}" s ON s."id" = p."session_id" '
        'WHERE p."session_id" = $1 AND p."user_id" = $2'
    )


class Invitation(Row):
    """A share with an address without an account, which becomes a Participant once it has one."""

    session: fields.ForeignKeyRelation[ChatSession] = fields.ForeignKeyField(
        "models.ChatSession", related_name="invitations", on_delete=fields.CASCADE
    )
    session_id: UUID
    email = fields.CharField(max_length=320, db_index=True)
    role = fields.CharEnumField(ParticipantRole, max_length=10)

    class Meta:
        table = "invitation"
        unique_together = (("session", "email"),)


class PublicLink(Row):
    """A link through which anyone may read a session, or one reply of it, until it is revoked.

    Its token is made from the row's id and the server's secret, and stands nowhere.
    """

    session: fields.ForeignKeyRelation[ChatSession] = fields.ForeignKeyField(
        "models.ChatSession", related_name="public_links", on_delete=fields.CASCADE
    )
    session_id: UUID
    reply_id: UUID | None = fields.UUIDField(null=True)
    revoked_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "public_link"
        indexes = (Index(fields=("session_id",)),)
