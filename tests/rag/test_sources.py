"""Neighbouring hits become one source, and one document does not keep out the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.sources import MAX_JOINED, MAX_PER_DOCUMENT, choose_sources, documents_to_join
from rag.types import Hit, Passage, Span

PART = "One sentence about a matter. Another one about it."
GAP = "\n\n## Next\n\n"
CONTENT = GAP.join([PART] * 40)


def _hit(document: str, number: int, *, score: float = 0.5, text: str = PART) -> Hit:
    """A hit for the part with this number of a document that is `CONTENT`."""
    start = number * (len(PART) + len(GAP))
    middle = start + PART.index("Another")
    passage = Passage(
        chunk_id=number,
        document_id=document,
        title=document,
        type="document",
        category="general",
        language="en",
        source=None,
        text=text,
        headings=("Top",),
        start=start,
        end=start + len(PART),
        sentences=(Span(start, middle - 1), Span(middle, start + len(PART))),
        sentence_vectors=np.full((2, 2), number, dtype=np.float32),
    )
    return Hit(passage, score, 0.5, 0.5)


def _chosen(hits: Sequence[Hit], count: int = 6) -> list[Hit]:
    contents = {hit.passage.document_id: CONTENT for hit in hits}
    needed = documents_to_join(hits, count)
    return choose_sources(hits, count, {key: contents[key] for key in needed})


def _places(hits: Sequence[Hit]) -> list[tuple[str, tuple[int, ...]]]:
    return [(hit.passage.document_id, hit.passage.chunk_ids) for hit in hits]


def test_neighbours_are_one_source() -> None:
    """They take the place and the score of the better one, and read as the document does."""
    found = _chosen([_hit("a", 3, score=0.9), _hit("b", 7), _hit("a", 4, score=0.4), _hit("a", 2)])
    assert _places(found) == [("a", (2, 3, 4)), ("b", (7,))]
    first = found[0]
    passage = first.passage
    assert first.score == 0.9
    assert passage.text == GAP.join([PART] * 3)
    assert passage.text == CONTENT[passage.start : passage.end]
    assert [CONTENT[span.start : span.end] for span in passage.sentences] == [
        "One sentence about a matter.",
        "Another one about it.",
    ] * 3
    assert passage.sentence_vectors[:, 0].tolist() == [2, 2, 3, 3, 4, 4]


def test_passages_that_are_not_side_by_side_stay_apart() -> None:
    """So do those of different documents, and what would become too long."""
    assert _places(_chosen([_hit("a", 3), _hit("a", 8), _hit("b", 4)])) == [
        ("a", (3,)),
        ("a", (8,)),
        ("b", (4,)),
    ]
    [first, second] = _chosen([_hit("a", number) for number in range(40)], count=2)
    assert first.passage.start == 0
    assert len(first.passage.text) <= MAX_JOINED < len(first.passage.text) + len(GAP + PART)
    assert second.passage.chunk_ids[0] == first.passage.chunk_ids[-1] + 1


def test_a_document_leaves_room_for_others() -> None:
    """It has no more sources than allowed, unless places would stay empty."""
    many = [_hit("a", number) for number in range(0, 40, 8)]
    assert len(many) > MAX_PER_DOCUMENT
    found = _chosen([*many, _hit("b", 0)])
    assert [hit.passage.document_id for hit in found] == ["a", "a", "a", "a", "a", "b"]
    found = _chosen([*many, _hit("b", 0)], count=4)
    assert [hit.passage.document_id for hit in found] == ["a", "a", "a", "b"]
    assert _places(_chosen(many, count=4)) == [("a", (number,)) for number in (0, 8, 16, 24)]


def test_what_does_not_stand_in_the_document_is_not_joined() -> None:
    """The document may have changed since, or be gone: then the best one stands alone."""
    changed = [_hit("a", 3), _hit("a", 4, text="Something else that stood here once upon a time.")]
    assert _places(_chosen(changed)) == [("a", (3,))]
    hits = [_hit("a", 3), _hit("a", 4)]
    assert documents_to_join(hits, 6) == {"a"}
    assert _places(choose_sources(hits, 6, {})) == [("a", (3,))]


def test_pages_are_counted_through() -> None:
    """A page that begins within a part, in the gap, or is skipped in it is found at its offset."""
    first, second, third = (_hit("a", number) for number in range(3))
    parts = [
        replace(first.passage, page=4, page_breaks=(10,)),
        replace(second.passage, page=7),
        replace(third.passage, page=7, page_breaks=(third.passage.start + 5,)),
    ]
    hits = [replace(first, passage=part) for part in parts]
    [found] = _chosen(hits)
    joined = found.passage
    assert joined.chunk_ids == (0, 1, 2)
    for part in parts:
        for offset in range(part.start, part.end):
            assert joined.page_at(offset) == part.page_at(offset)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12)), unique=True), st.integers(1, 8)
)
def test_every_source_is_a_part_of_its_document(places: list[tuple[str, int]], count: int) -> None:
    """Whatever was found, sources do not overlap, and the best hit is in the first of them."""
    hits = [_hit(document, number) for document, number in places]
    found = _chosen(hits, count)
    assert len(found) <= count
    used = [(hit.passage.document_id, part) for hit in found for part in hit.passage.chunk_ids]
    assert len(used) == len(set(used))
    assert set(used) <= set(places)
    for hit in found:
        assert hit.passage.text == CONTENT[hit.passage.start : hit.passage.end]
    if places:
        assert places[0][1] in found[0].passage.chunk_ids
