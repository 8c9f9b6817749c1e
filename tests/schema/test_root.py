"""The schema as a product."""

from __future__ import annotations

from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    build_schema,
    parse,
    validate,
)

from schema import root

ROOT = Path(__file__).parent.parent.parent
SDL = ROOT / "schema" / "schema.graphql"


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    """`make schema` was run after the last change of the API."""
    assert SDL.read_text(encoding="utf-8") == root.build_schema().as_str() + "\n"


def test_everything_has_a_description() -> None:
    """Every type, field, argument and enum value says what it is."""
    missing: list[str] = []
    for name, kind in build_schema(SDL.read_text(encoding="utf-8")).type_map.items():
        if name.startswith("__") or name in ("String", "Int", "Float", "Boolean", "ID"):
            continue
        if not kind.description:
            missing.append(name)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in kind.fields.items():
                missing += [f"{name}.{field_name}"] if not field.description else []
                missing += [
                    f"{name}.{field_name}({argument})"
                    for argument, value in field.args.items()
                    if not value.description
                ]
        if isinstance(kind, GraphQLInputObjectType):
            missing += [f"{name}.{key}" for key, one in kind.fields.items() if not one.description]
        if isinstance(kind, GraphQLEnumType):
            missing += [f"{name}.{key}" for key, one in kind.values.items() if not one.description]
        assert not isinstance(kind, GraphQLScalarType) or kind.description, name
    assert missing == []


def test_graphiql_s_tabs_fit_the_schema() -> None:
    """Every prepared tab of GraphiQL is a valid operation."""
    schema = build_schema(SDL.read_text(encoding="utf-8"))
    tabs = sorted((ROOT / "graphiql" / "src" / "tabs").glob("*.graphql"))
    assert len(tabs) >= 6
    for tab in tabs:
        assert validate(schema, parse(tab.read_text(encoding="utf-8"))) == [], tab.name
