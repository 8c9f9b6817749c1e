"""Reads a file as text and hands it to the loader for its kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rag.errors import LoadingError
from rag.loading.html import load_html
from rag.loading.markdown import load_markdown
from rag.loading.text import load_text
from rag.types import SourceDocument

MAX_BYTES: Final = 5 * 1024 * 1024

_LOADERS: Final[dict[str, Callable[[str, str], SourceDocument]]] = {
    ".md": load_markdown,
    ".markdown": load_markdown,
    ".txt": load_text,
    ".html": load_html,
    ".htm": load_html,
}

_WORD = re.compile(r"[^\W_]")


def load_file(path: str | Path, data: bytes | None = None) -> SourceDocument:
    """Read a Markdown, plain text or HTML file as a document.

    The suffix of `path` decides the kind. With `data` given (an upload) nothing is read from disk.
    In `content` every line ends with a single line feed; for Markdown it is the text after the
    front matter, otherwise unchanged.

    Raises:
        LoadingError: with a sentence that says what is wrong with the file.
    """
    path = Path(path)
    load = _LOADERS.get(path.suffix.lower())
    if load is None:
        known = ", ".join(_LOADERS)
        raise LoadingError(f"{path.name}: only files that end in {known} can be read.")
    text = _decode(path.name, _read(path) if data is None else data)
    try:
        document = load(text, path.stem)
    except LoadingError as error:
        raise LoadingError(f"{path.name}: {error}") from error
    if not _WORD.search(document.content):
        raise LoadingError(f"{path.name}: the file is empty; there is no text to search in.")
    return document


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LoadingError(f"{path.name}: cannot be read ({error.strerror}).") from error


def _decode(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise LoadingError(f"{name}: the file is larger than {MAX_BYTES // 1024 // 1024} MB.")
    if b"\0" in data:
        raise LoadingError(f"{name}: the file contains NUL bytes; it is not a UTF-8 text file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoadingError(
            f"{name}: the file is not UTF-8 text (byte {error.start + 1} cannot be decoded)."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
