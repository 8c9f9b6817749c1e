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

import asyncio
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLBoolean,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    is_enum_type,
    is_leaf_type,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.types.base_scalars import DateTimeDefinition
from strawberry.types import Info
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from transport.columns import BATCH, Batch, Column, Columns, Grouped, Objects, Values

_DEFINITION: Final = "strawberry-definition"
# The type of the values that need no coercion, and what besides must be true of them.
_PLAIN: Final[dict[Any, tuple[type, Callable[[Column], bool] | None]]] = {
    GraphQLString: (str, None),
    GraphQLID: (str, None),
    GraphQLBoolean: (bool, None),
    GraphQLInt: (int, lambda column: min(column) >= -(2**31) and max(column) < 2**31),
    GraphQLFloat: (float, lambda column: all(map(math.isfinite, column))),
}


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
            place = _Place(self, path)
            if field.is_async:
                return self._complete(field, result, place, lambda: general(*_with_list(arguments)))
            return field.complete(result, place)
        except Exception:
            return general(*_with_list(arguments))

    def _plan(self, kind: GraphQLOutputType, field_details_list: Any) -> "_Objects":
        """How the objects of a list are completed. An operation that is executed again and again
        finds what was made for it before, unless variables decide what it selects.

        Raises:
            _General
        """
        plans = _plans_of(self.schema, self.operation, self.fragment_definitions)
        if plans is None:
            return _Objects(self, kind, field_details_list)
        key = tuple(id(details.node) for details in field_details_list)
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = _Objects(self, kind, field_details_list)
        return plan

    async def _complete(
        self, field: "_Objects", items: list[Any], place: "_Place", general: Callable[[], Any]
    ) -> Any:
        try:
            return await field.complete_async(items, place)
        except Exception:
            completed = general()
            return await completed if self.is_awaitable(completed) else completed


