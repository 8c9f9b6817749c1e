"""Which addresses an answer may name: those of its sources, and hosts that are always allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from rag.types import Hit

# A longer one is removed without being compared: what is compared cannot be read yet.
MAX_ADDRESS: Final = 500

_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]{0,31}:(?=\S)|www\.|(?<![\w.-])(?:[\w-]{1,63}\.){1,20}[^\W\d_]{2,63}"
    r"(?::\d+)?[/?#])[^\s<>]*",
    re.IGNORECASE,
)
_DESTINATION = re.compile(r"\]\(\s*<?([^\s<>)]+)")
_EMAIL = re.compile(r"[\w.+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
_BREAK = re.compile(r"\](?=[(\[:])")
_QUOTE = re.compile(r"[\"'`|]")
_CLOSERS: Final = ".,;:!?'\"*_~|`]}»”’›"
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_ALLOWED = re.compile(
    r"(?:https?://)?([a-z0-9.-]+)(:\d{1,5})?(?:[/?#]([\w\-.~:/?#@!$&*+,;=%]*))?",
    re.IGNORECASE | re.ASCII,
)


class KnownAddresses:
    """The addresses that an answer may hold.

    One counts as known if exactly it stands in a source: with anything added, such as a query that
    carries data away, it is another. http, https and no scheme are the same here, as is a slash at
    the end. Of an allowed host every http(s) address is known.
    """

    def __init__(self, texts: Iterable[str], hosts: Sequence[str] = ()) -> None:
        """`texts` are sources; `hosts` are names such as shop.example or *.shop.example, which
        stands for all names below it, with a port if it is not the usual one."""
        self._hosts = frozenset(host.lower() for host in hosts)
        self._known: set[str] = set()
        for text in texts:
            self._collect(text)

    @classmethod
    def of(cls, hits: Sequence[Hit], hosts: Sequence[str] = ()) -> KnownAddresses:
        """Those of the passages that were found, and of the places that they come from."""
        passages = [hit.passage for hit in hits]
        return cls([*(item.text for item in passages), *(p.source or "" for p in passages)], hosts)

    def knows(self, address: str) -> bool:
        """Whether an address as it stands in an answer may stay there."""
        return _key(address) in self._known or self._is_allowed(address)

    def _collect(self, text: str) -> None:
        if ":" not in text and "." not in text and "](" not in text:
            return
        for run in _ADDRESS.findall(text):
            for form in {run, _BREAK.split(run)[0], _QUOTE.split(run)[0]}:
                self._known.add(_key(split_address(form)[0]))
        self._known.update(_key(found) for found in _DESTINATION.findall(text))
        self._known.update(_key(f"mailto:{found}") for found in _EMAIL.findall(text))
        self._known.discard("")

    def _is_allowed(self, address: str) -> bool:
        if not self._hosts:
            return False
        match = _ALLOWED.fullmatch(address)
        if match is None or "//" in (match.group(3) or ""):
            return False
        host = match.group(1).lower()
        port = match.group(2) or ""
        if port in (":443", ":80"):
            port = ""
        labels = host.split(".")
        return host + port in self._hosts or any(
            "*." + ".".join(labels[start:]) + port in self._hosts for start in range(1, len(labels))
        )


def split_address(run: str) -> tuple[str, str]:
    """A run of characters as an address and what only follows it: punctuation, and brackets that
    were opened before it. It is what GitHub's autolinks do, and closes more kinds of brackets."""
    end = len(run)
    while end:
        last = run[end - 1]
        unopened = last == ")" and run.count(")", 0, end) > run.count("(", 0, end)
        if last not in _CLOSERS and not unopened:
            break
        end -= 1
    return run[:end], run[end:]


def _key(address: str) -> str:
    address = address.replace("&amp;", "&")
    if address[:7].lower() == "mailto:":
        return address.lower()
    rest = _HTTP.sub("", address, count=1) if _HTTP.match(address) else address.removeprefix("//")
    host, slash, path = rest.partition("/")
    return (host.lower() + slash + path).removesuffix("/")
