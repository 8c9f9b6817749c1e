"""HTML in an answer: tags that could carry an address are taken out as it streams."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Final

from rag.addresses import MAX_ADDRESS, KnownAddresses

_MAX_TAG: Final = MAX_ADDRESS
_MAX_ENTITY: Final = 32
_SPECIAL = re.compile(r"[<&]")
_NAME = re.compile(r"/?\s*([A-Za-z][A-Za-z0-9-]*)")
_AUTOLINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,31}\\?:\S*")
_NUMBER = re.compile(r"&#(?:\d+|[xX][0-9a-fA-F]+)")
# Elements that load or run something, attributes or not.
_ACTIVE: Final = frozenset(
    (
        "script", "style", "iframe", "frame", "object", "embed", "applet", "base", "link", "meta",
        "svg", "math", "form", "img", "image",
    )
)  # fmt: skip
# Entities of these are left as they are: they stand for a character that is not to act.
_INERT: Final = "<>&\"'` \t\n\r"
_OPENING: Final = "([{\"'*_~>"
_JOINING: Final = "<&[【/\\#-–—^"


class MarkupFilter:
    """Removes HTML that could carry an address, and writes entities as the characters they are.

    A tag goes if it has an attribute with a value or is of an element that loads something; its
    text stays. Tags such as <b> and </b> stay. A tag that does not end within `_MAX_TAG` characters
    is broken by a space after its bracket. `<scheme:address>` stays if the address is known.
    Entities of ASCII characters, by which an address can be hidden, become the characters (square
    brackets become round ones, so that no reference to a source can be made of them).

    The result does not depend on how the text is cut into pieces. At most `_MAX_TAG` characters,
    counted from a "<" or "&", wait for the next piece.
    """

    def __init__(self, known: KnownAddresses, placeholder: str) -> None:
        self._known = known
        self._placeholder = placeholder
        self._held: list[str] = []
        self._mode: Callable[[str, list[str]], str] = self._in_text
        self._last = " "
        self._open_entity = False  # whether the text ends like the beginning of an entity
        self._dropped: set[str] = set()

    def feed(self, text: str) -> str:
        """What can be shown now of all that was fed so far."""
        if not self._held and "<" not in text and "&" not in text:
            if text:
                self._last, self._open_entity = text[-1], False
            return text
        out: list[str] = []
        while text:
            text = self._mode(text, out)
        return "".join(out)

    def finish(self) -> str:
        """The rest, when no more text comes."""
        out: list[str] = []
        rest = ""
        if self._mode == self._in_entity:
            rest = self._end_entity(out)
        elif self._held:
            rest = self._break_tag(out)
        while rest or self._held:
            rest = self._mode(rest, out) if rest else self._end_entity(out)
        return "".join(out)

    def _write(self, text: str, out: list[str]) -> None:
        if text:
            out.append(text)
            self._last = text[-1]
            self._open_entity = False

    def _in_text(self, text: str, out: list[str]) -> str:
        match = _SPECIAL.search(text)
        if match is None:
            self._write(text, out)
            return ""
        self._write(text[: match.start()], out)
        self._held = [match.group()]
        self._mode = self._in_tag if match.group() == "<" else self._in_entity
        return text[match.end() :]

    # ---- entities ----------------------------------------------------------------------------

    def _in_entity(self, text: str, out: list[str]) -> str:
        for place, character in enumerate(text):
            if character == ";":
                self._held.append(character)
                return self._end_entity(out) + text[place + 1 :]
            is_part = character.isascii() and (
                character.isalnum() or (character == "#" and len(self._held) == 1)
            )
            if not is_part or len(self._held) > _MAX_ENTITY:
                return self._end_entity(out) + text[place:]
            self._held.append(character)
        return ""

    def _end_entity(self, out: list[str]) -> str:
        entity, self._held, self._mode = "".join(self._held), [], self._in_text
        meant = html.unescape(entity)
        complete = entity.endswith(";") or _NUMBER.fullmatch(entity)
        is_mark = len(meant) == 1 and meant.isascii() and meant.isprintable()
        if complete and is_mark and meant not in _INERT:
            entity = {"[": "(", "]": ")"}.get(meant, meant)
        self._write(entity, out)
        self._open_entity = not complete
        return ""

    # ---- tags --------------------------------------------------------------------------------

    def _in_tag(self, text: str, out: list[str]) -> str:
        for place, character in enumerate(text):
            held = self._held
            if len(held) == 1 or (len(held) == 2 and held[1] == "/"):
                starts = character.isascii() and character.isalpha()
                if not starts and not (character == "/" and len(held) == 1):
                    # "<!" and "<?" would hide what follows.
                    mark = "< " if character in "!?" and len(held) == 1 else "".join(held)
                    self._write(mark, out)
                    self._held, self._mode = [], self._in_text
                    return text[place:]
            elif character == ">":
                return self._end_tag(out) + text[place + 1 :]
            elif character == "<" or len(held) >= _MAX_TAG:
                return self._break_tag(out) + text[place:]
            held.append(character)
        return ""

    def _end_tag(self, out: list[str]) -> str:
        """Write the tag, or what stands for it; returns what is to be looked at as text."""
        content, self._held, self._mode = "".join(self._held[1:]), [], self._in_text
        if _AUTOLINK.fullmatch(content):
            if self._known.knows(content):
                self._write(f"<{content}>", out)
                return ""
            # It must not become a part of an address before it.
            apart = "" if self._last.isspace() or self._last in _OPENING else " "
            self._write(apart + self._placeholder, out)
            return ""
        match = _NAME.match(content)
        name = match.group(1).lower() if match else ""
        if "=" in content or name in _ACTIVE or (content[0] == "/" and name in self._dropped):
            if len(self._dropped) < 100:
                self._dropped.add(name)
            # What stands around it must not become one word, entity or marker.
            closing = content[0] == "/" and not self._open_entity and not self._last.isdigit()
            if self._last in _JOINING or (self._last.isalnum() and not closing):
                self._write(" ", out)
            return ""
        if "&" in content:
            # An entity in it may hide an address.
            self._write("< ", out)
            return content + ">"
        self._write(f"<{content}>", out)
        return ""

    def _break_tag(self, out: list[str]) -> str:
        """What is held is no tag, and must not become one; returns what was not looked at."""
        held, self._held, self._mode = "".join(self._held), [], self._in_text
        if len(held) == 1 or held == "</":
            self._write(held, out)
            return ""
        self._write("< ", out)
        return held[1:]
