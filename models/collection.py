"""Collections of documents, and who may see them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.user import User

# The collection of all documents that nobody put elsewhere. The migration makes it; it is never
# deleted, so a document always has a place.
GENERAL_ID: Final = UUID("00000000-0000-7000-8000-000000000001")


class Audience(StrEnum):
    """Who sees a collection."""

    PUBLIC = "PUBLIC"
    ROLES = "ROLES"
    NAMED = "NAMED"


class Collection(Row):
    """A set of documents with one audience. `roles` counts where that is ROLES, the rows of
    CollectionMember where it is NAMED; models/audience.py reads both."""

    name = fields.CharField(max_length=80, unique=True)
    audience = fields.CharEnumField(Audience, max_length=10, default=Audience.PUBLIC)
    roles: list[str] = fields.JSONField(default=list)
    updated_at: datetime = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "collection"


class UserGroup(Row):
    """People who are named together."""

    name = fields.CharField(max_length=80, unique=True)

    class Meta:
        table = "user_group"


class GroupMember(Row):
    """A person in a group."""

    group: fields.ForeignKeyRelation[UserGroup] = fields.ForeignKeyField(
        "models.UserGroup", related_name="members", on_delete=fields.CASCADE
    )
    group_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="groups", on_delete=fields.CASCADE
    )
    user_id: UUID

    class Meta:
        table = "group_member"
        unique_together = (("user", "group"),)
        indexes = (Index(fields=("group_id", "id")),)


class CollectionMember(Row):
    """A person or a group that a collection names: one of the two is set."""

    collection: fields.ForeignKeyRelation[Collection] = fields.ForeignKeyField(
        "models.Collection", related_name="members", on_delete=fields.CASCADE
    )
    collection_id: UUID
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="collections", on_delete=fields.CASCADE, null=True
    )
    user_id: UUID | None
    group: fields.ForeignKeyNullableRelation[UserGroup] = fields.ForeignKeyField(
        "models.UserGroup", related_name="collections", on_delete=fields.CASCADE, null=True
    )
    group_id: UUID | None

    class Meta:
        table = "collection_member"
        unique_together = (("collection", "user"), ("collection", "group"))
        # From a person, and from a group, to what they see: asked before every search.
        indexes = (Index(fields=("user_id",)), Index(fields=("group_id",)))
