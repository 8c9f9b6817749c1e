"""What waits to be indexed, and the webhook's calls that were taken."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.base import Row
from models.document import Document


class TaskKind(StrEnum):
    """Where the next version's text comes from."""

    TEXT = "TEXT"
    FILE = "FILE"
    STORED = "STORED"


class IngestionTask(Row):
    """The next version of a document, which waits to be indexed.

    A document has at most one: what is sent later replaces it by a task with another id. `payload`
    is the text in UTF-8 (TEXT), the bytes of a file (FILE), or null (STORED: the text stays as it
    is). Of a FILE, the properties that are null are what the file says itself, and `mapping` says
    which fields of its records are what.

    A worker takes a task by counting `attempts` up and moving `next_attempt_at` a lease into the
    future, and gives its result only while the task is as it left it. `next_attempt_at` is null
    once the task has failed for good. The task goes in the transaction that stores the version.
    """

    document: fields.OneToOneRelation[Document] = fields.OneToOneField(
        "models.Document", related_name="task", on_delete=fields.CASCADE
    )
    document_id: UUID
    kind = fields.CharEnumField(TaskKind, max_length=10)
    title = fields.CharField(max_length=300, null=True)
    type = fields.CharField(max_length=60, null=True)
    category = fields.CharField(max_length=60, null=True)
    language = fields.CharField(max_length=10, null=True)
    source = fields.CharField(max_length=1000, null=True)
    file_name = fields.CharField(max_length=300, null=True)
    mapping: dict[str, Any] | None = fields.JSONField(null=True)
    payload: bytes | None = fields.BinaryField(null=True)
    attempts: int = fields.IntField(default=0)
    next_attempt_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "ingestion_task"
        indexes = (Index(fields=("next_attempt_at",)),)

    def __repr__(self) -> str:
        return f"<IngestionTask {self.id}>"


class WebhookDelivery(Model):
    """A call of the webhook that was taken, by its webhook-id, with what was answered."""

    id = fields.CharField(primary_key=True, max_length=200)
    received_at: datetime = fields.DatetimeField(db_index=True)
    answer: dict[str, Any] = fields.JSONField()

    class Meta:
        table = "webhook_delivery"
