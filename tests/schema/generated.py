"""Operations made from the schema: one for each root field, with all that can be selected."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
)

ROOTS = ("Query", "Mutation", "Subscription")
DEPTH = 3  # levels of objects below a root field
SCALARS: Mapping[str, Any] = {
    "String": "words",
    "Int": 1,
    "Float": 0.5,
    "Boolean": True,
    "Upload": None,
}


def root_fields(schema: GraphQLSchema) -> dict[str, GraphQLField]:
    """All of them, as "Query.me"."""
    return {
        f"{root}.{name}": field
        for root in ROOTS
        for name, field in schema.type_map[root].fields.items()  # type: ignore[attr-defined]
    }


def id_paths(field: GraphQLField) -> set[str]:
    """Where ids stand in a field's arguments and their inputs, as "input.sessionId"."""
    return {
        path for name, argument in field.args.items() for path in _id_paths(name, argument.type)
    }


def _id_paths(path: str, type: Any) -> Iterator[str]:
    named = get_named_type(type)
    if named.name == "ID":
        yield path
    elif isinstance(named, GraphQLInputObjectType):
        for name, field in named.fields.items():
            yield from _id_paths(f"{path}.{name}", field.type)


def operation(name: str, field: GraphQLField, schema: GraphQLSchema) -> str:
    """The operation "Query.me" with a variable for each argument."""
    root, _, field_name = name.partition(".")
    variables = ", ".join(f"${arg}: {value.type}" for arg, value in field.args.items())
    arguments = ", ".join(f"{arg}: ${arg}" for arg in field.args)
    head = f"{root.lower()}({variables})" if variables else root.lower()
    call = f"{field_name}({arguments})" if arguments else field_name
    # All kinds of nodes at once are more than an operation may ask for at that depth.
    depth = DEPTH - isinstance(get_named_type(field.type), GraphQLInterfaceType)
    return f"{head} {{ {call} {_selection(field.type, schema, depth)} }}"


def _selection(type: Any, schema: GraphQLSchema, depth: int) -> str:
    named = get_named_type(type)
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
        members = schema.get_possible_types(named)
        types: dict[str, set[str]] = {}
        for one in members:
            for name, field in one.fields.items():
                types.setdefault(name, set()).add(str(field.type))
        clashing = {name for name, found in types.items() if len(found) > 1}
        parts = [
            f"... on {one.name} {{ {_fields(one, schema, depth, clashing, one.name)} }}"
            for one in members
        ]
        return f"{{ __typename {' '.join(parts)} }}"
    return f"{{ __typename {_fields(named, schema, depth)} }}"


def _fields(
    type: GraphQLObjectType,
    schema: GraphQLSchema,
    depth: int,
    clashing: Collection[str] = (),
    prefix: str = "",
) -> str:
    """Its fields that need no argument; those that clash with one of another member of the union,
    which has the same name and another type, under a name of their own."""
    found = []
    for name, field in type.fields.items():
        needed = any(
            isinstance(arg.type, GraphQLNonNull) and "default_value" not in str(arg)
            for arg in field.args.values()
        )
        if needed or (depth == 0 and not is_leaf_type(get_named_type(field.type))):
            continue
        alias = f"{prefix}_{name}: {name}" if name in clashing else name
        page = "(first: 3)" if "first" in field.args else ""
        found.append(f"{alias}{page} {_selection(field.type, schema, depth - 1)}")
    return " ".join(found) or "__typename"


def variables(
    field: GraphQLField, ids: Mapping[str, str | None], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """A value for each argument that must have one, and for those in `ids` and `fixed`, by their
    paths. An id that is None is left out where that may be."""
    return {
        name: value
        for name, argument in field.args.items()
        if (value := _value(name, argument.type, ids, fixed)) is not _ABSENT
    }


_ABSENT = object()


def _value(path: str, type: Any, ids: Mapping[str, str | None], fixed: Mapping[str, Any]) -> Any:
    if path in fixed:
        return fixed[path]
    needed = isinstance(type, GraphQLNonNull)
    inner = type.of_type if isinstance(type, GraphQLNonNull) else type
    if isinstance(inner, GraphQLList):
        value = _value(path, inner.of_type, ids, fixed)
        below = any(one == path or one.startswith(f"{path}.") for one in (*ids, *fixed))
        return [value] if (needed or below) and value is not _ABSENT else _ABSENT
    if inner.name == "ID":
        return _ABSENT if ids.get(path) is None else ids[path]
    if isinstance(inner, GraphQLInputObjectType):
        value = {
            name: one
            for name, part in inner.fields.items()
            if (one := _value(f"{path}.{name}", part.type, ids, fixed)) is not _ABSENT
        }
        return value if value or needed else _ABSENT
    if not needed:
        return _ABSENT
    if isinstance(inner, GraphQLEnumType):
        return next(iter(inner.values))
    return SCALARS[inner.name]
