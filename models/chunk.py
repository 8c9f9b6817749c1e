"""The knowledge base: passages and their vectors."""

from __future__ import annotations

from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.document import Document


class Chunk(Model):
    """A passage of a document: `text == document.content[start:end]`.

    `table_head` is the head of the table whose later rows the passage begins with, else null.
    `vector` is `dimension` little-endian float32; `sentence_spans` is a flat list of start and end
    offsets, `sentence_vectors` one float16 vector for each. `embedding_model` is the identity of
    the model that made them. The FAISS file is made from these rows and from nothing else.
    """

    id: int = fields.BigIntField(primary_key=True)
    document: fields.ForeignKeyRelation[Document] = fields.ForeignKeyField(
        "models.Document", related_name="chunks", on_delete=fields.CASCADE
    )
    document_id: UUID
    position: int = fields.IntField()
    start: int = fields.IntField()
    end: int = fields.IntField()
    headings: list[str] = fields.JSONField()
    text: str = fields.TextField()
    table_head: str | None = fields.TextField(null=True)
    sentence_spans: list[int] = fields.JSONField()
    vector: bytes = fields.BinaryField()
    sentence_vectors: bytes = fields.BinaryField()
    embedding_model = fields.CharField(max_length=200)

    class Meta:
        table = "chunk"
        indexes = (
            Index(fields=("document_id",)),
            # Which documents a model has embedded is asked at every start, and rows are large.
            Index(fields=("embedding_model", "document_id")),
        )
