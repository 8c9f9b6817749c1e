"""Dictionaries of the same keys."""

from __future__ import annotations

import pytest

from transport.records import maker


@pytest.mark.parametrize("count", [*range(1, 9), 9, 30])
def test_values_get_their_keys_in_order(count: int) -> None:
    """For every number of keys, those that are written out and the others."""
    keys = tuple(f"key {place}" for place in range(count))
    made = maker(keys)(*range(count))
    assert list(made.items()) == list(zip(keys, range(count), strict=True))


@pytest.mark.parametrize("count", [1, 8, 9])
def test_a_value_too_few_or_too_many_is_an_error(count: int) -> None:
    make = maker(tuple("abcdefghi"[:count]))
    with pytest.raises((TypeError, ValueError)):
        make(*range(count - 1))
    with pytest.raises((TypeError, ValueError)):
        make(*range(count + 1))
