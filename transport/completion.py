"""How the fields of a list's objects become columns of the response; see `transport.breadth`."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
from graphql import (
    FieldNode,
    GraphQLBoolean,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    is_enum_type,
    is_leaf_type,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as Executor
from strawberry.schema.types.base_scalars import DateTimeDefinition
from strawberry.types import Info
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from transport.columns import BATCH, Batch, Column, Columns, Grouped, Objects, Values
from transport.records import maker

_DEFINITION: Final = "strawberry-definition"
# The type of the values that need no coercion, and what besides must be true of them.
_PLAIN: Final[dict[Any, tuple[type, Callable[[Column], bool] | None]]] = {
    GraphQLString: (str, None),
    GraphQLID: (str, None),
    GraphQLBoolean: (bool, None),
    GraphQLInt: (int, lambda column: min(column) >= -(2**31) and max(column) < 2**31),
    GraphQLFloat: (float, lambda column: all(map(math.isfinite, column))),
}


class General(Exception):
    """This takes the general way."""


@dataclass(frozen=True, slots=True)
class Place:
    """A list of one response, for what its fields' resolvers are told."""

    executor: Executor
    path: Path


class _Field(ABC):
    """A selected field of all objects of a list."""

    is_async = False
    is_batch = False
    """It is asked once for all objects."""

    @abstractmethod
    def column(self, objects: Objects, place: Place) -> Column: ...

    async def column_async(self, objects: Objects, place: Place) -> Column:
        return self.column(objects, place)


class _TypeName(_Field):
    def __init__(self, name: str) -> None:
        self._name = name

    def column(self, objects: Objects, place: Place) -> Column:
        return [self._name] * len(objects)


class _Attribute(_Field):
    """A field without a resolver."""

    def __init__(self, name: str, completion: "_Completion") -> None:
        self._name = name
        self._completion = completion
        self.is_async = completion.is_async

    def column(self, objects: Objects, place: Place) -> Column:
        return self._completion.complete(self._values(objects), place)

    async def column_async(self, objects: Objects, place: Place) -> Column:
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

    def column(self, objects: Objects, place: Place) -> Column:
        values = [self._function(one) for one in _as_list(objects)]
        return self._completion.complete(values, place)

    async def column_async(self, objects: Objects, place: Place) -> Column:
        values: Values
        if self._batch is not None:
            values = await self._batch(objects, self._info(place))
        else:
            arguments = {self._info_name: self._info(place)} if self._info_name else {}
            values = [self._function(one, **arguments) for one in _as_list(objects)]
            if self._awaited:
                values = await _all(values)
        return await self._completion.complete_async(values, place)

    def _info(self, place: Place) -> Info[Any, Any]:
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
    def complete(self, values: Values, place: Place) -> Column: ...

    async def complete_async(self, values: Values, place: Place) -> Column:
        return self.complete(values, place)


class _Leaf(_Completion):
    """Scalars and enums, by the coercion of their type."""

    def __init__(self, kind: Any, nullable: bool) -> None:
        self._kind = kind
        self._nullable = nullable

    def complete(self, values: Values, place: Place) -> Column:
        return [self._one(value) for value in cast(Column, values)]

    def _one(self, value: Any) -> Any:
        if value is None and self._nullable:
            return None
        if value is None or isinstance(value, Exception):
            raise General
        coerced = self._kind.coerce_output_value(value)
        if coerced is None or coerced is Undefined:
            raise General
        return coerced


class _Plain(_Leaf):
    """Scalars whose values the response holds as they are, if they are of Python's own type."""

    def complete(self, values: Values, place: Place) -> Column:
        plain, is_valid = _PLAIN[self._kind]
        column = list(cast(Column, values))
        if set(map(type, column)) == {plain} and (is_valid is None or is_valid(column)):
            return column
        return super().complete(column, place)


