"""Questions and replies."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.chat_session import ChatSession
from models.user import User


class MessageRole(StrEnum):
    USER = "USER"
    ASSISTANT = "ASSISTANT"


class MessageStatus(StrEnum):
    PENDING = "PENDING"
    STREAMING = "STREAMING"
    COMPLETE = "COMPLETE"
    STOPPED = "STOPPED"
    INTERRUPTED = "INTERRUPTED"
    FAILED = "FAILED"


class UngroundedReason(StrEnum):
    NO_DOCUMENTS = "NO_DOCUMENTS"
    NOTHING_FOUND = "NOTHING_FOUND"
    NOT_RELEVANT_ENOUGH = "NOT_RELEVANT_ENOUGH"


RUNNING = (MessageStatus.PENDING, MessageStatus.STREAMING)


class ChatMessage(Row):
    """A question or a reply. Messages form a tree through `parent`.

    `active` marks the path that the session shows: one child of each message at most. A child is
    always younger than its parent, so the active path in order of `id` is the conversation, and a
    page of it is one range of an index, wherever it lies.

    `client_key` makes sending idempotent: one question per author and key, and one reply per person
    who asked for it (`requested_by`: by regenerating one) and key.
    """

    session: fields.ForeignKeyRelation[ChatSession] = fields.ForeignKeyField(
        "models.ChatSession", related_name="messages", on_delete=fields.CASCADE
    )
    session_id: UUID
    parent: fields.ForeignKeyNullableRelation[ChatMessage] = fields.ForeignKeyField(
        "models.ChatMessage", related_name="children", on_delete=fields.CASCADE, null=True
    )
    parent_id: UUID | None
    active = fields.BooleanField(default=True)
    role = fields.CharEnumField(MessageRole, max_length=10)
    status = fields.CharEnumField(MessageStatus, max_length=12)
    content: str = fields.TextField()
    author: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="messages", on_delete=fields.SET_NULL, null=True
    )
    author_id: UUID | None
    requested_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="requested_replies", on_delete=fields.SET_NULL, null=True
    )
    requested_by_id: UUID | None
    client_key = fields.CharField(max_length=200, null=True)
    search_filter: dict[str, Any] | None = fields.JSONField(null=True)
    grounded = fields.BooleanField(null=True)
    ungrounded_reason = fields.CharEnumField(UngroundedReason, max_length=20, null=True)
    failure = fields.CharField(max_length=500, null=True)
    provider = fields.CharField(max_length=40, null=True)
    model = fields.CharField(max_length=200, null=True)
    prompt_tokens: int | None = fields.IntField(null=True)
    completion_tokens: int | None = fields.IntField(null=True)
    first_token_ms: int | None = fields.IntField(null=True)
    total_ms: int | None = fields.IntField(null=True)
    ended_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "chat_message"
        unique_together = (("author", "client_key"), ("requested_by", "client_key"))
        indexes = (
            # The conversation in order, paged by id from either end.
            Index(fields=("session_id", "active", "id")),
            # The children of a message: is its reply still running, which siblings are there.
            Index(fields=("parent_id",)),
            # Replies that a crash left unfinished.
            Index(fields=("status",)),
        )