def _with_list(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    *others, result, context = arguments
    return (*others, result.objects() if isinstance(result, Columns) else result, context)


class _General(Exception):
    """This takes the general way."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A list of one response, for what its fields' resolvers are told."""

    executor: BreadthFirstExecution
    path: Path


class _Field(ABC):
    """A selected field of all objects of a list."""

    is_async = False
    is_batch = False
    """It is asked once for all objects."""

    @abstractmethod
    def column(self, objects: Objects, place: _Place) -> Column: ...

    async def column_async(self, objects: Objects, place: _Place) -> Column:
        return self.column(objects, place)


class _TypeName(_Field):
    def __init__(self, name: str) -> None:
        self._name = name

    def column(self, objects: Objects, place: _Place) -> Column:
        return [self._name] * len(objects)


class _Attribute(_Field):
    """A field without a resolver."""

    def __init__(self, name: str, completion: "_Completion") -> None:
        self._name = name
        self._completion = completion
        self.is_async = completion.is_async

    def column(self, objects: Objects, place: _Place) -> Column:
        return self._completion.complete(self._values(objects), place)

    async def column_async(self, objects: Objects, place: _Place) -> Column:
        return await self._completion.complete_async(self._values(objects), place)

    def _values(self, objects: Objects) -> Values:
        name = self._name
        if isinstance(objects, Columns):
            column = objects.column(name)
            if column is not None:
                return column
            objects = objects.objects()
        return [getattr(one, name) for one in objects]


class _Resolved(_Field):
    """A field with a resolver, which takes nothing but the object and the info."""

    def __init__(
        self,
        field: StrawberryField,
        definition: GraphQLField,
        parent: GraphQLObjectType,
        nodes: list[FieldNode],
        completion: "_Completion",
    ) -> None:
        resolver = field.base_resolver
        assert resolver is not None
        self._function = cast(Callable[..., Any], resolver.wrapped_func)
        self._info_name = resolver.info_parameter.name if resolver.info_parameter else None
        self._field = field
        self._selected = definition, nodes, parent
        self._completion = completion
        self._batch: Batch | None = field.metadata.get(BATCH)
        self._awaited = field.is_async
        self.is_async = field.is_async or completion.is_async
        self.is_batch = self._batch is not None

    def column(self, objects: Objects, place: _Place) -> Column:
        values = [self._function(one) for one in _as_list(objects)]
        return self._completion.complete(values, place)

    async def column_async(self, objects: Objects, place: _Place) -> Column:
        values: Values
        if self._batch is not None:
            values = await self._batch(objects, self._info(place))
        else:
            arguments = {self._info_name: self._info(place)} if self._info_name else {}
            values = [self._function(one, **arguments) for one in _as_list(objects)]
            if self._awaited:
                values = await _all(values)
        return await self._completion.complete_async(values, place)

    def _info(self, place: _Place) -> Info[Any, Any]:
        """What resolvers get; its path is that of the list."""
        raw = place.executor.build_resolve_info(*self._selected, place.path)
        return Info(_raw_info=raw, _field=self._field)


async def _all(waiting: Sequence[Awaitable[Any]]) -> list[Any]:
    """All results. An error is raised when everything has ended: what is cancelled half-way, such
    as the batch of a DataLoader, would be missing on the general way."""
    if len(waiting) == 1:
        return [await waiting[0]]  # without the task that `gather` makes
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _as_list(objects: Objects) -> Sequence[Any]:
    return objects.objects() if isinstance(objects, Columns) else objects


class _Completion(ABC):
    """What makes values of the response from a resolver's values."""

    is_async = False

    @abstractmethod
    def complete(self, values: Values, place: _Place) -> Column: ...

    async def complete_async(self, values: Values, place: _Place) -> Column:
        return self.complete(values, place)


class _Leaf(_Completion):
    """Scalars and enums, by the coercion of their type."""

    def __init__(self, kind: Any, nullable: bool) -> None:
        self._kind = kind
        self._nullable = nullable

    def complete(self, values: Values, place: _Place) -> Column:
        return [self._one(value) for value in cast(Column, values)]

    def _one(self, value: Any) -> Any:
        if value is None and self._nullable:
            return None
        if value is None or isinstance(value, Exception):
            raise _General
        coerced = self._kind.coerce_output_value(value)
        if coerced is None or coerced is Undefined:
            raise _General
        return coerced


class _Plain(_Leaf):
    """Scalars whose values the response holds as they are, if they are of Python's own type."""

    def complete(self, values: Values, place: _Place) -> Column:
        plain, is_valid = _PLAIN[self._kind]
        column = list(cast(Column, values))
        if set(map(type, column)) == {plain} and (is_valid is None or is_valid(column)):
            return column
        return super().complete(column, place)


class _Moments(_Leaf):
    """Strawberry's DateTime. Of moments in UTC orjson writes what `datetime.isoformat` does, at a
    tenth of its time."""

    def complete(self, values: Values, place: _Place) -> Column:
        column = cast(Column, values)
        if all(type(moment) is datetime and moment.tzinfo is UTC for moment in column):
            return cast(Column, orjson.loads(orjson.dumps(column)))
        return super().complete(column, place)


class _Enum(_Leaf):
    """Enums have few members, so each is coerced once. They are told apart by identity, since
    the hash of a member is a call."""

    def complete(self, values: Values, place: _Place) -> Column:
        column = cast(Column, values)
        members = {id(value): value for value in column}
        names = {key: self._one(value) for key, value in members.items()}
        return [names[id(value)] for value in column]


class _Nested(_Completion):
    """Objects, or null. One that comes many times, such as an author, is completed once."""

    def __init__(self, objects: "_Objects") -> None:
        self._objects = objects
        self.is_async = objects.is_async

    def complete(self, values: Values, place: _Place) -> Column:
        distinct = _distinct(values)
        if distinct is None:
            return self._objects.complete(values, place)
        completed = self._objects.complete(list(distinct.values()), place)
        return _spread(values, distinct, completed)

    async def complete_async(self, values: Values, place: _Place) -> Column:
        distinct = _distinct(values)
        if distinct is None:
            return await self._objects.complete_async(values, place)
        completed = await self._objects.complete_async(list(distinct.values()), place)
        return _spread(values, distinct, completed)


def _distinct(values: Values) -> dict[int, Any] | None:
    """The values by their identity; None if most of them come once."""
    if isinstance(values, Columns):
        return None
    distinct = {id(value): value for value in cast(Column, values)}
    return distinct if 2 * len(distinct) <= len(cast(Column, values)) else None


def _spread(values: Values, distinct: dict[int, Any], completed: Column) -> Column:
    found = dict(zip(distinct, completed, strict=True))
    return [found[id(value)] for value in cast(Column, values)]


class _Lists(_Completion):
    """Lists, or null: the elements of all of them are one list."""

    def __init__(self, elements: _Completion, nullable: bool) -> None:
        self._elements = elements
        self._nullable = nullable
        self.is_async = elements.is_async

    def complete(self, values: Values, place: _Place) -> Column:
        counts, joined = self._joined(values)
        return _divided(counts, self._elements.complete(joined, place))

    async def complete_async(self, values: Values, place: _Place) -> Column:
        counts, joined = self._joined(values)
        return _divided(counts, await self._elements.complete_async(joined, place))

    def _joined(self, values: Values) -> tuple[Sequence[int | None], Values]:
        """How long the lists are (None: null), and all their elements."""
        if isinstance(values, Grouped):
            return values.counts, values.elements
        joined: Column = []
        counts: list[int | None] = []
        for value in cast(Column, values):
            if isinstance(value, list):
                counts.append(len(value))
                joined += value
            elif value is None and self._nullable:
                counts.append(None)
            else:
                raise _General
        return counts, joined


def _divided(counts: Sequence[int | None], completed: Column) -> Column:
    place = 0
    divided: Column = []
    for count in counts:
        if count is None:
            divided.append(None)
        else:
            divided.append(completed[place : place + count])
            place += count
    return divided


class _Objects:
    """The objects of one type at one place of the response."""

    def __init__(
        self, executor: BreadthFirstExecution, kind: GraphQLOutputType, field_details_list: Any
    ) -> None:
        """Raises _General if it takes the general way."""
        self._nullable = not isinstance(kind, GraphQLNonNull)
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        definition = _definition(kind)
        if not isinstance(kind, GraphQLObjectType) or definition is None:
            raise _General
        self._class = definition.origin
        selected, deferred, *_ = executor.collect_subfields(kind, field_details_list)
        if deferred:
            raise _General
        self._make = _maker(tuple(selected))
        self._fields = [_field(executor, kind, details) for details in selected.values()]
        awaited = [field for field in self._fields if field.is_async]
        self._batches = [field for field in awaited if field.is_batch]
        self._awaited = [field for field in awaited if not field.is_batch]
        self.is_async = bool(awaited)

    def complete(self, values: Values, place: _Place) -> Column:
        objects = self._checked(values)
        return self._rows(values, [field.column(objects, place) for field in self._fields])

    async def complete_async(self, values: Values, place: _Place) -> Column:
        objects = self._checked(values)
        if not len(objects):
            return [] if isinstance(values, Columns) else [None for _ in cast(Column, values)]
        # A batch often has its values at hand, and asks once for all objects otherwise; loads of
        # single objects must go out together.
        columns = {field: await field.column_async(objects, place) for field in self._batches}
        if self._awaited:
            found = await _all([field.column_async(objects, place) for field in self._awaited])
            columns.update(zip(self._awaited, found, strict=True))
        return self._rows(
            values,
            [
                columns[field] if field.is_async else field.column(objects, place)
                for field in self._fields
            ],
        )

    def _checked(self, values: Values) -> Objects:
        """The values that are not null."""
        kind = self._class
        if isinstance(values, Columns):
            if values.kind is not kind:
                raise _General
            return values
        values = cast(Column, values)
        for value in values:
            if type(value) is not kind:
                break
        else:
            return values
        if not self._nullable or not all(one is None or type(one) is kind for one in values):
            raise _General
        return [one for one in values if one is not None]

    def _rows(self, values: Values, columns: Sequence[Column]) -> Column:
        # A batch that gives too few values, or too many, takes the general way.
        if len(set(map(len, columns))) > 1:
            raise _General
        rows = list(map(self._make, *columns))
        if isinstance(values, Columns) or len(rows) == len(cast(Column, values)):
            return rows
        given = iter(rows)
        return [None if value is None else next(given) for value in cast(Column, values)]


def _maker(keys: tuple[str, ...]) -> Callable[..., dict[str, Any]]:
    """A function that takes the values of these keys and returns the dictionary of them.

    It is compiled, as `collections.namedtuple` does it: a page's objects are made in less than half
    the time that `dict(zip(keys, values))` takes. The source holds numbers alone; the keys, which a
    caller chooses, are its globals.
    """
    values = ", ".join(f"v{place}" for place in range(len(keys)))
    pairs = ", ".join(f"k{place}: v{place}" for place in range(len(keys)))
    names = {f"k{place}": key for place, key in enumerate(keys)}
    make: Callable[..., dict[str, Any]] = eval(  # noqa: S307
        f"lambda {values}: {{{pairs}}}", names
    )
    return make


def _field(executor: BreadthFirstExecution, parent: GraphQLObjectType, details: Any) -> _Field:
    name = details[0].node.name.value
    if name == "__typename":
        return _TypeName(parent.name)
    definition = parent.fields[name]
    field = definition.extensions.get(_DEFINITION)
    if (
        not isinstance(field, StrawberryField)
        or definition.args
        or field.extensions
        or field.permission_classes
    ):
        raise _General
    completion = _completion(executor, definition.type, details)
    if field.base_resolver is None:
        return _Attribute(field.python_name, completion)
    resolver = field.base_resolver
    if (
        not resolver.self_parameter
        or resolver.parent_parameter
        or resolver.root_parameter
        or (resolver.info_parameter and not field.is_async)
    ):
        raise _General
    nodes = [detail.node for detail in details]
    return _Resolved(field, definition, parent, nodes, completion)


def _completion(
    executor: BreadthFirstExecution, kind: GraphQLOutputType, details: Any
) -> _Completion:
    nullable = not isinstance(kind, GraphQLNonNull)
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if inner in _PLAIN:
        return _Plain(inner, nullable)
    if is_enum_type(inner):
        return _Enum(inner, nullable)
    if _definition_of(inner) is DateTimeDefinition:
        return _Moments(inner, nullable)
    if is_leaf_type(inner):
        return _Leaf(inner, nullable)
    if isinstance(inner, GraphQLList):
        return _Lists(_completion(executor, inner.of_type, details), nullable)
    return _Nested(_Objects(executor, kind, details))


def _definition(kind: Any) -> StrawberryObjectDefinition | None:
    found = _definition_of(kind)
    return found if isinstance(found, StrawberryObjectDefinition) else None


def _definition_of(kind: Any) -> object:
    return getattr(kind, "extensions", {}).get(_DEFINITION)


Plans = dict[tuple[int, ...], _Objects]
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
