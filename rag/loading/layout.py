"""Writing Markdown-like text: headings with #, lists with -, tables as rows with |."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rag.errors import LoadingError
from rag.loading.limits import MAX_BYTES


class Layout:
    """Collects blocks of text, with a blank line between them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._length = 0

    @property
    def length(self) -> int:
        """The characters so far: the offset at which the next line will begin."""
        return self._length

    def heading(self, level: int, text: str) -> None:
        """A heading of level 1 to 6; nothing if the text is blank."""
        if text := one_line(text):
            self.blank()
            self._add("#" * max(1, min(level, 6)) + " " + text)
            self.blank()

    def paragraph(self, text: str) -> None:
        """A paragraph; its line breaks stay."""
        lines = [line for line in (one_line(line) for line in text.split("\n")) if line]
        if lines:
            self.blank()
            for line in lines:
                self._add(line)
            self.blank()

    def item(self, text: str, *, level: int = 0) -> None:
        """A list item; `level` counts from 0."""
        if text := one_line(text):
            self._add("  " * max(0, min(level, 8)) + "- " + text)

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """A table whose first row that is not blank is its head. Rows are cut or filled to the
        width of the widest; blank rows and blank columns at the right are left out."""
        kept = [cells for row in rows if any(cells := [cell_text(value) for value in row])]
        width = max((_filled(cells) for cells in kept), default=0)
        if not width:
            return
        self.blank()
        for number, cells in enumerate(kept):
            cells = [*cells, *[""] * (width - len(cells))][:width]
            self._add("| " + " | ".join(cells) + " |")
            if number == 0:
                self._add("|" + " --- |" * width)
        self.blank()

    def blank(self) -> None:
        """A blank line, unless there is one."""
        if self._lines and self._lines[-1]:
            self._add("")

    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n" if self._lines else ""

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._length += len(line) + 1
        if self._length > MAX_BYTES:
            raise LoadingError(
                "the text is longer than 5 million characters; split it into smaller files."
            )


def one_line(text: str) -> str:
    return " ".join(text.split())


def language_code(value: str) -> str | None:
    """ "de" for "de-AT"; None for what is no code."""
    code = value.strip().lower().replace("_", "-").split("-")[0]
    return code if re.fullmatch(r"[a-z]{2}", code) else None


def cell_text(value: str) -> str:
    """A cell's text in one line, without what would be taken for the border of a cell."""
    return " ".join(value.split()).replace("|", "/")


def _filled(cells: Sequence[str]) -> int:
    """How many cells there are up to the last that is not blank."""
    return max((number for number, cell in enumerate(cells, start=1) if cell), default=0)
