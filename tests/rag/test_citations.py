from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.citations import MAX_HELD, CitationFilter, cite, headings_at
from rag.sentences import split_sentences
from rag.types import Hit, Passage, Retrieval, Span


def filtered(*pieces: str, hits: int = 6) -> str:
    markers = CitationFilter(hits)
    return "".join([*(markers.feed(piece) for piece in pieces), markers.finish()])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes [1].", "Yes [1]."),
        ("Yes [7].", "Yes."),
        ("Yes [0], no [12345678901].", "Yes, no."),
        ("A [1, 9] b [1,2] c [1-3] d.", "A [1] b [1][2] c [1][2][3] d."),
        ("A [2–9] b [5-90] c [3-1].", "A [2][3][4][5][6] b [5][6] c [3][1]."),
        ("A【1】 b 【1†source】 c【9】.", "A[1] b [1] c."),
        ("A [^1] b [^9] c [Source 2] d [source: 9] e [Quelle 3].", "A [1] b c [2] d e [3]."),
        ("A [1 and 2] b [1, Source 3] c [ 4 ].", "A [1][2] b [1][3] c [4]."),
        ("A [１] b [²] c [٣].", "A b c."),
        ("[9] Start.\n[8] Line [7]\nEnd [7]", "Start.\nLine\nEnd"),
        ("See [text](url) and a[i], [x], [ ], [1.5], [a1], [and], [^note].",
         "See [text](url) and a[i], [x], [ ], [1.5], [a1], [and], [^note]."),
        ("a [7]b", "a b"),
        ("a [7] [8] [1] b", "a [1] b"),
        ("[[0]9] [[7]1]", "[ ["),
        ("open [1", "open [1"),
        ("[01] [1][1] [1, 1]", "[1] [1][1] [1]"),
        ("trailing ", "trailing "),
    ],
)  # fmt: skip
def test_markers_are_mended_or_removed(text: str, expected: str) -> None:
    """A marker of a hit stays in the form [n], any other goes with the space it would leave."""
    assert filtered(text) == expected
    assert filtered(*text) == expected


def test_without_hits_every_marker_goes() -> None:
    """An answer in general terms cites nothing."""
    assert filtered("In general [1] yes [2, 3].", hits=0) == "In general yes."


def test_only_what_may_become_a_marker_is_held_back() -> None:
    """Text passes at once, up to a space or an open bracket."""
    markers = CitationFilter(6)
    assert markers.feed("Plain text") == "Plain text"
    assert markers.feed(" ") == ""
    assert markers.feed("goes [") == " goes"
    assert markers.feed("link](x) [1") == " [link](x)"
    assert markers.feed("]") == " [1]"
    endless = "[" + "1, " * 100
    shown = markers.feed(endless)
    assert endless.startswith(shown)
    assert len(shown) >= len(endless) - MAX_HELD


pieces = st.lists(
    st.sampled_from(
        ["[", "]", "【", "】", "1", "2", "9", "0", " ", ",", "-", "–", "^", "Source ", "and", "†",
         "\n", ".", "word", "²", "٣", "1" * 40, "[7]", "[1]", "(", ":"]
    ),
    max_size=30,
)  # fmt: skip


@given(pieces | st.lists(st.text(max_size=5), max_size=20), st.integers(0, 12))
@example(["[" + "1" * 50 + "]", "9]"], 3)
@example(["[1,", "[0]", "9]"], 3)
@example(["[Source [9]", "2]"], 3)
@settings(max_examples=500)
def test_no_cut_changes_the_text_and_no_wrong_marker_is_left(parts: list[str], hits: int) -> None:
    """Any way to cut a text gives the same result, free of markers without a hit."""
    text = "".join(parts)
    whole = filtered(text, hits=hits)
    assert filtered(*parts, hits=hits) == whole
    assert filtered(*text, hits=hits) == whole
    # What begins otherwise, such as [,1], is no marker to anyone: it passes.
    for marker in re.findall(r"[\[【][ ^]*\d[\d ,;–-]*[\]】]", whole):
        assert re.fullmatch(r"\[[1-9]\d*\]", marker), whole
        assert int(marker[1:-1]) <= hits
    assert not re.search(r"(?i)[\[【]source \d+[\]】]", whole)


@given(st.text(alphabet="ab .,\n(){}<>!"))
def test_text_without_brackets_passes_unchanged(text: str) -> None:
    """The filter does nothing to text that has no marker."""
    assert filtered(text) == text


def passage(text: str, *, start: int = 100, chunk_id: int = 1) -> Passage:
    spans = tuple(Span(start + a, start + b) for a, b in split_sentences(text))
    return Passage(
        chunk_id=chunk_id, document_id=f"d{chunk_id}", title="T", type="t", category="c",
        language="en", source=None, text=text, headings=(), start=start, end=start + len(text),
        sentences=spans, sentence_vectors=np.zeros((len(spans), 4), dtype=np.float32),
    )  # fmt: skip


def retrieval(*texts: str) -> Retrieval:
    hits = tuple(
        Hit(passage(text, chunk_id=number), 0.9, 0.5, 0.5) for number, text in enumerate(texts)
    )
    return Retrieval("q", "q", np.zeros(4, np.float32), np.zeros(4, np.float32), hits, hits, True)


RETURNS = (
    "Returns are free. You have 30 days to send goods back. The refund takes five days. "
    "Gift cards are excluded."
)
REPAIRS = "Repairs take two weeks. We call you before we start."


def test_an_extracted_sentence_is_quoted_exactly() -> None:
    """The quote of a sentence taken from a source is that sentence, at its offsets."""
    found = retrieval(REPAIRS, RETURNS)
    text = "Repairs take two weeks. [1] The refund takes five days. [2]"
    first, second = cite(text, found)
    assert (first.number, first.document_id, first.quote) == (1, "d0", "Repairs take two weeks.")
    assert (second.number, second.quote) == (2, "The refund takes five days.")
    assert RETURNS[second.start - 100 : second.end - 100] == second.quote


def test_a_claim_from_two_sentences_is_quoted_by_both() -> None:
    """A paraphrase that joins neighbours gets the run of them."""
    (cited,) = cite(
        "You can send goods back within 30 days and the refund takes five days [1].",
        retrieval(RETURNS),
    )
    assert cited.quote == "You have 30 days to send goods back. The refund takes five days."


def test_markers_in_a_row_support_the_same_claim() -> None:
    """[1][2] cite one sentence twice; a number used again has one entry, by number."""
    found = retrieval(REPAIRS, RETURNS)
    cited = cite("We call you before we start [2][1]. Gift cards are excluded [2].", found)
    assert [item.number for item in cited] == [1, 2]
    assert cited[0].quote == "We call you before we start."


def test_markers_without_hit_and_without_claim_do_no_harm() -> None:
    """A number beyond the hits is ignored; a marker at the very start quotes something."""
    assert cite("Nothing [3].", retrieval(RETURNS)) == []
    assert cite("No marker.", retrieval(RETURNS)) == []
    (cited,) = cite("[1]", retrieval(RETURNS))
    assert cited.quote in RETURNS


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Here.", ("A", "B")),
        ("## C\n\n### *D* ##\n\nHere.", ("A", "C", "D")),
        ("### D\n\nx\n\n## E\n\nHere.", ("A", "E")),
        ("# F\n\nHere.\n\n## G\n", ("F",)),
    ],
)
def test_a_citation_knows_the_headings_above_its_sentence(text: str, path: tuple[str, ...]) -> None:
    """Also those that stand within the passage before it."""
    found = replace(passage(text), headings=("A", "B"))
    assert headings_at(found, found.start + text.index("Here")) == path
