"""PDF as Markdown-like text, by PDFium: paragraphs, list items, headings and the pages' offsets.

PDFium gives lines in reading order. Here they become paragraphs by the gaps between them, and
headings by the document's outline, or else by the size of their letters.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rag.errors import LoadingError
from rag.loading.layout import language_code
from rag.loading.limits import MAX_BYTES, ParseLimits
from rag.loading.markdown import MAX_TITLE_LENGTH, first_heading
from rag.types import SourceDocument

if TYPE_CHECKING:
    import pypdfium2

_MAX_HEADING: Final = 120
# A heading's letters are at least so many times as large as those of most of the text.
_HEADING_SIZE: Final = 1.15
_HEADING_SIZES: Final = 3
# Paragraphs are this much further apart than lines are, in the height of a line.
_PARAGRAPH_GAP: Final = 0.25
# Running heads and feet are looked for in so many lines at either end of a page.
_EDGE: Final = 2
_BULLET = re.compile(r"[•▪◦‣·●○■□–—*-]\s+")
_NUMBERED = re.compile(r"\d{1,3}[.)]\s+")
_NUMBER = re.compile(r"[0-9]+")
_SECTION_NUMBER = re.compile(r"(?:\d+\.)*\d+\.?\s+")
# PDFium's mark for a hyphen at a line's end; the next line's text follows it at once.
_LINE_HYPHEN = re.compile("\ufffe(.?)")
_LEADER = re.compile(r"(?:[ \t]?\.){5,}[ \t]?")
_MADE_UP_TITLE = re.compile(
    r"untitled|unbenannt|sin título|sans titre|microsoft (?:word|powerpoint|excel)\b"
    r"|[^\n]*\.(?:docx?|pdf|pptx?|xlsx?|indd|tex|dvi|rtf|odt|qxd)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with its place on the page, in points from the bottom, and its letters' size."""

    text: str
    top: float
    bottom: float
    size: float


@dataclass(frozen=True, slots=True)
class _Block:
    """A heading ("# …"), list item or paragraph; `joins` says that it goes on from the one before,
    on the page before."""

    text: str
    page: int
    kind: str
    joins: bool = False


