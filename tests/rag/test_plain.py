from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.plain import plain, plain_sentences, section_numbers
from rag.types import Span
from tests.rag.samples import passage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Bold** and *it* and ***both*** and `code`", "Bold and it and both and code"),
        ("[link](https://a.example/b) ![image](c.png)", "link image"),
        ("first\n> second\n  third", "first second third"),
        ("see [3] and [^4]", "see (3) and (^4)"),
        ("a <!-- hidden --> b", "a b"),
        ("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
        ("arr[i] stays", "arr[i] stays"),
    ],
)
def test_markdown_is_removed(text: str, expected: str) -> None:
    """What is left is what a browser would show, in one line."""
    assert plain(text) == expected


def test_rows_name_their_columns() -> None:
    """A row says what its cells are; the head itself says nothing."""
    item = passage(
        "Text.\n\n| Zone | Days | Price |\n|---|---|---|\n| **EU** | 3 | EUR 9 |\n| CH | | 12 |\n"
        "|  | 1 | 2 |\n| only |"
    )
    assert plain_sentences(item.text, item.start, item.sentences) == [
        "Text.",
        "",
        "EU: Days 3; Price EUR 9",
        "CH: Price 12",
        "Days 1; Price 2",
        "only",
    ]


def test_rows_without_a_head_keep_their_cells() -> None:
    """A row cut off from its head is shown as it is; a pipe in prose is no row."""
    item = passage("| EU | 3 | 9 |\n\nEither a | b is meant.")
    assert plain_sentences(item.text, item.start, item.sentences) == [
        "EU: 3; 9",
        "Either a | b is meant.",
    ]


def test_sections_are_counted() -> None:
    """Each sentence knows how many headings stand before it in the passage."""
    text = "One. Two.\n\n## B\n\nThree.\n\n### C\n\n- # four\n"
    sentences = [
        Span(100 + start, 100 + start + len(part))
        for part in ("One.", "Two.", "Three.", "# four")
        for start in [text.index(part)]
    ]
    assert section_numbers(text, 100, sentences) == [0, 0, 1, 2]


@given(st.text(alphabet=st.sampled_from("*_`[]()<>!-~ ab\n|#")))
def test_no_text_breaks_it(text: str) -> None:
    """Any text becomes one line."""
    assert "\n" not in plain(text)


def test_rows_without_their_head_are_named_by_the_one_carried_along() -> None:
    """Only the table that the passage begins in, and only rows with as many cells."""
    text = "| M | 4 |\n| red | 5 |\n| cut 6 |\n\nText.\n\n| L | 7 |"
    spans = [Span(0, 9), Span(10, 21), Span(22, 31), Span(33, 38), Span(40, 49)]
    assert plain_sentences(text, 0, spans, table_head="| Size | Price |") == [
        "M: Price 4",
        "red: Price 5",
        "cut 6",
        "Text.",
        "L: 7",
    ]
    assert plain_sentences(text, 0, spans[:1]) == ["M: 4"]
