"""Makes a provider's text storable."""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")


class TextCleaner:
    """Joins surrogate halves that a provider has split over two pieces, and drops NUL.

    A half that finds no partner becomes U+FFFD, as Unicode recommends for ill-formed text.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The storable text so far; a high surrogate at the end waits for its partner."""
        text = (self._held + text).replace("\0", "")
        self._held = ""
        if not _HALF.search(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _joined(text)

    def finish(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return _joined(held)


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
