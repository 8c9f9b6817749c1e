"""What an operation may cost, told from its document alone.

The cost is the number of objects that the operation can reach. A field with an object counts one, a
field with a page counts its page size times one and what lies below, another list of objects counts
as ten. Scalars, and the edges, node and pageInfo of a page, are free. Fragments count wherever they
are spread.

A document is measured once. What depends on variables (page sizes) is kept as a sum, which is
worked out for each request.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_list_type,
)

from resolvers.paging import DEFAULT_PAGE, MAX_PAGE

LIST_SIZE: Final = 10
"""Objects that a list without pages is taken to have: citations, reactions, collections."""
_PLUMBING: Final = frozenset({"edges", "node", "pageInfo"})

_PageSize = int | str
"""A number, or the name of the variable that holds it."""


@dataclass(slots=True)
class Sum:
    """`constant`, and for each part its page size times what each of its elements costs."""

    constant: int = 0
    parts: list[tuple[_PageSize, Sum]] = field(default_factory=list)
    depth: int = 0
    aliases: int = 0

    def value(self, sizes: Mapping[str, int], known: dict[int, int] | None = None) -> int:
        """The cost with these page sizes. A fragment's is worked out once."""
        known = {} if known is None else known
        if (found := known.get(id(self))) is not None:
            return found
        total = self.constant
        for size, below in self.parts:
            number = size if isinstance(size, int) else sizes.get(size, MAX_PAGE)
            total += number * below.value(sizes, known)
        known[id(self)] = total
        return total


@dataclass(frozen=True, slots=True)
class Measure:
    """What was counted in one operation and the fragments of its document.

    `duplicates` is the sum of the squares of how often each response name occurs: the work of the
    validation rule that compares fields of the same name grows with it.
    """

    cost: Sum
    roots: int
    directives: int
    duplicates: int
    introspects: bool
    defaults: Mapping[str, int]

    @property
    def depth(self) -> int:
        return self.cost.depth

    @property
    def aliases(self) -> int:
        return self.cost.aliases

    def value(self, variables: Mapping[str, Any] | None) -> int:
        """The cost with these variables, as the client sent them. A variable that is left out has
        its default, and a value that is no page size counts as the largest page."""
        if not self.cost.parts:
            return self.cost.constant
        sizes = dict(self.defaults)
        for name, sent in (variables or {}).items():
            if isinstance(sent, int):
                sizes[name] = min(max(sent, 0), MAX_PAGE)
            elif sent is None:
                sizes[name] = DEFAULT_PAGE
            else:
                sizes[name] = MAX_PAGE
        return self.cost.value(sizes)


_measures: dict[int, tuple[weakref.ref[Any], weakref.ref[Any], Measure]] = {}


def measure(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode
) -> Measure:
    """Measure an operation, once as long as its document lives. It need not be valid."""
    key = id(operation)
    known = _measures.get(key)
    if known is not None and known[0]() is operation and known[1]() is schema:
        return known[2]
    made = _Walk(schema, document).measure(operation)
    forget = weakref.ref(operation, lambda _: _measures.pop(key, None))
    _measures[key] = forget, weakref.ref(schema), made
    return made


