"""Sources that a reply names."""

from __future__ import annotations

from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from models.chat_message import ChatMessage
from models.document import Document


class Citation(Model):
    """The source behind `[number]` of a reply, as it was when it was cited.

    `quote` was the text of the document's `document_version` at start..end; it stays when the
    document changes or goes. `page` is that of a PDF or slide on which it begins, counted from 1.
    """

    id: int = fields.BigIntField(primary_key=True)
    message: fields.ForeignKeyRelation[ChatMessage] = fields.ForeignKeyField(
        "models.ChatMessage", related_name="citations", on_delete=fields.CASCADE
    )
    message_id: UUID
    number: int = fields.IntField()
    document: fields.ForeignKeyNullableRelation[Document] = fields.ForeignKeyField(
        "models.Document", related_name="citations", on_delete=fields.SET_NULL, null=True
    )
    document_id: UUID | None
    title = fields.CharField(max_length=300)
    quote: str = fields.TextField()
    start_offset: int = fields.IntField()
    end_offset: int = fields.IntField()
    page: int | None = fields.IntField(null=True)
    score: float = fields.FloatField()
    headings: list[str] = fields.JSONField(default=list, db_default="[]")

    class Meta:
        table = "citation"
        unique_together = (("message", "number"),)
