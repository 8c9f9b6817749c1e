"""Statements that are sent together: the writes of the hot path, without a round trip for each.

Tortoise sends one statement at a time and makes an object for every row. The log of replies writes
hundreds of rows in one transaction many times a second, so these are made of plain values, with the
columns and conversions that the models define.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.models import Model


class Unmet(IntegrityError):
    """A statement did not change as many rows as it must: the database is not as expected."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, executed once for each row of parameters ($1, $2, …).

    With `expect`, that many rows must change, or the transaction is undone.
    """

    sql: str
    rows: Sequence[list[Any]]
    expect: int | None = None


def insert(*rows: Model) -> Statement:
    """Rows of one table, as they stand in their objects."""
    meta = rows[0]._meta
    fields = tuple(
        name for name in meta.fields_db_projection if not meta.fields_map[name].generated
    )
    return insert_values(type(rows[0]), fields, [[getattr(r, f) for f in fields] for r in rows])


def insert_values(
    model: type[Model], fields: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> Statement:
    """Rows of one table given as values of some of its fields; the others take their defaults in
    the database, which are null or generated."""
    columns = [model._meta.fields_map[field] for field in fields]
    return Statement(
        _insert_sql(model, fields),
        [
            [column.to_db_value(value, model) for column, value in zip(columns, row, strict=True)]
            for row in rows
        ],
    )


def update(
    model: type[Model],
    key: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    among: tuple[str, Sequence[Any]] | None = None,
    expect: int | None = None,
) -> Statement:
    """Change the rows whose fields equal `key`, and whose field `among[0]` is one of `among[1]`."""
    among_field, among_values = among or (None, ())
    sql = _update_sql(model, tuple(key), tuple(changes), among_field, len(among_values))
    values = [_to_db(model, field, value) for field, value in changes.items()]
    values += [_to_db(model, field, value) for field, value in key.items()]
    if among_field is not None:
        values += [_to_db(model, among_field, value) for value in among_values]
    return Statement(sql, [values], expect)


def delete(model: type[Model], key: Mapping[str, Any]) -> Statement:
    """Delete the rows whose fields equal `key`."""
    where = " AND ".join(
        f'"{_column(model, field)}"=${place}' for place, field in enumerate(key, start=1)
    )
    values = [_to_db(model, field, value) for field, value in key.items()]
    return Statement(f'DELETE FROM "{model._meta.db_table}" WHERE {where}', [values])


def group(statements: Sequence[Statement]) -> list[Statement]:
    """The same work with all rows of the same SQL in one statement, in the order in which each SQL
    first comes: for statements that do not depend on each other across that order."""
    grouped: dict[str, Statement] = {}
    for statement in statements:
        before = grouped.get(statement.sql)
        if before is None:
            grouped[statement.sql] = statement
            continue
        expect = None
        if before.expect is not None and statement.expect is not None:
            expect = before.expect + statement.expect
        rows = [*before.rows, *statement.rows]
        grouped[statement.sql] = Statement(statement.sql, rows, expect)
    return list(grouped.values())


@lru_cache(maxsize=64)
def _insert_sql(model: type[Model], fields: tuple[str, ...]) -> str:
    columns = ",".join(f'"{_column(model, field)}"' for field in fields)
    places = ",".join(f"${place}" for place in range(1, len(fields) + 1))
    return f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES ({places})'


@lru_cache(maxsize=64)
def _update_sql(
    model: type[Model],
    key: tuple[str, ...],
    changes: tuple[str, ...],
    among: str | None,
    among_count: int,
) -> str:
    terms = [f'"{_column(model, field)}"=${place}' for place, field in enumerate(changes, start=1)]
    first = len(changes) + 1
    where = [f'"{_column(model, field)}"=${place}' for place, field in enumerate(key, start=first)]
    if among is not None:
        first += len(key)
        places = ",".join(f"${place}" for place in range(first, first + among_count))
        where.append(f'"{_column(model, among)}" IN ({places})')
    return f'UPDATE "{model._meta.db_table}" SET {",".join(terms)} WHERE {" AND ".join(where)}'


def _column(model: type[Model], field: str) -> str:
    return model._meta.fields_db_projection[field]


def _to_db(model: type[Model], field: str, value: Any) -> Any:
    return model._meta.fields_map[field].to_db_value(value, model)
