"""Words of the service and its company that a password must not be made of."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

# Shorter ones would be found in too many words.
MIN_LETTERS: Final = 3
# A part of a name or a host that counts though nobody has asked for it: "shop", not "the" or "www".
_MIN_LETTERS_OF_A_PART: Final = 4
_PRODUCT: Final = "GroundQL"


def compact(text: str) -> str:
    """The letters and digits alone, in one case, so that Shop-24 and "shop 24" are the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


class ForbiddenWords:
    """A list of words, each in the form of `compact`."""

    def __init__(self, words: Iterable[str]) -> None:
        """Those that are too short are left out."""
        found = {compact(word) for word in words}
        # The longest first: what is left of "shopexample" without "shop" would stay.
        words = [word for word in found if len(word) >= MIN_LETTERS]
        self._words = sorted(words, key=lambda word: (-len(word), word))

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def rest(self, password: str) -> str | None:
        """The letters and digits of a password without the words; None if none is in it."""
        text = compact(password)
        left = text
        for word in self._words:
            left = left.replace(word, " ")
        return None if left == text else left.replace(" ", "")


def words_of_service(*, sender: str, url: str, more: Iterable[str] = ()) -> ForbiddenWords:
    """The words of this service: the product, the sender of its mails, its address, and `more`.

    `sender` is as EMAIL_FROM, "Shop <noreply@shop.example>": its name with the words in it, and the
    host of the mailbox. Of a host count the whole name and its parts, but not the last one (.com).
    """
    name, mailbox = parseaddr(sender)
    hosts = [mailbox.rpartition("@")[2], urlsplit(url).hostname or ""]
    parts = name.split()
    for host in hosts:
        if not _is_number(host):
            parts += host.split(".")[:-1]
    long_parts = [part for part in parts if len(compact(part)) >= _MIN_LETTERS_OF_A_PART]
    return ForbiddenWords([_PRODUCT, name, *hosts, *long_parts, *more])


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
