"""What people think of replies."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.chat_message import ChatMessage
from models.user import User


class Rating(StrEnum):
    UP = "UP"
    DOWN = "DOWN"


class MessageRating(Row):
    """One person's rating of a reply."""

    message: fields.ForeignKeyRelation[ChatMessage] = fields.ForeignKeyField(
        "models.ChatMessage", related_name="ratings", on_delete=fields.CASCADE
    )
    message_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="ratings", on_delete=fields.CASCADE
    )
    user_id: UUID
    rating = fields.CharEnumField(Rating, max_length=4)
    comment: str | None = fields.TextField(null=True)
    updated_at: datetime = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "message_rating"
        unique_together = (("message", "user"),)
