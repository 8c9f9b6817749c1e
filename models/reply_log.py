"""The events of replies: a growing log while a reply runs, one compact row when it has ended."""

from __future__ import annotations

from enum import IntEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from models.chat_message import ChatMessage


class EventKind(IntEnum):
    STARTED = 1
    SOURCES = 2
    DELTA = 3
    ENDED = 4


class ReplyEvent(Model):
    """One event of a running reply, committed before anyone sees it.

    `text` is the delta (DELTA); `data` the hits (SOURCES). The rows of a reply are replaced by its
    ReplyLog in the transaction that ends it.
    """

    id: int = fields.BigIntField(primary_key=True)
    reply: fields.ForeignKeyRelation[ChatMessage] = fields.ForeignKeyField(
        "models.ChatMessage", related_name="events", on_delete=fields.CASCADE
    )
    reply_id: UUID
    seq: int = fields.IntField()
    kind = fields.IntEnumField(EventKind)
    text: str | None = fields.TextField(null=True)
    data: list[dict[str, Any]] | None = fields.JSONField(null=True)

    class Meta:
        table = "reply_event"
        unique_together = (("reply", "seq"),)


class ReplyLog(Model):
    """The events of an ended reply, without their text.

    Delta i of the reply is `content[delta_ends[i-1]:delta_ends[i]]` of its message. The order is
    fixed, so seq follows: STARTED, SOURCES (where `sources` is not null), the deltas, ENDED.

    `documents` are the ids of all documents whose text or title the reply may hold: those of its
    sources, and the near ones that are named when nothing was found. Null where that was not noted,
    as by a start after a crash: then `sources` has to do.
    """

    id: int = fields.BigIntField(primary_key=True)
    reply: fields.OneToOneRelation[ChatMessage] = fields.OneToOneField(
        "models.ChatMessage", related_name="log", on_delete=fields.CASCADE
    )
    reply_id: UUID
    sources: list[dict[str, Any]] | None = fields.JSONField(null=True)
    delta_ends: list[int] = fields.JSONField()
    documents: list[str] | None = fields.JSONField(null=True)

    class Meta:
        table = "reply_log"
