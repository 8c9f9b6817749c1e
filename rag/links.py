"""Links in an answer: addresses that no source names are taken out as it streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from rag.addresses import MAX_ADDRESS, KnownAddresses, split_address
from rag.markup import MarkupFilter

# What a reader sees in place of an address that stood in the text itself.
REMOVED: Final = {
    "en": "[link removed]",
    "de": "[Link entfernt]",
    "es": "[enlace eliminado]",
    "fr": "[lien supprimé]",
}

_SCHEMES: Final = (
    "http", "https", "ftp", "ftps", "ws", "wss", "file", "blob", "data", "javascript", "vbscript",
    "mailto",
)  # fmt: skip
_BEGINNINGS: Final = frozenset(
    name[:end] for name in (*_SCHEMES, "www") for end in range(1, len(name) + 1)
)
_PREFIXES: Final = "|".join(sorted(_BEGINNINGS, key=len, reverse=True))
_LONGEST: Final = 16  # characters: more than "<javascript\\"
_KNOWN_SCHEME = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_SCHEMES)})\Z", re.IGNORECASE)
# The end of a piece that may be the beginning of an address.
_MAYBE = re.compile(
    rf"(?:<?(?<![A-Za-z0-9])(?:{_PREFIXES})\\?|<|\\|<?(?<![A-Za-z0-9])www\.)\Z",
    re.IGNORECASE,
)
_TRIGGER = re.compile(r"[\]:/?#]|[wW]{3}\.")
# Quicker to look for: without any of these there is no trigger.
_MARK = re.compile(r"[\]:/?#.]")
_SLASHES = re.compile(r"\\?/\\?/")
_MAYBE_SLASHES = re.compile(r"\\?/?\\?")
_HOST = re.compile(r"(?<![\w.-])((?:[\w-]+\.)+[^\W\d_]{2,}(?::\d{1,5})?)\Z")
_MAX_HOST: Final = 100
# "Node.js/Express" names no host.
_NO_DOMAIN: Final = (".js", ".ts")
_PLAIN_TITLE = re.compile(r"[\w\s.,!?'-]*")
_MAX_DESTINATION: Final = MAX_ADDRESS + 200
_CLOSING: Final = {'"': '"', "'": "'", "(": ")"}
_MAX_REST: Final = 8


class LinkFilter:
    """Takes addresses out of a stream of Markdown, unless they are known.

    - `[text](address "title")` and `![text](address)` become `[text]` and `![text]`.
    - `<scheme:address>`, `scheme://address`, `www.address`, known schemes without slashes such as
      `javascript:…`, and the address of a definition `[name]: //address` become the placeholder.
    - Of `host.name/path` without a scheme the path becomes the placeholder.
    - HTML is treated by `MarkupFilter`, before.

    It makes no difference whether the text is code. The result does not depend on how the text is
    cut into pieces. What waits for the next piece is the beginning of an address or of a link's
    destination, at most `_MAX_DESTINATION` characters; each character is looked at twice at most.
    """

    def __init__(self, known: KnownAddresses, placeholder: str = REMOVED["en"]) -> None:
        self._known = known
        self._placeholder = placeholder
        self._markup = MarkupFilter(known, placeholder)
        self._mode: Callable[[str, list[str]], str] = self._in_text
        self._held = ""  # the end of the text, which may be the beginning of an address
        self._tail = ""  # the end of what was written, long enough for a host's name
        self._run: list[str] = []  # the address or destination that is being read
        self._host = ""  # the host that was written before the path that is being read
        self._part = ""  # where in a destination we are
        self._address: list[str] = []
        self._depth = 0
        self._behind_address = False  # what was written last is an address, or one and a "]"
        self._apart = False  # what follows must not become a part of such an address
        self._final = False

    def feed(self, text: str) -> str:
        """What can be shown now of all that was fed so far."""
        text = self._markup.feed(text)
        waits = self._held or self._apart
        if not waits and self._mode == self._in_text and self._is_harmless(text):
            self._tail = (self._tail + text)[-_MAX_HOST:]
            return text
        return self._process(text)

    def finish(self) -> str:
        """The rest, when no more text comes."""
        shown = self._process(self._markup.finish())
        self._final = True
        out: list[str] = []
        while True:
            if self._mode == self._in_destination:
                text = self._give_up(out)
            elif self._mode == self._in_run:
                text = self._end_run(out)[0]
            elif self._mode == self._in_swallowed:
                text = self._end_swallowed()
            elif self._held:
                text, self._held = self._held, ""
            else:
                return shown + "".join(out)
            while text:
                text = self._mode(text, out)

    def _is_harmless(self, text: str) -> bool:
        """Whether no character of the text can begin or end an address or a link."""
        if not text:
            return True
        if _MARK.search(text) and _TRIGGER.search(text):
            return False
        if text[0] == "(" and self._tail.endswith("]"):
            return False
        word = text[text.rfind(" ") + 1 :]
        if word.isascii() and word.isalpha():
            return word.lower() not in _BEGINNINGS
        return not word or self._maybe(text) is None

    def _maybe(self, text: str) -> re.Match[str] | None:
        match = _MAYBE.search(text, max(0, len(text) - _LONGEST))
        # A word that began in an earlier piece.
        if match is not None and match.start() == 0 and text[0].isalnum() and self._after_word:
            return None
        return match

    @property
    def _after_word(self) -> bool:
        return self._tail[-1:].isascii() and self._tail[-1:].isalnum()

    def _process(self, text: str) -> str:
        out: list[str] = []
        while text:
            text = self._mode(text, out)
        return "".join(out)

    def _write(self, text: str, out: list[str]) -> None:
        if text:
            out.append(text)
            self._tail = (self._tail + text)[-_MAX_HOST:]
            self._behind_address = self._behind_address and text == "]"

    def _write_placeholder(self, out: list[str]) -> None:
        """Apart from an address before it, which would be another one with it."""
        self._write(f" {self._placeholder}" if self._behind_address else self._placeholder, out)

    # ---- text --------------------------------------------------------------------------------

    def _in_text(self, text: str, out: list[str]) -> str:
        text, self._held = self._held + text, ""
        if self._apart and text[0] not in "<>([:" and not text[0].isspace():
            self._write(" ", out)
        self._apart = False
        if self._tail.endswith("]") and text[0] in "(:":
            if text[0] == "(":
                self._run, self._address, self._depth = ["("], [], 0
                self._part, self._mode = "lead", self._in_destination
            else:
                self._write(":", out)
                self._mode = self._in_definition
            return text[1:]
        place = 0
        while match := _TRIGGER.search(text, place):
            place = match.start()
            mark = text[place]
            if mark == "]":
                self._write(text[: place + 1], out)
                return text[place + 1 :]
            if mark == ":":
                start = self._before_colon(text, place)
            elif mark in "/?#":
                start = self._before_path(text, place, out)
            else:
                start = self._before_www(text, place)
            if start is None:
                place = match.end()
                continue
            begin, complete = start
            self._write(text[:begin], out)
            if complete:
                self._run, self._mode = [], self._in_run
                return text[begin:]
            self._held = text[begin:]
            return ""
        if not self._final and (maybe := self._maybe(text)):
            self._write(text[: maybe.start()], out)
            self._held = text[maybe.start() :]
        else:
            self._write(text, out)
        return ""

    def _before_colon(self, text: str, place: int) -> tuple[int, bool] | None:
        """Where an address with this colon begins, and whether it is one; else it must be held."""
        colon = place - 1 if place and text[place - 1] == "\\" else place
        rest = text[place + 1 : place + 5]
        scheme = _KNOWN_SCHEME.search(text, max(0, colon - 12), colon)
        if scheme is not None and not (scheme.start() == 0 and self._after_word):
            begin = scheme.start()
            if begin and text[begin - 1] == "<":
                begin -= 1
            if not rest:
                return None if self._final else (begin, False)
            return None if rest[0].isspace() else (begin, True)
        if _SLASHES.match(rest):
            return colon, True
        if place + 1 + len(rest) == len(text) and _MAYBE_SLASHES.fullmatch(rest):
            return None if self._final else (colon, False)
        return None

    def _before_path(self, text: str, place: int, out: list[str]) -> tuple[int, bool] | None:
        before = (self._tail + text[:place])[-_MAX_HOST:]
        host = _HOST.search(before)
        if host is None or host.group(1).lower().endswith(_NO_DOMAIN):
            return None
        if place + 1 == len(text):
            return None if self._final else (place, False)
        if text[place + 1].isspace() or text[place + 1] in "<>":
            return None
        self._host = host.group(1)
        return place, True

    def _before_www(self, text: str, place: int) -> tuple[int, bool] | None:
        before = text[place - 1] if place else self._tail[-1:]
        if before.isascii() and before.isalnum():
            return None
        if place + 4 == len(text):
            return None if self._final else (place, False)
        return None if text[place + 4].isspace() else (place, True)

    # ---- addresses ---------------------------------------------------------------------------

    def _in_run(self, text: str, out: list[str]) -> str:
        run = self._run
        for place, character in enumerate(text):
            if (character.isspace() or character in "<>") and run:
                rest, opened = self._end_run(out)
                return rest + text[place + (opened and character == ">") :]
            if character in "([:" and run and run[-1] == "]":
                run.pop()
                return self._end_run(out)[0] + "]" + text[place:]
            run.append(character)
            if len(run) > MAX_ADDRESS:
                self._write_placeholder(out)
                self._run, self._mode = run[-_MAX_REST:], self._in_swallowed
                return text[place + 1 :]
        return ""

    def _end_run(self, out: list[str]) -> tuple[str, bool]:
        """Write the address or the placeholder. Returns what follows it and is yet to be looked at,
        and whether a ">" belongs to what was removed."""
        whole = "".join(self._run)
        host, self._host, self._run, self._mode = self._host, "", [], self._in_text
        opened = whole.startswith("<")
        address, rest = split_address(whole[opened:])
        if not address.strip("/?#:\\") or self._known.knows(host + address):
            self._write(whole, out)
            self._behind_address = True
            return "", False
        self._write_placeholder(out)
        return rest[-_MAX_REST:], opened

    def _in_swallowed(self, text: str, out: list[str]) -> str:
        """Drop an address that is too long, but not the punctuation behind it."""
        for place, character in enumerate(text):
            if character.isspace() or character in "<>":
                return self._end_swallowed() + text[place:]
            if character in "([:" and self._run[-1] == "]":
                self._run.pop()
                return self._end_swallowed() + "]" + text[place:]
            self._run = [*self._run[1 - _MAX_REST :], character]
        return ""

    def _end_swallowed(self) -> str:
        rest = split_address("x" + "".join(self._run))[1]
        self._run, self._host, self._mode = [], "", self._in_text
        return rest

    def _in_definition(self, text: str, out: list[str]) -> str:
        """After "]:" an address may follow that does not look like one elsewhere: //host."""
        for place, character in enumerate(text):
            if not character.isspace():
                self._write(text[:place], out)
                self._run = []
                self._mode = self._in_run if character in "/\\<" else self._in_text
                return self._first_of_run(text[place:])
        self._write(text, out)
        return ""

    def _first_of_run(self, text: str) -> str:
        if self._mode == self._in_run:
            self._run.append(text[0])
            return text[1:]
        return text

    # ---- destinations ------------------------------------------------------------------------

    def _in_destination(self, text: str, out: list[str]) -> str:
        for place, character in enumerate(text):
            nested = character == "(" and self._run[-1] == "]"
            if nested and self._part == "bare":
                # Whatever this is, the first address is dropped and the second one looked at.
                self._end_tag(self._run, out)
                self._run, self._address, self._part, self._depth = ["("], [], "lead", 0
                continue
            outcome = "give up" if nested else self._next_part(character)
            if outcome == "end":
                self._end_destination(out)
                return text[place + 1 :]
            if outcome == "give up":
                return self._give_up(out) + text[place:]
            self._run.append(character)
            if len(self._run) > _MAX_DESTINATION:
                if self._part in ("bare", "angle"):
                    self._end_tag(self._run, out)
                    self._write_placeholder(out)
                    self._run, self._mode = [" "], self._in_swallowed
                    return text[place + 1 :]
                return self._give_up(out) + text[place + 1 :]
        return ""

    def _next_part(self, character: str) -> str:
        """Move on by a character; "end" behind the destination, "give up" if there is none."""
        part = self._part
        if part == "lead" and not character.isspace():
            if character == "<":
                self._part = "angle"
                return ""
            part = self._part = "bare"
        if part == "bare":
            if character.isspace():
                self._part = "after"
                return ""
            if character == ")" and not self._depth:
                return "end"
            self._depth += (character == "(") - (character == ")")
            self._address.append(character)
        elif part == "angle":
            if character in "<\n":
                return "give up"
            if character == ">":
                self._part = "after"
            else:
                self._address.append(character)
        elif part == "after" and not character.isspace():
            if character == ")":
                return "end"
            if character not in _CLOSING:
                return "give up"
            self._part = _CLOSING[character]
        elif part == "closed" and not character.isspace():
            return "end" if character == ")" else "give up"
        elif part in _CLOSING.values() and character == part:
            self._part = "closed"
        return ""

    def _end_destination(self, out: list[str]) -> None:
        address = "".join(self._address)
        held, self._run, self._mode = "".join(self._run), [], self._in_text
        if self._known.knows(address):
            title = held.split(address, 1)[1].removeprefix(">")
            plain = _PLAIN_TITLE.fullmatch(title.strip()[1:-1])
            self._write(held + ")" if plain else f"({address})", out)
            if not plain:
                self._end_tag(title, out)
        else:
            self._end_tag(held, out)
            self._apart = self._behind_address

    def _give_up(self, out: list[str]) -> str:
        """What is held is no destination: it is text. Returns what is to be looked at as such."""
        held, address = "".join(self._run), "".join(self._address)
        self._run, self._mode = [], self._in_text
        self._write("(", out)
        if address[:1] not in ("/", "\\"):
            return held[1:]
        # Some readers' Markdown takes an address with blanks.
        self._end_tag(held, out)
        self._write_placeholder(out)
        return held.split(address, 1)[1].removeprefix(">")

    def _end_tag(self, dropped: Sequence[str], out: list[str]) -> None:
        """End the tag that a ">" in what is dropped had ended, lest the text becomes a part of it.

        `MarkupFilter` leaves tags without attributes, such as `<a x](>`.
        """
        if next((one for one in dropped if one in "<>"), "") == ">":
            self._write(">", out)
