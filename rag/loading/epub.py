"""EPUB as Markdown-like text: its chapters, which are HTML, in reading order."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Final
from urllib.parse import unquote

from rag.errors import LoadingError
from rag.loading.archive import damaged, open_archive, read_entry
from rag.loading.html import load_html
from rag.loading.layout import language_code, one_line
from rag.loading.limits import MAX_BYTES, ParseLimits
from rag.types import SourceDocument

_CONTAINER: Final = "META-INF/container.xml"
_EMPTY_ELEMENT = re.compile(r"<([A-Za-z][\w:-]*)([^<>]*)/>")
_VOID_TAGS: Final = "area base br col embed hr img input link meta source track wbr"
_VOID: Final = frozenset(_VOID_TAGS.split())
_CHAPTERS: Final = frozenset({"application/xhtml+xml", "text/html"})


def load_epub(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """Title and language are those of the metadata; what is not in the reading order, such as the
    table of contents in most books, is left out.

    Raises:
        LoadingError: it is no EPUB, damaged, copy-protected, or too large.
    """
    archive = open_archive(data, "an EPUB book", limits, doctype=True)
    container = read_entry(archive, _CONTAINER)
    if container is None:
        raise LoadingError("this is not an EPUB book, whatever its name says; save it anew as one.")
    if read_entry(archive, "META-INF/rights.xml") is not None:
        raise LoadingError("the book is copy-protected and cannot be read.")
    package_path = next(
        (path for node in _all(_xml(container), "rootfile") if (path := node.get("full-path"))), ""
    )
    package = _xml(read_entry(archive, package_path) or b"")
    folder = posixpath.dirname(package_path)
    manifest = {item.get("id"): item for item in _all(package, "item")}
    parts: list[str] = []
    length = 0
    for reference in _all(package, "itemref"):
        item = manifest.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _CHAPTERS:
            continue
        path = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        text = _chapter(read_entry(archive, path), stem)
        length += len(text) + 1
        if length > MAX_BYTES:
            raise LoadingError(
                "the text is longer than 5 million characters; split it into smaller files."
            )
        if text.strip():
            parts.append(text)
    title = next((one_line(node.text or "") for node in _all(package, "title")), "")
    language = next((node.text or "" for node in _all(package, "language")), "")
    return SourceDocument(
        title=title or stem, content="\n".join(parts), language=language_code(language)
    )


def _chapter(data: bytes | None, stem: str) -> str:
    if data is None:
        return ""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = data.decode(encoding, "replace").replace("\0", "")
    # XML's way of writing an empty element; to HTML it would be an open one.
    return load_html(_EMPTY_ELEMENT.sub(_opened, _without_declaration(text)), stem).content


def _opened(match: re.Match[str]) -> str:
    """HTML knows no `<title/>`: all that follows would be the title."""
    name = match.group(1)
    return match.group() if name.lower() in _VOID else f"<{name}{match.group(2)}></{name}>"


def _without_declaration(text: str) -> str:
    start = text.find("?>") if text.lstrip().startswith("<?xml") else -1
    return text[start + 2 :] if start >= 0 else text


def _xml(data: bytes) -> Any:
    """The root of an XML text; entities, files and the network are out of its reach.

    Raises:
        LoadingError: it is not XML.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise damaged("an EPUB book", error) from error


def _all(root: Any, name: str) -> list[Any]:
    """The elements of this name, in any namespace and in order."""
    return list(root.iter(f"{{*}}{name}", name))
