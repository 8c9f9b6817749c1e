"""A short way for results that a subscription's source can make itself.

Executing an event costs about a tenth of a millisecond, whatever it holds. A source whose events
are made of plain values may hand the finished `data` to the transport instead of yielding them:
`Direct` is the operation's root value wherever results are streamed, and `plain_selection` tells
what the client asked for, or that it takes the executor to answer it. Results of both ways come in
the order in which the source made them, since a source only goes on once its last result was sent.

Extensions of the schema do not see such results.
"""

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLResolveInfo,
    InlineFragmentNode,
    SelectionSetNode,
    is_abstract_type,
)


@dataclass(frozen=True, slots=True)
class Direct:
    """Sends `data` as a result. False: the client is gone, and the source should end."""

    send: Callable[[dict[str, Any]], Awaitable[bool]]


def plain_selection(
    info: GraphQLResolveInfo[Any], type_name: str, fields: Container[str]
) -> dict[str, str] | None:
    """What the operation selects of an event of an object type: response keys to field names, in
    the order of the response.

    `info` is that of the source. None if anything takes the executor: a directive (whatever it is),
    or a field other than `__typename` and `fields`, which must be scalars without arguments.
    """
    kind = info.schema.type_map[type_name]
    assert isinstance(kind, GraphQLObjectType)
    selected: dict[str, str] = {}
    spread: set[str] = set()

    def collect(selections: SelectionSetNode) -> bool:
        for node in selections.selections:
            if node.directives:
                return False
            if isinstance(node, FieldNode):
                name = node.name.value
                if name != "__typename" and name not in fields:
                    return False
                selected.setdefault(node.alias.value if node.alias else name, name)
                continue
            fragment: Any = node
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in spread:
                    continue
                spread.add(node.name.value)
                fragment = info.fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
            if applies(fragment) and not collect(fragment.selection_set):
                return False
        return True

    def applies(fragment: Any) -> bool:
        if fragment.type_condition is None:
            return True
        condition = info.schema.type_map[fragment.type_condition.name.value]
        return condition is kind or (
            is_abstract_type(condition) and info.schema.is_sub_type(condition, kind)
        )

    # A subscription's root field has no directive: validation refuses it.
    for node in info.field_nodes:
        if node.selection_set is None or not collect(node.selection_set):
            return None
    return selected
