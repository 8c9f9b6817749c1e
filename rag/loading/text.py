"""Plain text, which is read as Markdown without front matter."""

from __future__ import annotations

from rag.loading.markdown import first_heading
from rag.types import SourceDocument


def load_text(text: str, stem: str) -> SourceDocument:
    """The title is the first heading (underlined or with #), else the file's name."""
    return SourceDocument(title=first_heading(text) or stem, content=text)
