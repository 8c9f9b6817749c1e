"""Hands a file to the loader for its format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePath
from typing import Final, TypeAlias

from rag.errors import LoadingError
from rag.loading.limits import MAX_BYTES, MEGABYTE, ParseLimits
from rag.loading.mapping import FieldMapping
from rag.loading.markdown import MAX_TITLE_LENGTH
from rag.types import SourceDocument

Loader: TypeAlias = Callable[[bytes, str, ParseLimits], SourceDocument]

# Suffix to module and function: a library is imported when the first file of its format comes.
_LOADERS: Final[dict[str, tuple[str, str]]] = {
    ".md": ("text_files", "load_markdown_file"),
    ".markdown": ("text_files", "load_markdown_file"),
    ".txt": ("text_files", "load_text_file"),
    ".html": ("text_files", "load_html_file"),
    ".htm": ("text_files", "load_html_file"),
    ".pdf": ("pdf", "load_pdf"),
    ".docx": ("word", "load_docx"),
    ".pptx": ("slides", "load_pptx"),
    ".xlsx": ("sheets", "load_xlsx"),
    ".csv": ("sheets", "load_csv"),
    ".tsv": ("sheets", "load_csv"),
    ".epub": ("epub", "load_epub"),
    ".eml": ("mail", "load_eml"),
}
TEXT_SUFFIXES: Final = frozenset({".md", ".markdown", ".txt", ".html", ".htm"})
RECORD_SUFFIXES: Final = frozenset({".jsonl", ".ndjson"})
SUFFIXES: Final = frozenset(_LOADERS) | RECORD_SUFFIXES

_WORD = re.compile(r"[^\W_]")
# What PostgreSQL and terminals cannot take, and halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def load_file(
    path: str | Path, data: bytes | None = None, *, limits: ParseLimits | None = None
) -> SourceDocument:
    """Read a file of any format but JSON Lines as a document.

    The suffix of `path` decides the format. With `data` given (an upload) nothing is read from
    disk. In `content` every line ends with a single line feed; for Markdown it is the text after
    the front matter, for text the file itself, for all others Markdown-like text. It runs in this
    process: files of strangers go through `DocumentParser`.

    Raises:
        LoadingError: with a sentence that says what is wrong with the file.
    """
    path = Path(path)
    limits = limits or ParseLimits()
    suffix = path.suffix.lower()
    if suffix not in _LOADERS:
        known = ", ".join(sorted(SUFFIXES - RECORD_SUFFIXES))
        raise LoadingError(f"{path.name}: only files that end in {known} can be read.")
    data = _read(path, limits) if data is None else data
    check_size(path.name, data, limits)
    module, function = _LOADERS[suffix]
    load: Loader = getattr(import_module(f"rag.loading.{module}"), function)
    try:
        document = load(data, path.stem, limits)
    except LoadingError as error:
        raise LoadingError(f"{path.name}: {error}") from error
    except RecursionError as error:
        raise LoadingError(f"{path.name}: the file is nested too deeply to be read.") from error
    document = document if suffix in TEXT_SUFFIXES else cleaned(document)
    if not _WORD.search(document.content):
        raise LoadingError(f"{path.name}: the file is empty; there is no text to search in.")
    if len(document.content) > MAX_BYTES:
        raise LoadingError(
            f"{path.name}: the text is longer than 5 million characters; "
            "split it into smaller files."
        )
    return document


def load_records(
    path: str | Path,
    data: bytes | None = None,
    *,
    mapping: FieldMapping | None = None,
    limits: ParseLimits | None = None,
) -> list[SourceDocument]:
    """Read a JSON Lines file: each line that is not blank is a document.

    Raises:
        LoadingError: with a sentence that names the line that is wrong.
    """
    path = Path(path)
    limits = limits or ParseLimits()
    data = _read(path, limits) if data is None else data
    check_size(path.name, data, limits)
    load = import_module("rag.loading.records").load_jsonl
    try:
        return [cleaned(document) for document in load(data, path.stem, mapping, limits)]
    except LoadingError as error:
        raise LoadingError(f"{path.name}: {error}") from error


def load_documents(
    name: str,
    data: bytes,
    *,
    mapping: FieldMapping | None = None,
    limits: ParseLimits | None = None,
) -> list[SourceDocument]:
    """The documents in a file of any format: one, or each record of a JSON Lines file.

    Raises:
        LoadingError: with a sentence that says what is wrong with the file.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in RECORD_SUFFIXES:
        return load_records(name, data, mapping=mapping, limits=limits)
    if suffix not in SUFFIXES:
        known = ", ".join(sorted(SUFFIXES))
        raise LoadingError(f"{PurePath(name).name}: only files that end in {known} can be read.")
    return [load_file(name, data, limits=limits)]


def check_size(name: str, data: bytes, limits: ParseLimits) -> None:
    """Refuse a file that is too large for its format, or empty.

    Raises:
        LoadingError
    """
    short = PurePath(name).name
    is_text = PurePath(name).suffix.lower() in TEXT_SUFFIXES
    limit = min(MAX_BYTES, limits.file_mb * MEGABYTE) if is_text else limits.file_mb * MEGABYTE
    if len(data) > limit:
        raise LoadingError(
            f"{short}: the file is larger than {limit // MEGABYTE} MB; split it into smaller files."
        )
    if not data:
        raise LoadingError(f"{short}: the file is empty; there is no text to search in.")


def cleaned(document: SourceDocument) -> SourceDocument:
    """The document without characters that no store takes, and with a title in one short line.

    Offsets stay as they are: each such character becomes one blank.
    """
    title = " ".join(_UNSAFE.sub(" ", document.title).split())[:MAX_TITLE_LENGTH]
    return replace(
        document,
        title=title or "Untitled",
        content=_UNSAFE.sub(" ", document.content),
    )


def _read(path: Path, limits: ParseLimits) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.file_mb * MEGABYTE + 1)
    except OSError as error:
        raise LoadingError(f"{path.name}: cannot be read ({error.strerror}).") from error
