"""Arguments that were not sent.

`UNSET` as a default keeps "= null" out of the schema; the use cases know only None.
"""

from __future__ import annotations

from typing import TypeVar

from strawberry import UNSET

T = TypeVar("T")


def given(value: T | None) -> T | None:
    """The value that was sent, or None."""
    return None if value is UNSET else value
