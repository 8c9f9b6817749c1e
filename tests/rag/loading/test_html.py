from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import LoadingError
from rag.loading.html import load_html

PAGE = """<!DOCTYPE html>
<html lang="de-AT"><head><title> Kurse &amp;
 Termine </title><style>p {}</style></head>
<body>
<nav><a href="/">Home</a></nav>
<header>Shop</header>
<article><header><h1>Kurse</h1></header>
<p>Ein <b>Kurs</b> dauert<br>zwei   Stunden.</p>
<div>Loser Text<div>und innen</div></div>
<ul><li>Eins</li><li>Zwei<ol><li>innen a</li><li>innen b</li></ol></li></ul>
<table><tr><th>Ort</th><th>Preis</th></tr>
<tr><td>Linz</td><td><p>9 | 10</p><p>Euro</p></td></tr><tr></tr></table>
<pre>  a = 1
# kein Titel</pre>
<h2>Ende</h2>Schluss<script>alert(1)</script>
</article>
<footer>Impressum</footer>
</body></html>"""


def test_a_page_becomes_markdown_like_text() -> None:
    """Headings, lists, tables and code keep their form; page furniture and scripts go."""
    document = load_html(PAGE, "file")
    assert document.title == "Kurse & Termine"
    assert document.language == "de"
    assert document.content == (
        "# Kurse\n\nEin Kurs dauert zwei Stunden.\n\nLoser Text\n\nund innen\n\n"
        "- Eins\n- Zwei\n  1. innen a\n  2. innen b\n\n"
        "| Ort | Preis |\n| --- | --- |\n| Linz | 9 / 10 Euro |\n\n"
        "```\n  a = 1\n# kein Titel\n```\n\n## Ende\n\nSchluss\n"
    )


def test_title_falls_back_to_heading_and_name() -> None:
    """A page without a title is named by its first heading, else by its file."""
    assert load_html("<h1>Head</h1>x", "file").title == "Head"
    document = load_html("<p>x", "file")
    assert (document.title, document.language) == ("file", None)


@given(st.text() | st.lists(st.sampled_from(
    ["<p>", "</p>", "<ul>", "<li>", "</ul>", "<table>", "<tr>", "<td>", "</table>", "<pre>", "text",
     "</pre>", "<h1>", "</h1>", "<br>", "<div>", "</li>", "<!--", "-->", "&amp;", "|", "\n"]
)).map("".join))  # fmt: skip
def test_no_html_breaks_the_loader(html: str) -> None:
    """Any text is either read or refused with a loading error."""
    try:
        content = load_html(html, "file").content
    except LoadingError:
        return
    assert content.endswith("\n")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["<div>", "<ul><li>a", "<p>a</p>", "<table><tr><td>a", "<b>"])
def test_hostile_nesting_takes_seconds(unit: str) -> None:
    """Deep nesting neither overflows the stack nor takes quadratic time."""
    with suppress(LoadingError):
        load_html("text" + unit * (200_000 // len(unit)), "file")
