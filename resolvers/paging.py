"""Keyset pagination: a cursor is the sort key of a row, so pages stay exact while rows come and
go, and the last page costs as much as the first."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import orjson
from tortoise.expressions import Q
from tortoise.models import Model
from tortoise.queryset import QuerySet

from resolvers.errors import BadUserInput

MAX_PAGE = 100
DEFAULT_PAGE = 20

T = TypeVar("T")
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The pagination arguments of a Relay connection, as the client sent them."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows in the connection's order, each with its cursor."""

    rows: Sequence[T]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class Window:
    """A checked request: `size` rows from one end of what lies between two keys."""

    size: int
    backward: bool
    after: str | None
    before: str | None

    def after_id(self) -> UUID | None:
        """The id in `after`.

        Raises:
            BadUserInput: it is not a cursor of a connection in order of the primary key.
        """
        return None if self.after is None else _uuid(decode_cursor(self.after, 1)[0])

    def before_id(self) -> UUID | None:
        """Like `after_id`."""
        return None if self.before is None else _uuid(decode_cursor(self.before, 1)[0])

    def page(self, rows: Sequence[M], cursors: Sequence[str]) -> Page[M]:
        """The page of rows that were read from its end: one more than `size`, if there are."""
        more = len(rows) > self.size
        rows, cursors = rows[: self.size], cursors[: self.size]
        if self.backward:
            return Page(
                rows[::-1],
                cursors[::-1],
                has_next=self.before is not None,
                has_previous=more,
            )
        return Page(rows, cursors, has_next=more, has_previous=self.after is not None)


def check_page(request: PageRequest) -> Window:
    """Check pagination arguments.

    Raises:
        BadUserInput
    """
    if request.first is not None and request.last is not None:
        raise BadUserInput("Give either first or last, not both.")
    for name, value in (("first", request.first), ("last", request.last)):
        if value is not None and not 1 <= value <= MAX_PAGE:
            raise BadUserInput(f"{name} must be between 1 and {MAX_PAGE}.")
    backward = request.last is not None
    size = request.last or request.first or DEFAULT_PAGE
    return Window(size, backward, request.after, request.before)


def base64url(data: bytes) -> str:
    """Like `base64.urlsafe_b64encode`, as a text; a page has a hundred of them."""
    text = binascii.b2a_base64(data, newline=False).decode("ascii")
    return text.replace("+", "-").replace("/", "_")


def encode_cursor(*key: str) -> str:
    """An opaque cursor for a sort key."""
    return base64url(orjson.dumps(key))


def encode_id_cursors(keys: Iterable[UUID | str]) -> list[str]:
    """`encode_cursor` for many sort keys that are ids."""
    return [base64url(b'["%b"]' % str(key).encode()) for key in keys]


def decode_cursor(cursor: str, length: int) -> list[str]:
    """The sort key in a cursor.

    Raises:
        BadUserInput: it is not one of ours.
    """
    try:
        key = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != length
        or not all(isinstance(part, str) for part in key)
    ):
        raise BadUserInput("The cursor is not one that this connection returned.")
    return key


async def id_page(query: QuerySet[M], request: PageRequest, *, newest_first: bool) -> Page[M]:
    """A page in order of the primary key, a UUIDv7.

    Raises:
        BadUserInput
    """
    window = check_page(request)
    if (after := window.after_id()) is not None:
        query = query.filter(**{"id__lt" if newest_first else "id__gt": after})
    if (before := window.before_id()) is not None:
        query = query.filter(**{"id__gt" if newest_first else "id__lt": before})
    descending = newest_first != window.backward
    rows = await query.order_by("-id" if descending else "id").limit(window.size + 1)
    return window.page(rows, encode_id_cursors(row.pk for row in rows))


async def activity_page(query: QuerySet[M], request: PageRequest) -> Page[M]:
    """A page in order of (active_at, id), newest first.

    Raises:
        BadUserInput
    """
    window = check_page(request)
    if window.after is not None:
        moment, key = _moment_and_id(window.after)
        query = query.filter(Q(active_at__lt=moment) | Q(active_at=moment, id__lt=key))
    if window.before is not None:
        moment, key = _moment_and_id(window.before)
        query = query.filter(Q(active_at__gt=moment) | Q(active_at=moment, id__gt=key))
    order = ("active_at", "id") if window.backward else ("-active_at", "-id")
    rows = await query.order_by(*order).limit(window.size + 1)
    cursors = [
        encode_cursor(getattr(row, "active_at").isoformat(), str(row.pk))  # noqa: B009
        for row in rows
    ]
    return window.page(rows, cursors)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadUserInput("The cursor is not one that this connection returned.") from None


def _moment_and_id(cursor: str) -> tuple[datetime, UUID]:
    moment, key = decode_cursor(cursor, 2)
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        raise BadUserInput("The cursor is not one that this connection returned.") from None
    if parsed.tzinfo is None:
        raise BadUserInput("The cursor is not one that this connection returned.")
    return parsed, _uuid(key)
