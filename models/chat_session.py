"""Conversations."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.user import User


class TitleSource(StrEnum):
    """Who made the title; a person's is never overwritten."""

    QUESTION = "QUESTION"
    MODEL = "MODEL"
    PERSON = "PERSON"


class AnswerMode(StrEnum):
    """Which messages of a session the assistant answers."""

    ALL = "ALL"
    ADDRESSED = "ADDRESSED"


class ChatSession(Row):
    """A conversation. `updated_at` is its last activity: lists and retention go by it.

    `owner` is who began it, or, once that person is no owner any more, another of its owners: the
    row goes with that account. Who may read and write says Participant.
    """

    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="sessions", on_delete=fields.CASCADE
    )
    owner_id: UUID
    title = fields.CharField(max_length=200)
    title_source = fields.CharEnumField(
        TitleSource, default=TitleSource.QUESTION, db_default="QUESTION", max_length=10
    )
    answers = fields.CharEnumField(
        AnswerMode, default=AnswerMode.ALL, db_default="ALL", max_length=10
    )
    updated_at: datetime = fields.DatetimeField()

    class Meta:
        table = "chat_session"
        indexes = (
            Index(fields=("owner_id",)),
            # The retention job.
            Index(fields=("updated_at",)),
        )
