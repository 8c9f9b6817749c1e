"""Markdown, plain text and HTML from bytes, which must be UTF-8."""

from __future__ import annotations

from rag.errors import LoadingError
from rag.loading.html import load_html
from rag.loading.limits import ParseLimits
from rag.loading.markdown import load_markdown
from rag.loading.text import load_text
from rag.types import SourceDocument


def load_markdown_file(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """See `load_markdown`."""
    return load_markdown(decode(data), stem)


def load_text_file(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """See `load_text`."""
    return load_text(decode(data), stem)


def load_html_file(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """See `load_html`."""
    return load_html(decode(data), stem)


def decode(data: bytes) -> str:
    """The text, each line ending with a single line feed.

    Raises:
        LoadingError: it is not UTF-8, or has NUL bytes.
    """
    if b"\0" in data:
        raise LoadingError("the file contains NUL bytes; it is not a UTF-8 text file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoadingError(
            f"the file is not UTF-8 text (byte {error.start + 1} cannot be decoded); "
            "save it as UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
