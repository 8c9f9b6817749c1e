"""Checks on text that people send."""

from __future__ import annotations

import re

from resolvers.errors import InvalidInput
from texts import fill

_SURROGATE = re.compile("[\ud800-\udfff]")


def check_text(field: str, text: str, *, maximum: int, minimum: int = 1) -> None:
    """Refuse text that cannot be stored and returned unchanged, or has the wrong length.

    Lengths count Unicode code points.

    Raises:
        InvalidInput: names `field`.
    """
    if len(text) < minimum:
        raise InvalidInput(
            field,
            fill(
                "{field} is too short: at least {minimum} characters.", field=field, minimum=minimum
            ),
        )
    if len(text) > maximum:
        raise InvalidInput(
            field,
            fill(
                "{field} is too long: {length} characters, at most {maximum} are allowed.",
                field=field,
                length=len(text),
                maximum=maximum,
            ),
        )
    if "\0" in text:
        raise InvalidInput(field, fill("{field} contains a NUL character; remove it.", field=field))
    if _SURROGATE.search(text):
        raise InvalidInput(
            field,
            fill(
                "{field} contains half of a surrogate pair, which is not a character; remove it.",
                field=field,
            ),
        )


def one_line(text: str, length: int) -> str:
    """The beginning of a text as a title: one line, at most `length` code points."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def storable(text: str, length: int) -> str:
    """The beginning of a header's text without what databases refuse."""
    return "".join(char for char in text if char != "\0" and not _SURROGATE.match(char))[:length]
