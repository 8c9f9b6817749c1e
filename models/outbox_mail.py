"""Mails that wait to be sent."""

from __future__ import annotations

from datetime import datetime

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row


class OutboxMail(Row):
    """A mail, written in the transaction of what it tells about, and sent by a job.

    `next_attempt_at` is when the job may take it: a job takes a mail by moving it a lease's length
    into the future, so a crash while sending leads to another try, never to silence. It is null
    once the mail was sent (`sent_at`) or given up (`failed_at`), and then the body, which holds a
    token, is blanked.
    """

    to = fields.CharField(max_length=320)
    subject = fields.CharField(max_length=200)
    text: str = fields.TextField()
    html: str = fields.TextField()
    attempts: int = fields.IntField(default=0)
    next_attempt_at: datetime | None = fields.DatetimeField(null=True)
    sent_at: datetime | None = fields.DatetimeField(null=True)
    failed_at: datetime | None = fields.DatetimeField(null=True)
    last_error = fields.CharField(max_length=300, null=True)

    class Meta:
        table = "outbox_mail"
        indexes = (Index(fields=("next_attempt_at",)),)

    def __repr__(self) -> str:
        return f"<OutboxMail {self.id}>"
