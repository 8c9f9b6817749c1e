"""Enums of the store as GraphQL enums."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import strawberry


def describe_enum(
    enum: type[Enum], description: str, values: Mapping[str, str], *, name: str | None = None
) -> None:
    """Make an enum usable in the schema, with a description for it and for each of its values.

    The store's enums may not know Strawberry, so the descriptions cannot stand where the values do.
    """
    strawberry.enum(enum, name=name, description=description)
    definition: Any = enum.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values[value.name]
