from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.index.rows import AllowedRows, KeptByObject, RowMap


def test_ids_have_rows() -> None:
    """New ids get the next rows, or those that became free; unknown ids have none."""
    rows = RowMap()
    assert rows.add(np.array([5, 3])).tolist() == [0, 1]
    assert rows.add(np.array([9])).tolist() == [2]
    assert rows.remove(np.array([3, 77, 3])).tolist() == [1]
    assert rows.holes == 1
    assert rows.add(np.array([4, 12])).tolist() == [1, 3]
    assert rows.ids().tolist() == [4, 5, 9, 12]
    found, present = rows.rows_of(np.array([12, 3, 5]))
    assert present.tolist() == [True, False, True]
    assert found[present].tolist() == [3, 0]
    assert rows.ids_of(np.array([1, 2])).tolist() == [4, 9]
    assert (len(rows), rows.end, rows.holes) == (4, 4, 0)
    assert RowMap().rows_of(np.array([1]))[1].tolist() == [False]


def test_a_map_is_made_of_the_ids_by_row() -> None:
    """What a file keeps: -1 stands for a row that is free."""
    rows = RowMap.of(np.array([7, -1, 2]))
    assert rows.ids().tolist() == [2, 7]
    assert rows.used.tolist() == [True, False, True]
    assert rows.add(np.array([1])).tolist() == [1]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sets(st.integers(0, 30), min_size=1, max_size=6)), max_size=30
    )
)
def test_it_is_a_dictionary(steps: list[tuple[bool, set[int]]]) -> None:
    """Whatever comes and goes, each id has a row of its own, and no other."""
    rows, known = RowMap(), dict[int, int]()
    for adding, ids in steps:
        if adding:
            new = sorted(ids - known.keys(), reverse=True)
            given = rows.add(np.array(new, dtype=np.int64)).tolist()
            known |= dict(zip(new, given, strict=True))
        else:
            gone = rows.remove(np.array(sorted(ids), dtype=np.int64)).tolist()
            assert sorted(gone) == sorted(known.pop(one) for one in ids & known.keys())
        assert len(set(known.values())) == len(known) == len(rows)
        assert rows.ids().tolist() == sorted(known)
        found, present = rows.rows_of(np.arange(31))
        assert dict(zip(np.arange(31)[present].tolist(), found[present].tolist(), strict=True)) == (
            known
        )
        assert np.flatnonzero(rows.used).tolist() == sorted(known.values())


def test_allowed_ids_are_looked_up_once() -> None:
    """An array that cannot be written keeps its rows until they change; another one does not."""
    rows, allowed = RowMap(), AllowedRows()
    rows.add(np.array([10, 20, 30]))
    ids = np.array([30, 99, 10])
    first = allowed.of(ids, rows)
    assert first.rows.tolist() == [0, 2]
    assert np.unpackbits(first.bits, bitorder="little")[:3].tolist() == [1, 0, 1]
    assert allowed.of(ids, rows) is not first
    ids.flags.writeable = False
    kept = allowed.of(ids, rows)
    assert allowed.of(ids, rows) is kept
    rows.remove(np.array([10]))
    allowed.clear()
    assert allowed.of(ids, rows).rows.tolist() == [2]


def test_the_oldest_is_given_up() -> None:
    """What was not asked for longest goes first."""
    kept, keys = KeptByObject[list[int], str](2), [[1], [1], [1]]
    assert [kept.of(key, lambda: "made") for key in keys[:2]] == ["made", "made"]
    assert kept.of(keys[0], lambda: "again") == "made"
    assert kept.of(keys[2], lambda: "third") == "third"
    assert kept.of(keys[1], lambda: "again") == "again"


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_can_be_added_or_removed(count: int) -> None:
    """Empty changes change nothing."""
    rows = RowMap()
    rows.add(np.arange(count))
    rows.add(np.zeros(0, dtype=np.int64))
    assert rows.remove(np.zeros(0, dtype=np.int64)).tolist() == []
    assert len(rows) == count
