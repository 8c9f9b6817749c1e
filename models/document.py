"""The knowledge base: documents."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.collection import GENERAL_ID, Collection


class DocumentStatus(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"


class Document(Row):
    """A document. Offsets of chunks and citations count code points of `content`.

    `key` is the name that an outside system knows it by. `content_hash` is the SHA-256 of what was
    sent last, indexed or not: of a text in UTF-8, or of a file's bytes. `pages` has the offset at
    which each page of a PDF or slide begins; null for other documents.

    `folder_path` is the path below KB_DIR of a document that the folder owns, `folder_hash` the
    SHA-256 of the file as it was read last (empty: to be read again); null for others. A document
    of the folder that was deleted keeps both until its file changes.

    With `chunk_count` above 0 a version is in the index, whatever `status` says of the next one.
    A deleted document keeps its row as a tombstone (`deleted_at`, `content` emptied), because the
    logs of old replies name it; it is found by no query of the API but that one.

    `collection` says who sees it. Null is nobody: the tombstone of a collection that is gone.
    """

    collection: fields.ForeignKeyNullableRelation[Collection] = fields.ForeignKeyField(
        "models.Collection",
        related_name="documents",
        on_delete=fields.SET_NULL,
        null=True,
        default=GENERAL_ID,
    )
    collection_id: UUID | None
    title = fields.CharField(max_length=300)
    type = fields.CharField(max_length=60)
    category = fields.CharField(max_length=60)
    language = fields.CharField(max_length=10, null=True)
    source = fields.CharField(max_length=1000, null=True)
    folder_path = fields.CharField(max_length=1000, null=True, unique=True)
    folder_hash = fields.CharField(max_length=64, null=True)
    key = fields.CharField(max_length=200, null=True, unique=True)
    content: str = fields.TextField()
    pages: list[int] | None = fields.JSONField(null=True)
    content_hash = fields.CharField(max_length=64)
    status = fields.CharEnumField(DocumentStatus, max_length=10, default=DocumentStatus.PENDING)
    failure = fields.CharField(max_length=500, null=True)
    version: int = fields.IntField(default=1)
    chunk_count: int = fields.IntField(default=0)
    updated_at: datetime = fields.DatetimeField(auto_now=True)
    deleted_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "document"
        indexes = (
            Index(fields=("deleted_at", "id")),
            Index(fields=("content_hash",)),
            Index(fields=("collection_id", "deleted_at", "id")),
        )
