"""Relay: global ids and the Node interface."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

import strawberry

from resolvers.errors import BadUserInput
from resolvers.paging import base64url


@strawberry.interface(description="An object with an id that is unique in the whole API.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque id; use it as it is.")


def global_id(type_name: str, row_id: UUID | str) -> strawberry.ID:
    """The opaque id of a row: base64url of "Type:uuid", as Relay suggests."""
    return strawberry.ID(base64url(f"{type_name}:{row_id}".encode()))


def parse_global_id(value: str) -> tuple[str, UUID] | None:
    """Type name and row id; None for anything that `global_id` did not make."""
    try:
        name, _, raw = (
            base64.b64decode(value, altchars=b"-_", validate=True).decode().partition(":")
        )
        row_id = UUID(raw)
    except (binascii.Error, ValueError, UnicodeError):
        return None
    # UUID() also takes braces and urn: forms: one object has one id.
    return (name, row_id) if global_id(name, row_id) == value else None


def row_id(type_name: str, value: str) -> UUID | None:
    """The row id in a global id of this type; None for ids of anything else: they do not exist."""
    parsed = parse_global_id(value)
    return parsed[1] if parsed and parsed[0] == type_name else None


def require_row_id(type_name: str, value: str, argument: str) -> UUID:
    """Like `row_id`.

    Raises:
        BadUserInput: where a wrong id cannot be answered as "not found".
    """
    found = row_id(type_name, value)
    if found is None:
        raise BadUserInput(f"{argument} is not the id of a {type_name}.")
    return found
