"""What resolvers may return for whole lists of objects; `transport.breadth` completes it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import FieldNode, FragmentSpreadNode
from strawberry.types import Info

BATCH: Final = "transport.columns.batch"

Column = list[Any]
"""A field's values for the objects of a list, in their order."""


class Columns:
    """A list of objects of one Strawberry type that need not exist: a resolver may return it in
    place of the list, where whole columns are cheaper than objects.

    A base to derive from. It is no ABC, whose `isinstance` takes ten times as long.
    """

    kind: type

    def __len__(self) -> int:
        raise NotImplementedError

    def column(self, name: str) -> "Sequence[Any] | Columns | None":
        """An attribute of all objects, in their order; None if it takes the objects."""
        raise NotImplementedError

    def objects(self) -> list[Any]:
        """The list itself."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Grouped:
    """What a batch may give for a field that is a list: how many elements each object has, and the
    elements of all of them, in order."""

    counts: Sequence[int]
    elements: Columns


Objects = Sequence[Any] | Columns
Values = Sequence[Any] | Columns | Grouped

Batch = Callable[[Any, Any], Awaitable[Sequence[Any] | Grouped]]
"""Resolves a field for many objects at once: `batch(objects, info)` gives a value for each. The
objects come as a list or, where a resolver returned them so, as `Columns`."""


def batch(function: Batch) -> Mapping[Any, Any]:
    """The `metadata` of a Strawberry field that can be resolved for many objects at once.

    `function` must give what the field's own resolver gives. Its errors become those of that
    resolver, since the list is then completed the general way.
    """
    return {BATCH: function}


def selected(info: Info[Any, Any], *path: str) -> set[str]:
    """The names of the fields that are selected below the field, or further down a path of fields;
    some may be skipped by a directive, or be of another type."""
    raw = info._raw_info
    nodes: list[Any] = list(raw.field_nodes)
    for name in path:
        nodes = [node for node in _below(nodes, raw.fragments) if node.name.value == name]
    return {node.name.value for node in _below(nodes, raw.fragments)}


def _below(nodes: Sequence[Any], fragments: Mapping[str, Any]) -> list[FieldNode]:
    found: list[FieldNode] = []
    seen: set[str] = set()
    waiting: list[Any] = list(nodes)
    while waiting:
        node = waiting.pop()
        for below in node.selection_set.selections if node.selection_set else ():
            if isinstance(below, FieldNode):
                found.append(below)
            elif not isinstance(below, FragmentSpreadNode):
                waiting.append(below)
            elif below.name.value not in seen:
                seen.add(below.name.value)
                waiting.append(fragments[below.name.value])
    return found
