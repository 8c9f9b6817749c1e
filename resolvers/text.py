"""Checks on text that people send."""

from __future__ import annotations

import re

from resolvers.errors import InvalidInput

_SURROGATE = re.compile("[\ud800-\udfff]")


def check_text(field: str, text: str, *, maximum: int, minimum: int = 1) -> None:
    """Refuse text that cannot be stored and returned unchanged, or has the wrong length.

    Lengths count Unicode code points.

    Raises:
        InvalidInput: names `field`.
    """
    if len(text) < minimum:
        raise InvalidInput(field, f"{field} is too short: at least {minimum} characters.")
    if len(text) > maximum:
        raise InvalidInput(
            field, f"{field} is too long: {len(text)} characters, at most {maximum} are allowed."
        )
    if "\0" in text:
        raise InvalidInput(field, f"{field} contains a NUL character; remove it.")
    if _SURROGATE.search(text):
        raise InvalidInput(
            field,
            f"{field} contains half of a surrogate pair, which is not a character; remove it.",
        )


def one_line(text: str, length: int) -> str:
    """The beginning of a text as a title: one line, at most `length` code points."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
