"""Rows as GraphQL objects that are made only where objects are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from tortoise.models import Model

from models.reading import Table
from transport.columns import Columns

M = TypeVar("M", bound=Model)


class RowColumns(Columns, Generic[M]):
    """The rows of a table as objects of a GraphQL type.

    Attributes of the type that are called as the model's fields are those fields; `derived` makes
    others from the table. What is in neither, only objects have. `related` is what was read along
    with the rows, for batches.
    """

    def __init__(
        self,
        kind: type,
        table: Table[M],
        from_row: Callable[[M], Any],
        derived: Mapping[str, Callable[[Table[M]], Sequence[Any]]],
        related: Any = None,
    ) -> None:
        self.kind = kind
        self.table = table
        self.related = related
        self._from_row = from_row
        self._derived = derived
        self._objects: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> Sequence[Any] | None:
        if name in self._derived:
            return self._derived[name](self.table)
        if self.table.has(name):
            return self.table.column(name)
        return None

    def objects(self) -> list[Any]:
        if self._objects is None:
            self._objects = [self._from_row(row) for row in self.table]
        return self._objects