class _Walk:
    """Walks a document. It ends for every document: a fragment is entered once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._document = document
        self._fragments: dict[str, FragmentDefinitionNode] = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._sums: dict[str, Sum] = {}

    def measure(self, operation: OperationDefinitionNode) -> Measure:
        cost = self._sum(operation.selection_set, self._schema.get_root_type(operation.operation))
        names: Counter[str] = Counter()
        directives = 0
        introspects = False
        for node in _nodes(self._document):
            directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                names[(node.alias or node.name).value] += 1
                introspects = introspects or node.name.value in ("__schema", "__type")
        for variable in operation.variable_definitions or ():
            directives += len(variable.directives or ())
        return Measure(
            cost=cost,
            roots=self._roots(operation.selection_set, set()),
            directives=directives,
            duplicates=sum(count * count for count in names.values()),
            introspects=introspects,
            defaults={
                variable.variable.name.value: _number(variable.default_value, DEFAULT_PAGE)
                for variable in operation.variable_definitions or ()
            },
        )

    def _sum(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Sum:
        total = Sum()
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                below = self._field(selection, parent)
                below.aliases += selection.alias is not None
                below.depth += 1
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                kind = self._schema.get_type(condition.name.value) if condition else parent
                below = self._sum(selection.selection_set, kind)
            else:
                assert isinstance(selection, FragmentSpreadNode)
                below = self._fragment(selection.name.value)
            total.constant += below.constant
            total.parts += below.parts
            total.depth = max(total.depth, below.depth)
            total.aliases += below.aliases
        # What nobody may ask for need not be exact: a fragment bomb makes millions of parts.
        if len(total.parts) > _MOST_PARTS:
            total.constant += _TOO_MUCH
            total.parts = []
        return total

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Sum:
        name = node.name.value
        definition = (
            parent.fields.get(name)
            if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
            else None
        )
        # Introspection has limits of its own, and a field that does not exist is never executed.
        kind = get_named_type(definition.type) if definition is not None else None
        below = self._sum(node.selection_set, kind)
        if definition is None or not is_composite_type(kind) or name in _PLUMBING:
            return below
        each = Sum(1 + below.constant, below.parts)
        if "first" in definition.args:
            size = _page_size(node)
            made = _times(size, each)
        elif _is_list(definition.type):
            made = _times(LIST_SIZE, each)
        else:
            made = each
        made.depth, made.aliases = below.depth, below.aliases
        return made

    def _fragment(self, name: str) -> Sum:
        if name not in self._sums:
            # A fragment that spreads itself is refused by another rule; here it must only end.
            self._sums[name] = Sum()
            fragment = self._fragments.get(name)
            if fragment is not None:
                kind = self._schema.get_type(fragment.type_condition.name.value)
                self._sums[name] = self._sum(fragment.selection_set, kind)
        return self._sums[name]

    def _roots(self, selections: SelectionSetNode, seen: set[str]) -> int:
        count = 0
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                count += 1
            elif isinstance(selection, InlineFragmentNode):
                count += self._roots(selection.selection_set, seen)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                fragment = self._fragments.get(selection.name.value)
                if fragment is not None:
                    seen.add(selection.name.value)
                    count += self._roots(fragment.selection_set, seen)
        return count


_MOST_PARTS: Final = 1_000
_TOO_MUCH: Final = 1_000_000


def _times(size: _PageSize, each: Sum) -> Sum:
    """A page; without variables it is a number."""
    if isinstance(size, int) and not each.parts:
        return Sum(size * each.constant)
    return Sum(0, [(size, each)])


def _page_size(node: FieldNode) -> _PageSize:
    sizes: list[_PageSize] = []
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last"):
            if isinstance(argument.value, VariableNode):
                sizes.append(argument.value.name.value)
            else:
                sizes.append(_number(argument.value, DEFAULT_PAGE))
    if len(sizes) > 1:  # only one of them may have a value, and which is not known
        numbers = [size for size in sizes if isinstance(size, int)]
        return max(numbers) if len(numbers) == len(sizes) else MAX_PAGE
    return sizes[0] if sizes else DEFAULT_PAGE


def _number(value: Any, otherwise: int) -> int:
    """An integer of a document as a page size. Larger ones are refused where they are used."""
    return min(int(value.value[:4]), MAX_PAGE) if _is_number(value) else otherwise


def _is_number(value: Any) -> bool:
    return isinstance(value, IntValueNode) and not value.value.startswith("-")


def _is_list(kind: Any) -> bool:
    while isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    return bool(is_list_type(kind))


def _nodes(document: DocumentNode) -> Iterator[Any]:
    """Everything of a document that may have directives, each once."""
    waiting: list[Any] = list(document.definitions)
    while waiting:
        node = waiting.pop()
        yield node
        selected = getattr(node, "selection_set", None)
        waiting.extend(selected.selections if selected else ())
