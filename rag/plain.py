"""A passage's sentences as a person reads them: without Markdown, table rows with their heads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rag.blocks import is_delimiter_row
from rag.types import Span

_LINK = re.compile(r"!?\[([^\[\]]{0,200})\]\([^()\s]{0,400}\)")
_EMPHASIS = re.compile(r"(\*{1,3}|_{2,3}|`+|~~)(?=\S)([^*`~\n]{1,400}?)(?<=\S)\1")
_QUOTE_MARK = re.compile(r"\n[ \t]*>+[ \t]?")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MARKER = re.compile(r"\[(\^?\d+)\]")
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_MAX_LENGTH: Final = 4_000


def plain(text: str) -> str:
    """One line of readable text: emphasis, links and quote marks removed, blanks collapsed.

    A number in square brackets becomes one in parentheses, so that it cannot be taken for a
    reference to a source.
    """
    if any(mark in text for mark in "*_`~[<\n"):
        text = text[:_MAX_LENGTH]
        text = _COMMENT.sub("", text)
        text = _QUOTE_MARK.sub("\n", text)
        text = _LINK.sub(r"\1", text)
        text = _EMPHASIS.sub(r"\2", text)
        text = _MARKER.sub(r"(\1)", text)
    return " ".join(text.split())


def plain_sentences(
    text: str, start: int, sentences: Sequence[Span], *, table_head: str = ""
) -> list[str]:
    """The readable form of each sentence of a passage whose `text` starts at offset `start`, in the
    middle of the table with the head `table_head` if there is one.

    Empty for what says nothing by itself: the head of a table.
    """
    return [
        _plain_sentence(text, span.start - start, span.end - start, table_head)
        for span in sentences
    ]


def section_numbers(text: str, start: int, sentences: Sequence[Span]) -> list[int]:
    """For each sentence how many headings stand before it in the passage's text."""
    numbers: list[int] = []
    number = position = 0
    for span in sentences:
        gap = text[position : span.start - start]
        number += sum(line.lstrip().startswith("#") for line in gap.split("\n")[: -1 or None])
        numbers.append(number)
        position = span.end - start
    return numbers


def with_table_head(table_head: str, text: str) -> str:
    """The text as models and searches see it: under the head of the table it begins in, if any."""
    return f"{table_head}\n{text}" if table_head else text


def _plain_sentence(text: str, start: int, end: int, table_head: str) -> str:
    sentence = text[start:end]
    if "|" not in sentence or "\n" in sentence:
        return plain(sentence)
    if is_table_head(text, end):
        return ""
    cells = _cells(sentence)
    head = _head_of(text, start)
    if head is None and table_head and _is_first_table(text, start):
        carried = _cells(table_head)
        # A row that was too long for a passage begins with any of its columns.
        head = carried if len(carried) == len(cells) else None
    if head is None and not sentence.startswith("|"):
        return plain(sentence)
    return _row(cells, head or [])


def is_table_head(text: str, end: int) -> bool:
    """Whether the row that ends at `end` is followed by a delimiter row."""
    line_end = text.find("\n", end)
    if line_end < 0 or text[end:line_end].strip(" \t|"):
        return False
    next_end = text.find("\n", line_end + 1)
    return is_delimiter_row(text[line_end + 1 : next_end if next_end >= 0 else len(text)])


def _head_of(text: str, start: int) -> list[str] | None:
    """The cells of the head of the table that the row at `start` belongs to."""
    lines = text[:start].split("\n")[:-1]
    for index in range(len(lines) - 1, -1, -1):
        if "|" not in lines[index]:
            return None
        if index > 0 and "|" in lines[index - 1] and is_delimiter_row(lines[index]):
            return _cells(lines[index - 1])
    return None


def _is_first_table(text: str, start: int) -> bool:
    """Whether all lines before the row at `start` are rows, too."""
    return all("|" in line for line in text[:start].split("\n")[:-1])


def _cells(row: str) -> list[str]:
    row = row.strip().removeprefix("|").removesuffix("|")
    return [plain(cell.replace("\\|", "|")) for cell in _CELL_BORDER.split(row)]


def _row(cells: list[str], head: list[str]) -> str:
    """ "Express: Days 1; Price EUR 9.90" from a row and its table's head."""
    if not cells:
        return ""
    parts = []
    for number, cell in enumerate(cells[1:], start=1):
        name = head[number] if number < len(head) else ""
        if cell:
            parts.append(f"{name} {cell}".strip())
    if not parts:
        return cells[0]
    return f"{cells[0]}: {'; '.join(parts)}" if cells[0] else "; ".join(parts)
