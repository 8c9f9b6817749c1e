"""The names that people show to others."""

from __future__ import annotations

import unicodedata

from resolvers.errors import InvalidInput
from texts import fill

MAX_NAME_LENGTH = 100

# Characters that no name needs and that can make it look like another or reorder what follows.
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def check_name(name: str | None, email: str) -> str:
    """The name without blanks around it; for none, the part of the address before the @.

    Raises:
        InvalidInput
    """
    if name is None:
        return email.rpartition("@")[0][:MAX_NAME_LENGTH]
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidInput(
            "displayName", fill("A name has 1 to {maximum} characters.", maximum=MAX_NAME_LENGTH)
        )
    categories = {unicodedata.category(char) for char in name}
    if categories & {"Cc", "Cs", "Zl", "Zp"} or not _BIDI_CONTROLS.isdisjoint(name):
        raise InvalidInput("displayName", "The name contains a control character; remove it.")
    if all(category[0] in "CZM" for category in categories):
        raise InvalidInput("displayName", "The name contains nothing that can be seen.")
    return name
