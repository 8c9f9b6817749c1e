"""Questions that the knowledge base had no answer to, in groups of like meaning."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.chat_message import ChatMessage


class UnansweredState(StrEnum):
    OPEN = "OPEN"
    SOLVED = "SOLVED"
    DISMISSED = "DISMISSED"


class UnansweredGroup(Row):
    """Questions that mean about the same.

    `vector` is the embedding of the one that began it. Its text, count and times are those of its
    questions: a group without any is shown to nobody.
    """

    vector: bytes = fields.BinaryField()
    embedding_model = fields.CharField(max_length=200)
    state = fields.CharEnumField(UnansweredState, max_length=10, default=UnansweredState.OPEN)
    updated_at: datetime = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "unanswered_group"
        indexes = (Index(fields=("state",)),)


class UnansweredQuestion(Row):
    """One question of a group. It goes with its message, so nothing of a deleted session stays."""

    group: fields.ForeignKeyRelation[UnansweredGroup] = fields.ForeignKeyField(
        "models.UnansweredGroup", related_name="questions", on_delete=fields.CASCADE
    )
    group_id: UUID
    message: fields.ForeignKeyRelation[ChatMessage] = fields.ForeignKeyField(
        "models.ChatMessage", related_name="unanswered", on_delete=fields.CASCADE
    )
    message_id: UUID

    class Meta:
        table = "unanswered_question"
        unique_together = (("message",),)
        indexes = (Index(fields=("group_id",)),)
