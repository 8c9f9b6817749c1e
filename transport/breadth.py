"""Lists of objects completed field by field instead of object by object.

graphql-core visits every field of every object of a list by itself: a path, a resolve info and
often a coroutine each, about ten microseconds a field. Most fields of a list's objects are plain
attributes. Here each selected field is completed once for all objects of the list, as a column, and
the objects of the next level are again one list ("breadth first").

The result is that of graphql-core, byte by byte. What this module does not know (arguments,
abstract types, field extensions, middleware) and every error goes the general way, which alone
makes the messages and paths of errors: a list whose objects raise anything here is completed again
from its beginning. Resolvers below lists must therefore only read.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLList,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from transport.columns import Columns
from transport.completion import ListedObjects, Place


class BreadthFirstExecution(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's execution of operations, with lists of objects breadth first."""

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        general = super().complete_list_value
        arguments = (return_type, field_details_list, info, path, result, position_context)
        middleware = self.middleware_manager
        known = isinstance(result, list | Columns) and len(result)
        if not known or (middleware and middleware.middlewares):
            return general(*_with_list(arguments))
        try:
            field = self._plan(return_type.of_type, field_details_list)
            place = Place(self, path)
            if field.is_async:
                return self._complete(field, result, place, lambda: general(*_with_list(arguments)))
            return field.complete(result, place)
        except Exception:
            return general(*_with_list(arguments))

    def _plan(self, kind: GraphQLOutputType, field_details_list: Any) -> "ListedObjects":
        """How the objects of a list are completed. An operation that is executed again and again
        finds what was made for it before, unless variables decide what it selects.

        Raises:
            General
        """
        plans = _plans_of(self.schema, self.operation, self.fragment_definitions)
        if plans is None:
            return ListedObjects(self, kind, field_details_list)
        # A fragment's nodes may be of several types, whose lists differ.
        key = (id(kind), *(id(details.node) for details in field_details_list))
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = ListedObjects(self, kind, field_details_list)
        return plan

    async def _complete(
        self, field: "ListedObjects", items: list[Any], place: "Place", general: Callable[[], Any]
    ) -> Any:
        try:
            return await field.complete_async(items, place)
        except Exception:
            completed = general()
            return await completed if self.is_awaitable(completed) else completed


def _with_list(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    *others, result, context = arguments
    return (*others, result.objects() if isinstance(result, Columns) else result, context)


Plans = dict[tuple[int, ...], ListedObjects]
# By the operation's identity: hashing its nodes would take longer than making its plans.
_plans: dict[
    int, tuple[weakref.ref[OperationDefinitionNode], weakref.ref[GraphQLSchema], Plans | None]
] = {}


def _plans_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Plans | None:
    """The plans of an operation's lists, by the nodes that select them, as long as the operation
    lives; None if it has a directive anywhere, which may make them differ each time."""
    key = id(operation)
    known = _plans.get(key)
    if known is not None and known[0]() is operation and known[1]() is schema:
        return known[2]
    plans: Plans | None = None if _has_directive([operation, *fragments.values()]) else {}
    forget = weakref.ref(operation, lambda _: _plans.pop(key, None))
    _plans[key] = forget, weakref.ref(schema), plans
    return plans


def _has_directive(definitions: Sequence[Any]) -> bool:
    waiting: list[Any] = list(definitions)
    while waiting:
        node = waiting.pop()
        if node.directives:
            return True
        selected = getattr(node, "selection_set", None)
        waiting.extend(selected.selections if selected else ())
    return False
