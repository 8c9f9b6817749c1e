"""Pages of passages."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rag.types import pages_of
from tests.rag.samples import passage


@given(st.data())
def test_each_character_knows_its_page(data: st.DataObject) -> None:
    """The page is the last one that begins at or before the character, also with empty pages."""
    lengths = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    starts = tuple(sum(lengths[:number]) for number in range(len(lengths)))
    length = sum(lengths) + 1
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, length))
    page, breaks = pages_of(starts, start, end)
    found = replace(passage("x" * (end - start), start=start), page=page, page_breaks=breaks)
    for offset in range(start, end):
        assert found.page_at(offset) == sum(begin <= offset for begin in starts)


def test_documents_without_pages_have_none() -> None:
    """Neither the passage nor what is cited of it."""
    assert pages_of((), 3, 9) == (None, ())
    assert passage("text").page_at(101) is None
