"""What one operation may ask for, checked before anything of it runs."""

from __future__ import annotations

from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationRule,
)

from resolvers.paging import DEFAULT_PAGE, MAX_PAGE

# Elements of pages that an operation may reach by its page sizes: 100 sessions with 100
# messages each is possible, another level below is not.
MAX_NODES: Final = 12_000
MAX_DEPTH: Final = 20
# Ten aliased logins in one request are no use that we know of; GraphiQL's introspection has one.
MAX_ROOT_FIELDS: Final = 20

# The cost and depth of a selection set; a fragment's is computed once, however often it is spread.
_Size = tuple[int, int]


class OperationLimits(ValidationRule):
    """Refuses operations that ask for too much, as QUERY_TOO_COMPLEX."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        self._fragments: dict[str, _Size] = {}
        self._paged = _paged_fields(self.context.schema)
        nodes, depth = self._size(node.selection_set)
        roots = self._count_fields(node.selection_set, set())
        for value, limit, what in (
            (roots, MAX_ROOT_FIELDS, "fields at its root"),
            (depth, MAX_DEPTH, "levels"),
            (nodes, MAX_NODES, "elements, as its page sizes say"),
        ):
            if value > limit:
                self.report_error(
                    GraphQLError(
                        f"The operation asks for {value} {what}; at most {limit} are allowed.",
                        node,
                        extensions={"code": "QUERY_TOO_COMPLEX"},
                    )
                )

    def _size(self, selections: SelectionSetNode | None) -> _Size:
        nodes = depth = 0
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                below, levels = self._size(selection.selection_set)
                if selection.name.value in self._paged:
                    below = self._page_size(selection) * (1 + below)
                levels += 1
            elif isinstance(selection, InlineFragmentNode):
                below, levels = self._size(selection.selection_set)
            else:
                assert isinstance(selection, FragmentSpreadNode)
                below, levels = self._fragment_size(selection.name.value)
            nodes += below
            depth = max(depth, levels)
        return nodes, depth

    def _fragment_size(self, name: str) -> _Size:
        if name not in self._fragments:
            # A fragment that spreads itself is refused by another rule; here it must only end.
            self._fragments[name] = (0, 0)
            fragment = self.context.get_fragment(name)
            self._fragments[name] = self._size(fragment.selection_set if fragment else None)
        return self._fragments[name]

    def _count_fields(self, selections: SelectionSetNode, seen: set[str]) -> int:
        count = 0
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                count += 1
            elif isinstance(selection, InlineFragmentNode):
                count += self._count_fields(selection.selection_set, seen)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                fragment = self.context.get_fragment(selection.name.value)
                if fragment is not None:
                    seen.add(selection.name.value)
                    count += self._count_fields(fragment.selection_set, seen)
        return count

    def _page_size(self, field: FieldNode) -> int:
        """How many objects the field may give; a variable may hold the largest page."""
        for argument in field.arguments or ():
            if argument.name.value in ("first", "last"):
                if not isinstance(argument.value, IntValueNode):
                    return MAX_PAGE
                # Larger numbers are refused where they are used.
                return min(int(argument.value.value[:4]), MAX_PAGE)
        return DEFAULT_PAGE


def _paged_fields(schema: GraphQLSchema) -> frozenset[str]:
    """The names of fields that take a page size."""
    return frozenset(
        name
        for kind in schema.type_map.values()
        for name, field in getattr(kind, "fields", {}).items()
        if "first" in getattr(field, "args", {})
    )
