from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import parse_blocks
from rag.chunking import chunk
from rag.types import Chunk


def count_words(text: str) -> int:
    """A stand-in for a tokenizer: two special tokens and one per word."""
    return len(text.split()) + 2


def cut(content: str, max_tokens: int = 30) -> list[Chunk]:
    return chunk(content, count_tokens=count_words, max_tokens=max_tokens)


def texts(content: str, chunks: list[Chunk]) -> list[str]:
    return [content[piece.start : piece.end] for piece in chunks]


MARKDOWN_PIECES = st.sampled_from(
    ["# Head\n", "## Sub ##\n", "Title\n=====\n", "A sentence. Another one! ", "word " * 40, "\n",
     "\n\n", "- item one\n", "  2. nested item\n", "| a | b |\n", "| - | - |\n", "```\n# code\n",
     "```\n", "> quoted text\n", "---\n", "***\n", "x" * 400, "z. B. 3. Mai\n", "\t", "é", "：",
     "\u2028", "- [ ] task\n", "Note:\n", "|", "#", "\r", "~~~"]
)  # fmt: skip
documents = st.lists(MARKDOWN_PIECES, max_size=40).map("".join) | st.text(max_size=300)


@given(documents, st.integers(min_value=1, max_value=60))
@settings(max_examples=300)
def test_chunks_hold_every_letter_once_within_the_limit(content: str, max_tokens: int) -> None:
    """Chunks are in order, apart, within the limit, and miss no letter outside headings."""
    chunks = cut(content, max_tokens)
    covered = [False] * len(content)
    position = 0
    for piece in chunks:
        assert position <= piece.start < piece.end <= len(content)
        position = piece.end
        text = content[piece.start : piece.end]
        assert text == text.strip()
        assert count_words(text) <= max(3, max_tokens)
        if piece.table_head is not None:
            assert piece.table_head.end <= piece.start
            head = content[piece.table_head.start : piece.table_head.end]
            assert count_words(f"{head}\n{text}") <= max_tokens
        assert piece.sentences
        inner = piece.start
        for sentence in piece.sentences:
            assert inner <= sentence.start < sentence.end <= piece.end
            inner = sentence.end
        covered[piece.start : piece.end] = [True] * (piece.end - piece.start)
    headings = [block for block in parse_blocks(content) if block.kind == "heading"]
    if chunks and chunks[0].headings:
        assert any(block.heading == chunks[0].headings[-1] for block in headings)
    for block in headings:
        covered[block.start : block.end] = [True] * (block.end - block.start)
    assert all(
        covered[index] or not re.match(r"[^\W_]", character)
        for index, character in enumerate(content)
    )


@given(documents)
def test_text_with_a_letter_gives_a_chunk(content: str) -> None:
    """No document with text comes out empty, also one of headings alone."""
    assert bool(cut(content)) == bool(re.search(r"[^\W_]", content))


def test_each_section_is_a_chunk_under_its_path_of_headings() -> None:
    """A heading ends a chunk, and its text is in the path instead of in the chunk."""
    body = "word " * 19 + "end."
    content = f"# Shop\n{body}\n\n## Returns\n{body}\n\n### Costs\n{body}\n\n## Mail\n{body}\n"
    chunks = cut(content)
    assert texts(content, chunks) == [body] * 4
    assert [piece.headings for piece in chunks] == [
        ("Shop",),
        ("Shop", "Returns"),
        ("Shop", "Returns", "Costs"),
        ("Shop", "Mail"),
    ]


def test_small_sections_under_one_parent_are_joined() -> None:
    """Neighbours that fit share a chunk under the parent's path, with their headings inside."""
    content = (
        "# Shop\n\n## Returns\nThirty days.\n\n## Costs\nFree.\n\n"
        "# Work\n\n## Hours\nEight.\n\n### Breaks\nOne.\n"
    )
    chunks = cut(content)
    assert [(piece.headings, content[piece.start : piece.end]) for piece in chunks] == [
        (("Shop",), "## Returns\nThirty days.\n\n## Costs\nFree."),
        (("Work", "Hours"), "Eight.\n\n### Breaks\nOne."),
    ]
    assert [content[span.start : span.end] for span in chunks[0].sentences] == [
        "Thirty days.",
        "Free.",
    ]


def test_underlined_headings_count_and_hashes_in_code_do_not() -> None:
    """Setext headings are headings; a comment in fenced code is not."""
    content = "Guide\n=====\nRun it:\n\n```sh\n# not a heading\nmake run\n```\n\nDone.\n"
    chunks = cut(content)
    assert [piece.headings for piece in chunks] == [("Guide",)]
    assert "# not a heading" in content[chunks[0].start : chunks[0].end]


def test_a_long_section_is_cut_into_chunks_of_similar_size_between_paragraphs() -> None:
    """Three paragraphs that do not fit together give no tiny rest."""
    paragraph = "word " * 19 + "end."
    content = "\n\n".join([paragraph] * 4)
    assert texts(content, cut(content, 52)) == [
        f"{paragraph}\n\n{paragraph}",
        f"{paragraph}\n\n{paragraph}",
    ]


