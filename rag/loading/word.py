"""DOCX as Markdown-like text, by python-docx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from rag.loading.archive import damaged, open_archive
from rag.loading.layout import Layout, language_code, one_line
from rag.loading.limits import ParseLimits
from rag.loading.markdown import first_heading
from rag.types import SourceDocument

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
# Deleted text, text boxes (they stand elsewhere), and the second rendering of the same thing.
_SKIPPED: Final = frozenset(
    {f"{_W}del", f"{_W}moveFrom", f"{_W}txbxContent", f"{_MC}Fallback", f"{_W}instrText"}
)
# Holders of blocks: content controls, tracked insertions, custom markup.
_HOLDERS: Final = frozenset({f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"})
_HEADING_STYLE = re.compile(r"heading ?([1-9])\Z", re.IGNORECASE)
_LIST_STYLE = re.compile(r"list (?:bullet|number|paragraph)", re.IGNORECASE)
_MAX_HEADING: Final = 200


def load_docx(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """The title is that of the properties, else the first text in the style "Title" or the first
    heading, else the file's name. Headings are known by their style or outline level. Heads and
    feet of pages, notes, comments and text boxes are left out; of tracked changes the new text
    counts.

    Raises:
        LoadingError: it is no Word document, damaged, encrypted, or too large.
    """
    open_archive(data, "a Word document", limits)
    import docx
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError

    try:
        document: Any = docx.Document(BytesIO(data))
        reader = _Reader(document)
        reader.read(document.element.body)
        properties = document.core_properties
        title, language = one_line(properties.title or ""), properties.language or ""
    except (OpcError, LxmlError, KeyError, ValueError, AttributeError) as error:
        raise damaged("a Word document", error) from error
    content = reader.layout.text()
    return SourceDocument(
        title=_real(title) or reader.title or first_heading(content) or stem,
        content=content,
        language=language_code(language),
    )


def _real(title: str) -> str:
    return "" if title.casefold() in ("word document", "untitled", "document1") else title


class _Reader:
    """Walks through the blocks of the body."""

    def __init__(self, document: Any) -> None:
        self.layout = Layout()
        self.title = ""
        self._styles = {
            style.style_id: style for style in document.styles if style.style_id is not None
        }
        self._levels: dict[str, tuple[str, int]] = {}

    def read(self, parent: Any) -> None:
        for block in _blocks(parent):
            if block.tag == f"{_W}p":
                self._paragraph(block)
            else:
                self.layout.table(_rows(block))

    def _paragraph(self, paragraph: Any) -> None:
        text = _text(paragraph)
        if not text.strip():
            return
        properties = paragraph.find(f"{_W}pPr")
        kind, level = self._style(properties)
        if kind == "title" and not self.title:
            self.title = one_line(text)
        if kind in ("title", "heading") and len(text) <= _MAX_HEADING:
            self.layout.heading(1 if kind == "title" else level, text)
        elif kind == "item":
            self.layout.item(text, level=level)
        else:
            self.layout.paragraph(text)

    def _style(self, properties: Any) -> tuple[str, int]:
        """What a paragraph is, and its level: from 1 for headings, from 0 for list items."""
        if properties is None:
            return "paragraph", 0
        outline = _value(properties.find(f"{_W}outlineLvl"))
        if outline is not None and outline.isdigit() and int(outline) < 9:
            return "heading", int(outline) + 1
        style_id = _value(properties.find(f"{_W}pStyle"))
        kind, level = self._named(style_id) if style_id else ("paragraph", 0)
        numbering = properties.find(f"{_W}numPr")
        if kind in ("paragraph", "item") and numbering is not None:
            depth = _value(numbering.find(f"{_W}ilvl")) or "0"
            if _value(numbering.find(f"{_W}numId")) != "0":
                return "item", int(depth) if depth.isdigit() else 0
        return kind, level

    def _named(self, style_id: str) -> tuple[str, int]:
        """The same for a style: by its name or outline level, or that of the style it is based on.
        Names of built-in styles are English in every language's files."""
        if style_id not in self._levels:
            self._levels[style_id] = ("paragraph", 0)  # also where styles are based on each other
            style = self._styles.get(style_id)
            if style is not None:
                self._levels[style_id] = self._look(style)
        return self._levels[style_id]

    def _look(self, style: Any) -> tuple[str, int]:
        name = style.name or ""
        if match := _HEADING_STYLE.match(name):
            return "heading", int(match.group(1))
        if name.casefold() == "title":
            return "title", 1
        properties = style.element.find(f"{_W}pPr")
        if properties is not None:
            outline = _value(properties.find(f"{_W}outlineLvl"))
            if outline is not None and outline.isdigit() and int(outline) < 9:
                return "heading", int(outline) + 1
        if _LIST_STYLE.match(name):
            return "item", 0
        base = _value(style.element.find(f"{_W}basedOn"))
        return self._named(base) if base else ("paragraph", 0)


def _value(element: Any) -> str | None:
    return None if element is None else element.get(f"{_W}val")


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables in order, also those in content controls."""
    stack = [iter(parent)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag in (f"{_W}p", f"{_W}tbl"):
            yield child
        elif child.tag in _HOLDERS:
            stack.append(iter(child))


def _text(parent: Any) -> str:
    """The text below an element, in order, without recursion."""
    out: list[str] = []
    stack = [iter(parent)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            continue
        tag = child.tag
        if tag == f"{_W}t":
            out.append(child.text or "")
        elif tag in (f"{_W}br", f"{_W}cr"):
            out.append("\n")
        elif tag == f"{_W}tab":
            out.append(" ")
        elif tag == f"{_W}noBreakHyphen":
            out.append("-")
        elif tag == f"{_W}p" and out:  # of several in a cell
            out.append(" ")
            stack.append(iter(child))
        elif tag not in _SKIPPED and tag not in (f"{_W}pPr", f"{_W}rPr"):
            stack.append(iter(child))
    return "".join(out)


def _rows(table: Any) -> Iterator[list[str]]:
    """The cells of each row; one that spans columns is followed by empty ones."""
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue  # of a table in a cell, whose text the cell has
        cells: list[str] = []
        for cell in row.iter(f"{_W}tc"):
            if next(cell.iterancestors(f"{_W}tr")) is not row:
                continue
            cells.append(_text(cell))
            span = _value(cell.find(f"{_W}tcPr/{_W}gridSpan")) or "1"
            cells += [""] * (min(int(span), 60) - 1 if span.isdigit() else 0)
        yield cells
