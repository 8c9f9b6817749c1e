"""Answers that editors have written or approved for a question."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.document import Document
from models.user import User


class ApprovedAnswer(Row):
    """The answer that close paraphrases of `question` get at once, without the model.

    `vector` is the question's embedding (little-endian float32) by `embedding_model`; with another
    model it is made again. A source is optional: `quote` was the text of the document at
    start..end when it was named. With `has_source` and without its document the answer is not given
    any more.
    """

    question: str = fields.TextField()
    answer: str = fields.TextField()
    vector: bytes = fields.BinaryField()
    embedding_model = fields.CharField(max_length=200)
    has_source = fields.BooleanField(default=False)
    document: fields.ForeignKeyNullableRelation[Document] = fields.ForeignKeyField(
        "models.Document", related_name="approved_answers", on_delete=fields.SET_NULL, null=True
    )
    document_id: UUID | None
    title = fields.CharField(max_length=300, default="")
    quote: str = fields.TextField(default="")
    headings: list[str] = fields.JSONField(default=list)
    start_offset: int = fields.IntField(default=0)
    end_offset: int = fields.IntField(default=0)
    approved_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="approved_answers", on_delete=fields.SET_NULL, null=True
    )
    approved_by_id: UUID | None
    updated_at: datetime = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "approved_answer"
