"""Tries that are counted, so that nobody has too many of them."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row


class Attempt(Row):
    """One try of a kind, such as a login. `key` is a hash of what the tries are counted by."""

    kind = fields.CharField(max_length=20)
    key = fields.CharField(max_length=64)

    class Meta:
        table = "attempt"
        indexes = (
            Index(fields=("kind", "key", "created_at")),
            # The job that clears up.
            Index(fields=("created_at",)),
        )
