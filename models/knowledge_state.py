"""The knowledge base as a whole."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class KnowledgeState(Model):
    """Marks, by name.

    `revision` of the row "default" grows in the transaction of every change of the chunks, so an
    index file that carries it is either exactly the database or stale. A row "folder-synced" is
    there once the folder was indexed to its end for the first time.
    """

    name = fields.CharField(primary_key=True, max_length=20)
    revision: int = fields.BigIntField(default=0)

    class Meta:
        table = "knowledge_state"
