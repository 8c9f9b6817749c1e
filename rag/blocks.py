"""The blocks of a Markdown text with their offsets, found line by line in linear time.

It is not a Markdown parser: it knows just enough to cut at the right places (headings, paragraphs,
list items, table rows, fenced code), never fails, and looks at each line a fixed number of times,
so that no input is slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["heading", "paragraph", "item", "row", "code", "mark"]

MAX_HEADING_LENGTH: Final = 200

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*\Z")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*+){3,}|(?:\*[ \t]*+){3,}|(?:_[ \t]*+){3,})\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")
_QUOTE = re.compile(r"(?:[ \t]*>)+[ \t]?")
_DELIMITER_ROW = re.compile(
    r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-*+:?[ \t]*+)*+\Z"  # possessive: linear
)


@dataclass(frozen=True, slots=True)
class Block:
    """`content[start:end]`, whole lines without the blanks around them.

    `body` is where its text starts, after a bullet or quote mark. `heading` and `level` are set
    for headings only. A "mark" (delimiter row, fence, rule) belongs to its neighbours' layout and
    has no text of its own.
    """

    kind: Kind
    start: int
    end: int
    body: int
    heading: str = ""
    level: int = 0


@dataclass(slots=True)
class _Line:
    start: int
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def parse_blocks(content: str) -> Iterator[Block]:
    """The blocks of `content` in order; together they hold every non-blank character."""
    lines = _lines(content)
    index = 0
    while index < len(lines):
        line = lines[index]
        if not line.text.strip():
            index += 1
        elif fence := _FENCE.match(line.text):
            index, blocks = _code(lines, index, fence.group(1))
            yield from blocks
        elif heading := _heading(line):
            yield heading
            index += 1
        elif _RULE.match(line.text):
            yield _block("mark", line)
            index += 1
        elif _ITEM.match(line.text):
            end = _continuation(lines, index)
            yield _joined("item", lines[index:end])
            index = end
        elif _starts_table(lines, index):
            yield _block("row", line)
            yield _block("mark", lines[index + 1])
            index += 2
            while index < len(lines) and "|" in lines[index].text:
                yield _block("row", lines[index])
                index += 1
        elif line.text.lstrip().startswith("|"):
            yield _block("row", line)
            index += 1
        else:
            end = _continuation(lines, index)
            if underlined := _setext(lines, index, end):
                yield underlined
                index += 2
            else:
                yield _joined("paragraph", lines[index:end])
                index = end


def _lines(content: str) -> list[_Line]:
    lines = []
    start = 0
    for text in content.split("\n"):
        lines.append(_Line(start, text))
        start += len(text) + 1
    return lines


def _heading(line: _Line) -> Block | None:
    if len(line.text) > MAX_HEADING_LENGTH + 16:  # as text, so that nothing of it gets lost
        return None
    match = _ATX.match(line.text)
    if match is None:
        return None
    text = " ".join((match.group(2) or "").split())
    return _block("heading", line, heading=text, level=len(match.group(1)))


def _setext(lines: list[_Line], index: int, end: int) -> Block | None:
    """A one-line paragraph that is underlined with = or -."""
    if end != index + 1 or end == len(lines):
        return None
    title, underline = lines[index], lines[end]
    match = _SETEXT.match(underline.text)
    if match is None or len(title.text) > MAX_HEADING_LENGTH:
        return None
    block = _joined("heading", [title, underline])
    level = 1 if match.group(1)[0] == "=" else 2
    text = " ".join(title.text.split())
    return Block("heading", block.start, block.end, block.body, heading=text, level=level)


def _starts_table(lines: list[_Line], index: int) -> bool:
    return (
        "|" in lines[index].text
        and index + 1 < len(lines)
        and "|" in lines[index + 1].text
        and is_delimiter_row(lines[index + 1].text)
    )


def is_delimiter_row(line: str) -> bool:
    """Whether the line is the `| --- | :-: |` under a table's head."""
    return "-" in line and _DELIMITER_ROW.match(line) is not None


def _continuation(lines: list[_Line], index: int) -> int:
    """The index after the last line of the paragraph or item that starts at `index`."""
    index += 1
    while index < len(lines):
        text = lines[index].text
        if (
            not text.strip()
            or _FENCE.match(text)
            or _ITEM.match(text)
            or _SETEXT.match(text)
            or _RULE.match(text)
            or text.lstrip().startswith("|")
            or _heading(lines[index]) is not None
            or _starts_table(lines, index)
        ):
            break
        index += 1
    return index


def _code(lines: list[_Line], index: int, fence: str) -> tuple[int, list[Block]]:
    """A fenced block, to the end of the text if the fence is not closed; one block per line."""
    blocks = [_block("mark", lines[index])]
    index += 1
    while index < len(lines):
        text = lines[index].text
        closing = _FENCE.match(text)
        if closing and closing.group(1).startswith(fence) and not text[closing.end() :].strip():
            blocks.append(_block("mark", lines[index]))
            index += 1
            break
        if text.strip():
            blocks.append(_block("code", lines[index]))
        index += 1
    return index, blocks


def _block(kind: Kind, line: _Line, *, heading: str = "", level: int = 0) -> Block:
    start = line.start + len(line.text) - len(line.text.lstrip())
    end = line.start + len(line.text.rstrip())
    return Block(kind, start, end, start, heading=heading, level=level)


def _joined(kind: Kind, lines: list[_Line]) -> Block:
    first, last = _block(kind, lines[0]), _block(kind, lines[-1])
    mark = _ITEM.match(lines[0].text) or _QUOTE.match(lines[0].text)
    body = lines[0].start + mark.end() if mark else first.start
    return Block(kind, first.start, last.end, min(body, last.end))