def test_list_items_and_rows_are_whole_sentences_without_their_bullets() -> None:
    """The bullet is in the chunk but not in the sentence; a delimiter row is no sentence."""
    content = "- Open it. Slowly.\n- [x] Close it.\n\n| Land | Days |\n|---|---:|\n| DE | 3 |\n"
    (piece,) = cut(content)
    assert content[piece.start : piece.end] == content.strip()
    assert [content[span.start : span.end] for span in piece.sentences] == [
        "Open it. Slowly.",
        "Close it.",
        "| Land | Days |",
        "| DE | 3 |",
    ]


def test_table_rows_stay_whole_when_a_table_is_cut() -> None:
    """A table larger than a chunk is cut between rows, its head with the first of them."""
    rows = [f"| row {number} | value {number} |" for number in range(10)]
    content = "\n".join(["| name | value |", "| --- | --- |", *rows])
    pieces = texts(content, cut(content, 40))
    assert len(pieces) > 1
    assert pieces[0].startswith("| name | value |\n| --- | --- |\n| row 0")
    assert [line for piece in pieces for line in piece.split("\n")][2:] == rows


def test_an_introduction_stays_with_its_list() -> None:
    """A line that ends in a colon is not the end of a chunk if a chunk can end elsewhere."""
    filler = "word " * 14 + "end."
    content = f"{filler}\n\nYou need:\n\n- a screwdriver\n- a lamp\n- {'patience ' * 8}"
    pieces = texts(content, cut(content, 30))
    assert pieces[0] == filler
    assert pieces[1].startswith("You need:\n\n- a screwdriver")


def test_a_tokenizer_that_calls_a_long_word_one_token_does_not_make_a_huge_chunk() -> None:
    """Chunks are limited in characters too."""
    chunks = cut("x" * 10_000, 22)
    assert max(piece.end - piece.start for piece in chunks) <= 20 * 8
    assert sum(piece.end - piece.start for piece in chunks) == 10_000


def test_counts_that_do_not_add_up_still_respect_the_limit() -> None:
    """The limit holds for the joined text, not only for the sum of its sentences."""
    content = "\n\n".join("one two." for _ in range(20))

    def superadditive(text: str) -> int:
        return len(text.split()) ** 2 // 4 + 2

    for piece in chunk(content, count_tokens=superadditive, max_tokens=20):
        assert superadditive(content[piece.start : piece.end]) <= 20


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit",
    ["word ", "x", "# h\n", "# h\ntext\n", ">", "> ", "- a\n", "```\n", "- ", " ", "|", "\n", "a. ",
     "| a | b |\n", "a\n-\n", "`" * 5 + "\n", "\t>", "1) ", "|-"],
)  # fmt: skip
def test_hostile_shapes_take_linear_time(unit: str) -> None:
    """100,000 characters of any one shape are cut within seconds."""
    cut(unit * (100_000 // len(unit)), 100)


def test_a_table_that_goes_on_in_the_next_chunk_carries_its_head() -> None:
    """The chunk's own text stays verbatim; there is room for both within the limit."""
    rows = [f"| S{number} | {number} EUR |" for number in range(12)]
    content = "Prices:\n\n| Size | Price |\n| --- | --- |\n" + "\n".join(rows) + "\n\nThe end.\n"
    chunks = cut(content, 30)
    heads = [piece.table_head for piece in chunks]
    assert heads[0] is None
    assert len(chunks) > 3
    for piece, head in zip(chunks[1:], heads[1:], strict=True):
        assert head is not None
        assert content[head.start : head.end] == "| Size | Price |"
        assert content[piece.start] == "|"
    assert "".join(texts(content, chunks)).count("| Size | Price |") == 1


def test_the_head_of_one_table_is_not_that_of_another() -> None:
    """Text between two tables ends the first; rows without a head get none."""
    table = "| A | B |\n|---|---|\n| 1 | 2 |\n"
    loose = "".join(f"| x{number} | y | z |\n" for number in range(9))
    content = f"{table}\nNext.\n\n{loose}"
    chunks = cut(content, 20)
    assert [piece.table_head for piece in chunks] == [None] * len(chunks)
    assert len(chunks) > 2


def test_a_long_head_is_cut_so_that_rows_have_room() -> None:
    """A third of a chunk is for the head at most."""
    head = "| " + " | ".join(f"Column{number}" for number in range(20)) + " |"
    row = "| " + " | ".join(["cell"] * 3) + " |\n"
    content = f"{head}\n|{'---|' * 20}\n" + row * 12
    chunks = cut(content, 42)
    carried = {
        content[piece.table_head.start : piece.table_head.end]
        for piece in chunks
        if piece.table_head is not None
    }
    assert carried == {"| Column0 | Column1 | Column2 | Column3 | Column4 | Column5 |"}
