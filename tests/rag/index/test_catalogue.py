from __future__ import annotations

import pytest

from rag.index.catalogue import Catalogue, Properties
from rag.types import Filter


def made(number: int, **changes: str) -> Properties:
    values = {
        "document_id": f"d{number % 4}",
        "type": "faq" if number % 2 else "policy",
        "category": f"c{number % 3}",
        "language": "en" if number < 6 else "de",
        "collection": "a" if number < 8 else "b",
    }
    return Properties(chunk_id=number, **(values | changes))


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    catalogue.add([made(number) for number in range(10)])
    return catalogue


def left(catalogue: Catalogue, filter: Filter) -> list[int] | None:
    ids = catalogue.allowed(filter)
    return None if ids is None else ids.tolist()


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Filter(), None),
        (Filter(collections=("a", "b", "unknown")), None),
        (Filter(types=("faq",)), [1, 3, 5, 7, 9]),
        (Filter(types=("faq", "policy")), list(range(10))),
        (Filter(types=("faq",), categories=("c0", "c1"), languages=("de",)), [7, 9]),
        (Filter(document_ids=("d1", "d1", "d9")), [1, 5, 9]),
        (Filter(document_ids=("d1",), collections=("b",)), [9]),
        (Filter(document_ids=()), []),
        (Filter(collections=()), []),
        (Filter(categories=("unknown",)), []),
    ],
)
def test_a_filter_leaves_what_it_says(
    catalogue: Catalogue, filter: Filter, expected: list[int] | None
) -> None:
    """Values of one property are alternatives, properties are combined with "and"."""
    assert left(catalogue, filter) == expected


def test_what_is_left_is_one_array_until_a_change(catalogue: Catalogue) -> None:
    """The same array, which nobody can write; after any change another one."""
    filter = Filter(types=("faq",))
    first = catalogue.allowed(filter)
    assert first is not None
    assert not first.flags.writeable
    assert catalogue.allowed(filter) is first
    catalogue.move("d1", "b")
    again = catalogue.allowed(filter)
    assert again is not first
    assert left(catalogue, Filter(collections=("b",))) == [1, 5, 8, 9]
    catalogue.remove([9, 77])
    assert left(catalogue, filter) == [1, 3, 5, 7]
    catalogue.add([made(20, type="faq", document_id="new")])
    assert left(catalogue, filter) == [1, 3, 5, 7, 20]


def test_passages_are_told_and_forgotten(catalogue: Catalogue) -> None:
    """Documents are known as long as they have passages."""
    assert catalogue.of_documents(["d2", "unknown"]) == {2, 6}
    assert catalogue.collections([2, 9, 77]) == {2: "a", 9: "b"}
    assert catalogue.properties() == [made(number) for number in range(10)]
    catalogue.remove([2, 6, 0])
    assert catalogue.documents() == {"d0", "d1", "d3"}
    assert catalogue.of_documents(["d0"]) == {4, 8}
    catalogue.add([])
    assert len(catalogue) == 7