class _Moments(_Leaf):
    """Strawberry's DateTime. Of moments in UTC orjson writes what `datetime.isoformat` does, at a
    tenth of its time."""

    def complete(self, values: Values, place: Place) -> Column:
        column = cast(Column, values)
        if all(type(moment) is datetime and moment.tzinfo is UTC for moment in column):
            return cast(Column, orjson.loads(orjson.dumps(column)))
        return super().complete(column, place)


class _Enum(_Leaf):
    """Enums have few members, so each is coerced once. They are told apart by identity, since
    the hash of a member is a call."""

    def complete(self, values: Values, place: Place) -> Column:
        column = cast(Column, values)
        members = {id(value): value for value in column}
        names = {key: self._one(value) for key, value in members.items()}
        return [names[id(value)] for value in column]


class _Nested(_Completion):
    """Objects, or null. One that comes many times, such as an author, is completed once."""

    def __init__(self, objects: "ListedObjects") -> None:
        self._objects = objects
        self.is_async = objects.is_async

    def complete(self, values: Values, place: Place) -> Column:
        distinct = _distinct(values)
        if distinct is None:
            return self._objects.complete(values, place)
        completed = self._objects.complete(list(distinct.values()), place)
        return _spread(values, distinct, completed)

    async def complete_async(self, values: Values, place: Place) -> Column:
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

    def complete(self, values: Values, place: Place) -> Column:
        counts, joined = self._joined(values)
        return _divided(counts, self._elements.complete(joined, place))

    async def complete_async(self, values: Values, place: Place) -> Column:
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
                raise General
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


class ListedObjects:
    """The objects of one type at one place of the response."""

    def __init__(
        self,
        executor: Executor,
        kind: GraphQLOutputType,
        field_details_list: Any,
    ) -> None:
        """Raises General if it takes the general way."""
        self._nullable = not isinstance(kind, GraphQLNonNull)
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        definition = _definition(kind)
        if not isinstance(kind, GraphQLObjectType) or definition is None:
            raise General
        self._class = definition.origin
        selected, deferred, *_ = executor.collect_subfields(kind, field_details_list)
        if deferred:
            raise General
        self._make = maker(tuple(selected))
        self._fields = [_field(executor, kind, details) for details in selected.values()]
        awaited = [field for field in self._fields if field.is_async]
        self._batches = [field for field in awaited if field.is_batch]
        self._awaited = [field for field in awaited if not field.is_batch]
        self.is_async = bool(awaited)

    def complete(self, values: Values, place: Place) -> Column:
        objects = self._checked(values)
        return self._rows(values, [field.column(objects, place) for field in self._fields])

    async def complete_async(self, values: Values, place: Place) -> Column:
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
                raise General
            return values
        values = cast(Column, values)
        for value in values:
            if type(value) is not kind:
                break
        else:
            return values
        if not self._nullable or not all(one is None or type(one) is kind for one in values):
            raise General
        return [one for one in values if one is not None]

    def _rows(self, values: Values, columns: Sequence[Column]) -> Column:
        # A batch that gives too few values, or too many, takes the general way.
        if len(set(map(len, columns))) > 1:
            raise General
        rows = list(map(self._make, *columns))
        if isinstance(values, Columns) or len(rows) == len(cast(Column, values)):
            return rows
        given = iter(rows)
        return [None if value is None else next(given) for value in cast(Column, values)]


def _field(executor: Executor, parent: GraphQLObjectType, details: Any) -> _Field:
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
        raise General
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
        raise General
    nodes = [detail.node for detail in details]
    return _Resolved(field, definition, parent, nodes, completion)


def _completion(executor: Executor, kind: GraphQLOutputType, details: Any) -> _Completion:
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
    return _Nested(ListedObjects(executor, kind, details))


def _definition(kind: Any) -> StrawberryObjectDefinition | None:
    found = _definition_of(kind)
    return found if isinstance(found, StrawberryObjectDefinition) else None


def _definition_of(kind: Any) -> object:
    return getattr(kind, "extensions", {}).get(_DEFINITION)
