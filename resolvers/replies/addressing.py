"""How people speak to the assistant where they also speak to each other."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?<!\w)@assistant(?!\w)", re.IGNORECASE)
_WITH_COMMA = re.compile(_ADDRESS.pattern + r"[,:;]?\s*", re.IGNORECASE)


def is_addressed(content: str) -> bool:
    """Whether the message speaks to the assistant: the word @assistant stands in it."""
    return _ADDRESS.search(content) is not None


def without_address(content: str) -> str:
    """The question that is searched for and answered: the address says nothing about the matter."""
    if not is_addressed(content):
        return content
    return _WITH_COMMA.sub("", content).strip() or content
