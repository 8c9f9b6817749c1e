"""Markdown with optional YAML front matter: title, type, category, language."""

from __future__ import annotations

import re
from typing import Final

import yaml

from rag.blocks import parse_blocks
from rag.errors import LoadingError
from rag.types import SourceDocument

MAX_TITLE_LENGTH: Final = 200
_MAX_LABEL_LENGTH: Final = 60
_MAX_FRONT_MATTER: Final = 16_384

_OPENING = re.compile(r"---[ \t]*\n")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE)
_KEY_LINE = re.compile(r"[A-Za-z_][\w-]*[ \t]*:(?:\s|\Z)")


class _PlainLoader(yaml.SafeLoader):
    """Without aliases: merged again and again, a few lines of them take all memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise LoadingError("the front matter must not refer to other parts of itself (*name).")
        return super().compose_node(parent, index)


def load_markdown(text: str, stem: str) -> SourceDocument:
    """The title is that of the front matter, else the first heading, else the file's name.

    Raises:
        LoadingError: the front matter is not closed, not YAML, or a value is not what it must be.
    """
    fields, content = _split_front_matter(text)
    return SourceDocument(
        title=_label(fields, "title", MAX_TITLE_LENGTH) or first_heading(content) or stem,
        content=content,
        type=_label(fields, "type", _MAX_LABEL_LENGTH) or "document",
        category=_label(fields, "category", _MAX_LABEL_LENGTH) or "general",
        language=_language(fields),
    )


def first_heading(content: str) -> str | None:
    """The text of the first heading, shortened to a title's length."""
    for block in parse_blocks(content):
        if block.kind == "heading" and block.heading:
            return block.heading[:MAX_TITLE_LENGTH]
    return None


def _split_front_matter(text: str) -> tuple[dict[str, object], str]:
    opening = _OPENING.match(text)
    if opening is None:
        return {}, text
    start = opening.end()
    closing = _CLOSING.search(text, start, start + _MAX_FRONT_MATTER)
    if closing is None:
        if _KEY_LINE.match(text, start):
            raise LoadingError('the front matter is not closed by a line "---".')
        return {}, text  # the document merely starts with a horizontal rule
    source = text[start : closing.start()]
    try:
        fields = yaml.load(source, _PlainLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark is not None else ""
        raise LoadingError(
            f"the front matter is not valid YAML{where}; put values that contain a colon in quotes."
        ) from error
    if fields is None and not source.strip():
        fields = {}
    if not isinstance(fields, dict):
        if not _KEY_LINE.match(source):
            return {}, text  # text between two horizontal rules
        raise LoadingError('the front matter must consist of lines like "title: Returns".')
    return fields, text[closing.end() :]


def _label(fields: dict[str, object], name: str, limit: int) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise LoadingError(f'"{name}" in the front matter must be a text in one line.')
    label = " ".join(str(value).split())
    if len(label) > limit:
        raise LoadingError(f'"{name}" in the front matter is longer than {limit} characters.')
    if not label.isprintable():
        raise LoadingError(f'"{name}" in the front matter holds characters that cannot be shown.')
    return label or None


def _language(fields: dict[str, object]) -> str | None:
    value = fields.get("language")
    if value is None:
        return None
    if value is False:  # YAML 1.1 reads an unquoted "no" (Norwegian) as false
        return "no"
    # Only a text is looked at: aliases in YAML make small lists that are gigabytes as text.
    text = value if isinstance(value, str) else ""
    code = text.strip().lower().replace("_", "-").split("-")[0]
    if not re.fullmatch(r"[a-z]{2}", code):
        raise LoadingError('"language" in the front matter must be a two-letter code like "en".')
    return code
