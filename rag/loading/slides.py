"""PPTX as Markdown-like text, by python-pptx. A slide counts as a page."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from rag.errors import LoadingError
from rag.loading.archive import damaged, open_archive
from rag.loading.layout import Layout, language_code, one_line
from rag.loading.limits import ParseLimits
from rag.types import SourceDocument


def load_pptx(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """Each slide is a section under its title, with the speaker's notes at its end. The title is
    that of the properties, else that of the first slide, else the file's name.

    Raises:
        LoadingError: it is no presentation, damaged, encrypted, or too large.
    """
    open_archive(data, "a PowerPoint presentation", limits)
    import pptx
    from lxml.etree import LxmlError
    from pptx.exc import PythonPptxError

    try:
        presentation: Any = pptx.Presentation(BytesIO(data))
        slides = list(presentation.slides)
        if len(slides) > limits.pages:
            raise LoadingError(
                f"the presentation has more than {limits.pages} slides; "
                "split it into smaller files."
            )
        layout = Layout()
        starts: list[int] = []
        titles: list[str] = []
        for slide in slides:
            layout.blank()
            starts.append(layout.length)
            titles.append(_slide(slide, layout))
        properties = presentation.core_properties
        title, language = one_line(properties.title or ""), properties.language or ""
    except (PythonPptxError, LxmlError, KeyError, ValueError, AttributeError) as error:
        raise damaged("a presentation", error) from error
    if title.casefold() in ("powerpoint presentation", "untitled"):
        title = ""
    content = layout.text()
    return SourceDocument(
        title=title or next(filter(None, titles), "") or stem,
        content=content,
        language=language_code(language),
        pages=tuple(min(start, len(content)) for start in starts),
    )


def _slide(slide: Any, layout: Layout) -> str:
    heading = slide.shapes.title
    title = one_line(heading.text_frame.text) if heading is not None else ""
    layout.heading(2, title)
    for shape in _shapes(slide.shapes):
        if heading is not None and shape.shape_id == heading.shape_id:
            continue
        if getattr(shape, "has_table", False):
            layout.table([[cell.text for cell in row.cells] for row in shape.table.rows])
        elif shape.has_text_frame:
            _text_frame(shape.text_frame, layout)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        layout.paragraph(slide.notes_slide.notes_text_frame.text)
    return title


def _text_frame(frame: Any, layout: Layout) -> None:
    paragraphs = [
        (paragraph.level, text)
        for paragraph in frame.paragraphs
        if (text := one_line(paragraph.text))
    ]
    layout.blank()
    if len(paragraphs) == 1:
        layout.paragraph(paragraphs[0][1])
        return
    for level, text in paragraphs:
        layout.item(text, level=level)
    layout.blank()


def _shapes(shapes: Any) -> Iterator[Any]:
    """All shapes, those in groups in the group's place."""
    stack = [iter(shapes)]
    while stack:
        shape = next(stack[-1], None)
        if shape is None:
            stack.pop()
        elif hasattr(shape, "shapes"):
            stack.append(iter(shape.shapes))
        else:
            yield shape
