"""JSON Lines: one record a line, one document a record."""

from __future__ import annotations

import json
import re
from textwrap import shorten
from typing import Any, Final

from rag.errors import LoadingError
from rag.loading.limits import MAX_BYTES, ParseLimits
from rag.loading.mapping import DEFAULT_MAPPING, FieldMapping
from rag.loading.markdown import MAX_TITLE_LENGTH, first_heading
from rag.loading.text_files import decode
from rag.types import SourceDocument

MAX_KEY: Final = 150
_MAX_LABEL: Final = 60
_MAX_WORDS: Final = 60  # characters of a title that is made of the text
_MAX_SOURCE: Final = 1_000
_WORD = re.compile(r"[^\W_]")


def load_jsonl(
    data: bytes, stem: str, mapping: FieldMapping | None, limits: ParseLimits
) -> list[SourceDocument]:
    """A document for each line that is not blank. One wrong line refuses the whole file, so that
    nothing is missing unnoticed.

    A record without a title gets its first heading, else its first words: neither changes when
    other records come or go.

    Raises:
        LoadingError: a sentence that names the line.
    """
    mapping = mapping or DEFAULT_MAPPING
    documents: list[SourceDocument] = []
    keys: dict[str, int] = {}
    for number, line in enumerate(decode(data).split("\n"), start=1):
        if not line.strip():
            continue
        if len(documents) >= limits.records:
            raise LoadingError(
                f"the file has more than {limits.records} records; split it into smaller files."
            )
        try:
            document = _document(_record(line), mapping)
        except LoadingError as error:
            raise LoadingError(f"line {number}: {error}") from error
        if document.key is not None and (first := keys.setdefault(document.key, number)) != number:
            raise LoadingError(
                f"line {number}: the key {document.key!r} is that of line {first}, too; "
                "each record needs its own."
            )
        documents.append(document)
    if not documents:
        raise LoadingError("the file is empty; there is no text to search in.")
    return documents


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LoadingError("this is not a JSON object in one line.") from error
    if not isinstance(record, dict):
        raise LoadingError("this is not a JSON object in one line.")
    return record


def _document(record: dict[str, Any], mapping: FieldMapping) -> SourceDocument:
    parts = [text for name in mapping.content if (text := _text(record, name)).strip()]
    content = "\n\n".join(parts if mapping.join else parts[:1])
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    if not _WORD.search(content):
        raise LoadingError(
            f"no text in {_either(mapping.content)}; name the right field in the field mapping."
        )
    if len(content) > MAX_BYTES:
        raise LoadingError("the text is longer than 5 million characters.")
    title = _first(record, mapping.title)[:MAX_TITLE_LENGTH]
    return SourceDocument(
        title=title or first_heading(content) or _first_words(content),
        content=content,
        type=_label(record, mapping.type, "type", _MAX_LABEL) or "document",
        category=_label(record, mapping.category, "category", _MAX_LABEL) or "general",
        language=_language(_first(record, mapping.language)),
        key=_label(record, mapping.key, "key", MAX_KEY),
        source=_label(record, mapping.source, "source", _MAX_SOURCE),
    )


def _first_words(content: str) -> str:
    """The beginning of a text that holds a word, in one line."""
    words = " ".join(content.split())
    return (
        shorten(words, _MAX_WORDS, placeholder=" …")
        if " " in words[:_MAX_WORDS]
        else (words[:_MAX_WORDS])
    )


def _value(record: dict[str, Any], name: str) -> Any:
    """The field, or what is at the end of a path with dots; None if there is nothing."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(record: dict[str, Any], name: str) -> str:
    value = _value(record, name)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n\n".join(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise LoadingError(f'"{name}" must be a text.')


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of these fields that says something, in one line."""
    for name in names:
        if text := " ".join(_text(record, name).split()):
            return text
    return ""


def _label(record: dict[str, Any], names: tuple[str, ...], property: str, limit: int) -> str | None:
    label = _first(record, names)
    if len(label) > limit:
        raise LoadingError(f"the {property} is longer than {limit} characters.")
    if not label.isprintable():
        raise LoadingError(f"the {property} holds characters that cannot be shown.")
    return label or None


def _language(value: str) -> str | None:
    if not value:
        return None
    code = value.lower().replace("_", "-").split("-")[0]
    if not re.fullmatch(r"[a-z]{2}", code):
        raise LoadingError('the language must be a two-letter code like "en".')
    return code


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f'"{name}"' for name in names)