def load_pdf(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """The title is that of the metadata, else the first heading, else the file's name; the language
    is that of the document's catalogue. Lines that repeat at the head or foot of most pages are
    left out. Tables are lines of text: a PDF does not say what is a table.

    Raises:
        LoadingError: it is no PDF, is encrypted, damaged, too long, or has no text.
    """
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    if b"%PDF-" not in data[:1024]:
        raise LoadingError("this is not a PDF, whatever its name says; give it the right suffix.")
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
            raise LoadingError(
                "the PDF is protected by a password; save it without one."
            ) from error
        raise LoadingError("the PDF is damaged; save it anew.") from error
    count = len(document)
    if count > limits.pages:
        raise LoadingError(
            f"the PDF has more than {limits.pages} pages; split it into smaller files."
        )
    read = [_page_lines(document, number) for number in range(count)]
    pages = _without_running_lines([lines or [] for lines in read])
    if not any(pages):
        if None in read or not count:
            raise LoadingError("the PDF is damaged: its pages cannot be read; save it anew.")
        raise LoadingError(
            "the PDF has no text; it may be scanned. Run text recognition (OCR) over it first."
        )
    blocks = list(_blocks(pages, _outline(document)))
    content, starts = _written(blocks, count)
    return SourceDocument(
        title=_title(document) or _largest(pages) or first_heading(content) or stem,
        content=content,
        language=_language(document),
        pages=starts,
    )


def _page_lines(document: pypdfium2.PdfDocument, number: int) -> list[_Line] | None:
    """The lines of a page, None if the page is damaged."""
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    try:
        page = document[number]
    except pdfium.PdfiumError:
        return None
    text_page = page.get_textpage()
    text = text_page.get_text_range()
    if len(text) > MAX_BYTES:
        raise LoadingError("the PDF has too much text on one page; split it into smaller files.")
    box = raw.FS_RECTF()
    lines: list[_Line] = []
    position = 0

    def place(index: int) -> tuple[float, float]:
        where = raw.FPDFText_GetCharIndexFromTextIndex(text_page.raw, index)
        if where < 0 or not raw.FPDFText_GetLooseCharBox(text_page.raw, where, ctypes.byref(box)):
            return 0.0, 0.0
        return float(box.top), float(box.bottom)

    for line in text.split("\r\n"):
        shown = line.strip()
        if shown:
            first = position + len(line) - len(line.lstrip())
            top, bottom = place(first)
            size = top - bottom
            if "\ufffe" in line:  # two lines or more: the place of the last one counts
                _, bottom = place(position + len(line.rstrip()) - 1)
            lines.append(_Line(_unhyphenated(shown), top, bottom, round(size * 2) / 2))
        position += _units(line) + 2
    text_page.close()
    page.close()
    return lines


def _units(text: str) -> int:
    """PDFium counts UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _unhyphenated(text: str) -> str:
    """Words that were cut at a line's end made whole; a capital or digit keeps the hyphen. The
    dots that lead to a page's number become one."""
    text = _LEADER.sub(" … ", text)
    return _LINE_HYPHEN.sub(
        lambda match: match.group(1) if match.group(1).islower() else "-" + match.group(1), text
    )


def _without_running_lines(pages: list[list[_Line]]) -> list[list[_Line]]:
    """Leave out what stands at the head or foot of at least half of the pages, and of three.

    A number may grow with the pages. Lines in larger letters are headings, and stay.
    """
    limit = _body_size(pages) * _HEADING_SIZE
    seen: Counter[tuple[bool, str]] = Counter()
    for number, lines in enumerate(pages):
        for is_head, edge in ((True, lines[:_EDGE]), (False, lines[-_EDGE:])):
            seen.update(
                {
                    (is_head, pattern)
                    for line in edge
                    if line.size < limit
                    for pattern in _patterns(line.text, number)
                }
            )
    needed = max(3, len(pages) / 2)
    running = {key for key, times in seen.items() if times >= needed}

    def is_running(line: _Line, number: int, index: int, last: int) -> bool:
        ends = [
            is_head for is_head, near in ((True, index < _EDGE), (False, index >= last)) if near
        ]
        return line.size < limit and any(
            (is_head, pattern) in running
            for is_head in ends
            for pattern in _patterns(line.text, number)
        )

    return [
        [
            line
            for index, line in enumerate(lines)
            if not is_running(line, number, index, len(lines) - _EDGE)
        ]
        for number, lines in enumerate(pages)
    ]


def _patterns(text: str, page: int) -> set[str]:
    """The line itself, and with its first or last number as a distance from the page's number."""
    text = text.casefold()
    numbers = [match for match in _NUMBER.finditer(text) if len(match.group()) <= 6]
    return {text} | {
        f"{text[: match.start()]}#{int(match.group()) - page}{text[match.end() :]}"
        for match in (*numbers[:1], *numbers[-1:])
    }


def _body_size(pages: list[list[_Line]]) -> float:
    """The size of most letters."""
    letters: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            letters[line.size] += len(line.text)
    return letters.most_common(1)[0][0] if letters else 0.0


def _usual_gap(pages: list[list[_Line]]) -> float:
    """The gap between two lines of a paragraph, as a share of their height."""
    gaps = [
        (before.bottom - line.top) / before.size
        for lines in pages
        for before, line in pairwise(lines)
        if before.size == line.size > 0
    ]
    # The lower quarter: where paragraphs are short, most gaps are between them.
    near = sorted(gap for gap in gaps if -0.6 <= gap <= 1.2)
    return near[len(near) // 4] if near else 0.0


def _outline(document: pypdfium2.PdfDocument) -> dict[tuple[int, str], int]:
    """The levels, from 1, of the outline's entries by page and text."""
    levels: dict[tuple[int, str], int] = {}
    for number, entry in enumerate(document.get_toc(max_depth=6)):
        if number >= 10_000:
            break
        destination = entry.get_dest()
        page = destination.get_index() if destination is not None else None
        if page is not None:
            levels[page, _bare(entry.get_title())] = min(entry.level + 1, 6)
    return levels


def _bare(text: str) -> str:
    """A heading without its number, to be compared."""
    text = " ".join(text.split()).casefold()
    return _SECTION_NUMBER.sub("", text, count=1) or text


class _Headings:
    """Tells the level of a line that is a heading, 0 for others."""

    def __init__(self, pages: list[list[_Line]], outline: dict[tuple[int, str], int]) -> None:
        self._outline = {
            (number, text): level
            for number, lines in enumerate(pages)
            for text in {_bare(line.text) for line in lines}
            if (level := outline.get((number, text)))
        }
        sizes = {line.size for lines in pages for line in lines}
        body = _body_size(pages)
        larger = sorted((size for size in sizes if size >= body * _HEADING_SIZE), reverse=True)
        # Where most sizes differ, as in an advertisement, they say nothing.
        self._sizes = {
            size: min(level, _HEADING_SIZES) for level, size in enumerate(larger[:8], start=1)
        }

    def level(self, page: int, line: _Line) -> int:
        if len(line.text) > _MAX_HEADING or not any(map(str.isalpha, line.text)):
            return 0
        if self._outline:
            return self._outline.get((page, _bare(line.text)), 0)
        return self._sizes.get(line.size, 0)


def _blocks(pages: list[list[_Line]], outline: dict[tuple[int, str], int]) -> Iterator[_Block]:
    headings = _Headings(pages, outline)
    gap = _usual_gap(pages) + _PARAGRAPH_GAP
    for page, lines in enumerate(pages):
        parts: list[str] = []
        kind = ""
        level = 0
        before: _Line | None = None
        fresh = True  # nothing of this page was given yet
        for line in lines:
            this_level = headings.level(page, line)
            bullet = _BULLET.match(line.text)
            goes_on = (
                before is not None
                and bullet is None
                and not _NUMBERED.match(line.text)
                and this_level == level
                and line.size == before.size
                and _follows(before, line, gap)
            )
            if not goes_on and parts:
                yield _Block(" ".join(parts), page, kind, fresh)
                parts, fresh = [], False
            if not parts:
                level = this_level
                kind = "heading" if level else "item" if bullet else "paragraph"
            text = line.text[bullet.end() :] if bullet else line.text
            mark = "#" * level + " " if level else "- " if bullet else ""
            parts.append(text if parts else mark + text)
            before = line
        if parts:
            yield _Block(" ".join(parts), page, kind, fresh)


def _follows(before: _Line, line: _Line, most: float) -> bool:
    """Whether a line continues the paragraph of the line before it: `most` is the largest gap
    within a paragraph, as a share of a line's height."""
    height = max(line.size, 1.0)
    gap = (before.bottom - line.top) / height
    if gap < -1.5:  # the next column
        return not _ends(before.text)
    return gap <= most


def _ends(text: str) -> bool:
    return text.rstrip("\"'”’»)").endswith((".", "!", "?", ":", "…"))


def _written(blocks: list[_Block], count: int) -> tuple[str, tuple[int, ...]]:
    """The text, and where in it each page begins."""
    out: list[str] = []
    length = 0
    starts: list[int] = []
    before: _Block | None = None
    for block in blocks:
        text, separator = block.text, ""
        if before is not None:
            over = (
                block.joins
                and block.page != before.page
                and block.kind == "paragraph"
                and before.kind in ("paragraph", "item")
                and not _ends(before.text)
                and text[:1].islower()
            )
            items = block.kind == before.kind == "item"
            separator = " " if over else "\n" if items else "\n\n"
        length += len(separator)
        starts += [length] * (block.page + 1 - len(starts))
        out += [separator, text]
        length += len(text)
        before = block
    starts += [length] * (count - len(starts))
    return "".join(out) + "\n", tuple(starts)


def _title(document: pypdfium2.PdfDocument) -> str:
    title = " ".join(document.get_metadata_value("Title").split())
    return "" if _MADE_UP_TITLE.match(title) else title[:MAX_TITLE_LENGTH]


def _largest(pages: list[list[_Line]]) -> str:
    """The line in the largest letters of the first page, if they are those of a heading."""
    line = max(pages[0], key=lambda line: line.size, default=None)
    if line is None or line.size < _body_size(pages) * _HEADING_SIZE:
        return ""
    return line.text if len(line.text) <= _MAX_HEADING else ""


def _language(document: pypdfium2.PdfDocument) -> str | None:
    from pypdfium2 import raw

    size = raw.FPDFCatalog_GetLanguage(document.raw, None, 0)
    if not 2 < size <= 100:
        return None
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    raw.FPDFCatalog_GetLanguage(document.raw, buffer, size)
    text = bytes(buffer).decode("utf-16-le", "replace").split("\0")[0]
    return language_code(text)
