"""Which fields of an uploaded JSON Lines file are what, as its sender says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Any

from rag.loading import RECORD_SUFFIXES
from rag.loading.mapping import MAX_NAME, MAX_NAMES
from resolvers.errors import InvalidInput
from resolvers.text import check_text
from texts import fill


@dataclass(frozen=True, slots=True)
class Names:
    """For each property of a document the fields that may hold it; None is left open."""

    title: Sequence[str] | None = None
    content: Sequence[str] | None = None
    type: Sequence[str] | None = None
    category: Sequence[str] | None = None
    language: Sequence[str] | None = None


def check_mapping(names: Names | None, file_name: str) -> dict[str, Any] | None:
    """What `rag.loading.FieldMapping.from_json` reads; None if nothing is said.

    Raises:
        InvalidInput: `field` is a path such as mapping.title.
    """
    if names is None:
        return None
    if PurePosixPath(file_name.strip()).suffix.lower() not in RECORD_SUFFIXES:
        raise InvalidInput(
            "mapping",
            "Only a file whose name ends in .jsonl or .ndjson takes a mapping; leave it out.",
        )
    checked: dict[str, Any] = {}
    for property in fields(Names):
        listed: Sequence[str] | None = getattr(names, property.name)
        if listed is None:
            continue
        field = f"mapping.{property.name}"
        if not 1 <= len(listed) <= MAX_NAMES:
            raise InvalidInput(
                field,
                fill(
                    "{field} takes 1 to {maximum} names of fields.", field=field, maximum=MAX_NAMES
                ),
            )
        for name in listed:
            check_text(field, name, maximum=MAX_NAME)
        checked[property.name] = list(listed)
    return checked or None
