"""HTML as Markdown-like text: headings with #, list items with -, tables as rows with |."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from rag.errors import LoadingError
from rag.loading.markdown import MAX_TITLE_LENGTH, first_heading
from rag.types import SourceDocument

_DROPPED: Final = (
    "script, style, noscript, template, iframe, object, embed, svg, canvas, form, button, select, "
    "nav, header, footer, aside, dialog, [hidden], [aria-hidden='true'], [role='navigation'], "
    "[role='banner'], [role='contentinfo'], [role='search']"
)
_BLOCK_TAGS: Final = (
    "address article blockquote body caption dd details div dl dt fieldset figcaption figure h1 h2 "
    "h3 h4 h5 h6 hr html li main ol p pre section summary table tbody td tfoot th thead tr ul"
)
_BLOCKS: Final = frozenset(_BLOCK_TAGS.split())
_HEADINGS: Final = {f"h{level}": "#" * level for level in range(1, 7)}
# The parser takes quadratic time in the depth of the tree; no person's page comes near.
_MAX_DEPTH: Final = 500
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NEVER_NESTED_TAGS: Final = (
    "area base br col embed hr img input link meta source track wbr "  # have no end
    "p li dt dd td th tr tbody thead tfoot option optgroup rt rp"  # may leave it out
)
_NEVER_NESTED: Final = frozenset(_NEVER_NESTED_TAGS.split())
_BLANKS = re.compile(r"[ \t\n\r\f\xa0]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def load_html(text: str, stem: str) -> SourceDocument:
    """The title is that of the page, else the first heading, else the file's name.

    Scripts, styles, forms and page furniture (navigation, header, footer) are left out, except
    that a header or footer inside the article is kept. The language is that of `<html lang>`.

    Raises:
        LoadingError: the text cannot be parsed as HTML.
    """
    if _depth(text) > _MAX_DEPTH:
        raise LoadingError("the HTML is nested too deeply.")
    try:
        tree = LexborHTMLParser(text)
    except (ValueError, RuntimeError) as error:
        raise LoadingError("the file cannot be read as HTML.") from error
    body = tree.body
    if body is None:
        raise LoadingError("the file has no HTML body.")
    title_node = tree.css_first("head > title")
    title = " ".join(title_node.text().split())[:MAX_TITLE_LENGTH] if title_node else ""
    language = _language(tree.css_first("html"))
    root = tree.css_first("main") or tree.css_first("article") or body
    for node in root.css(_DROPPED):
        if node.tag in ("header", "footer") and _inside_article(node):
            continue
        node.decompose()
    content = _Writer().write(root)
    return SourceDocument(
        title=title or first_heading(content) or stem, content=content, language=language
    )


def _depth(text: str) -> int:
    """How deep the tags are nested, as far as can be seen without parsing."""
    depth = deepest = 0
    for closing, name in _TAG.findall(text):
        if name.lower() not in _NEVER_NESTED:
            depth = max(0, depth - 1) if closing else depth + 1
            deepest = max(deepest, depth)
    return deepest


def _language(html: LexborNode | None) -> str | None:
    code = (html.attributes.get("lang") or "") if html is not None else ""
    code = code.strip().lower().replace("_", "-").split("-")[0]
    return code if re.fullmatch(r"[a-z]{2}", code) else None


def _inside_article(node: LexborNode) -> bool:
    parent = node.parent
    while parent is not None:
        if parent.tag in ("article", "main"):
            return True
        parent = parent.parent
    return False


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Each node below `root` twice, entering (True) and leaving (False), without recursion."""
    stack = [(root, False)]
    while stack:
        node, entered = stack.pop()
        if entered:
            yield node, False
            continue
        yield node, True
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))


class _Writer:
    """Collects lines while the tree is walked."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._prefix = ""
        self._cells: list[str] | None = None
        self._rows_in_table = 0
        self._preformatted = False
        self._lists: list[int | None] = []  # the next number, None for bullets

    def write(self, root: LexborNode) -> str:
        for node, entering in _walk(root):
            tag = node.tag or ""
            if tag == "-text":
                if entering:
                    self._line.append(node.text(deep=False) or "")
            elif entering:
                self._enter(tag)
            else:
                self._leave(tag)
        self._end_line()
        return _BLANK_LINES.sub("\n\n", "\n".join(self._lines)).strip("\n") + "\n"

    def _enter(self, tag: str) -> None:
        if tag == "br":
            self._line.append("\n" if self._preformatted else " ")
            return
        if tag not in _BLOCKS:
            return
        if self._cells is not None:  # inside a table's cell everything is one line
            self._line.append(" ")
            return
        self._end_line()
        if tag in _HEADINGS:
            self._blank_line()
            self._prefix = _HEADINGS[tag] + " "
        elif tag in ("ul", "ol"):
            if not self._lists:
                self._blank_line()
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._prefix = self._bullet()
        elif tag == "table":
            self._blank_line()
            self._rows_in_table = 0
        elif tag == "tr":
            self._cells = []
        elif tag == "pre":
            self._blank_line()
            self._preformatted = True
        elif tag in ("p", "blockquote", "dt", "section", "article", "div") and not self._prefix:
            self._blank_line()

    def _leave(self, tag: str) -> None:
        if tag not in _BLOCKS:
            return
        if self._cells is not None:
            if tag in ("td", "th"):
                text = _BLANKS.sub(" ", "".join(self._line)).strip()
                self._cells.append(text.replace("|", "/"))
                self._line = []
            elif tag in ("tr", "table"):
                self._end_row()
            return
        if tag == "pre":
            self._end_preformatted()
            return
        self._end_line()
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        if tag in _HEADINGS or tag in ("p", "table") or (tag in ("ul", "ol") and not self._lists):
            self._prefix = ""
            self._blank_line()
        elif tag == "li":
            self._prefix = ""

    def _bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        indent = "  " * (min(len(self._lists), 8) - 1)
        if number is None:
            return indent + "- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _end_row(self) -> None:
        cells, self._cells, self._line = self._cells or [], None, []
        if not any(cells):
            return
        self._lines.append("| " + " | ".join(cells) + " |")
        if self._rows_in_table == 0:
            self._lines.append("|" + " --- |" * len(cells))
        self._rows_in_table += 1

    def _end_preformatted(self) -> None:
        text = "".join(self._line).strip("\n")
        self._line = []
        self._preformatted = False
        if text.strip():
            fence = "```" if "```" not in text else "~~~~"
            self._lines += [fence, *text.split("\n"), fence, ""]

    def _end_line(self) -> None:
        text = _BLANKS.sub(" ", "".join(self._line)).strip()
        self._line = []
        if text:
            self._lines.append(self._prefix + text)
            self._prefix = ""

    def _blank_line(self) -> None:
        if self._lines and self._lines[-1]:
            self._lines.append("")
