"""Rows of the hot path, read with statements that are made once.

A query set of Tortoise's is built, turned into SQL and its rows into objects at every call; for a
page of fifty messages that takes longer than the database and the network together. Here the SQL
is written out behind its columns, and rows become the same objects with fewer steps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, TypeVar, cast, overload
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from models import sqlite
from models.sqlite import Steps

T = TypeVar("T")
M = TypeVar("M", bound=Model)

_PARAMETER: Final = re.compile(r"\$(\d+)")
# What both drivers give as Python has it.
_NATIVE: Final = (fields.CharField, fields.TextField, fields.IntField, fields.BigIntField)


Query = tuple[str, list[Any]]
"""A statement and its parameters, as the driver takes them."""


async def fetch(model: type[Model], sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    """The rows of a statement on the connection that the model's queries use, with parameters $1,
    $2, … for `values`, which may be UUIDs, numbers and texts."""
    sql, given = _for_driver(sql, values, is_sqlite=_is_sqlite(model))
    return (await model._meta.db.execute_query(sql, given))[1]


async def fetch_by_key(model: type[Model], sql: str, values: Sequence[Any]) -> Sequence[Any]:
    """Like `fetch`, for a statement that finds a few rows by their keys. On SQLite it reads them
    at once where it can; only there does a switch between threads cost more than such a read."""
    connection = model._meta.db
    if isinstance(connection, sqlite.Client):
        rows = connection.read_by_key(*_for_driver(sql, values, is_sqlite=True))
        if rows is not None:
            return rows
    return await fetch(model, sql, values)


async def select(model: type[M], tail: str, values: Sequence[Any] = ()) -> Table[M]:
    """The rows of a table: `tail` is what comes behind `SELECT … FROM "table" t`; see `fetch`."""
    return Table(model, await fetch(model, _select_sql(model, tail, None), values))


async def select_among(
    model: type[M], field: str, values: Iterable[UUID | str], *, order: str = "id"
) -> Table[M]:
    """The rows whose field is one of some ids, in the order of a list of columns. It is the same
    statement for any number of ids."""
    return await steps(
        model, lambda is_sqlite: among_step(model, field, values, is_sqlite, order=order)
    )


async def steps(model: type[Model], begin: Callable[[bool], Steps[T]]) -> T:
    """Carry out reads that depend on each other, on the connection that the model's queries use.
    On SQLite they take one switch between threads, which costs more than such a read.

    `begin(is_sqlite)` gives the steps. They run in another thread: they must only make statements.
    """
    connection = model._meta.db
    if isinstance(connection, sqlite.Client) and connection.has_reader:
        done: T = await connection.read_steps(begin(True))
        return done
    work = begin(_is_sqlite(model))
    try:
        sql, values = next(work)
        while True:
            sql, values = work.send((await connection.execute_query(sql, values))[1])
    except StopIteration as end:
        return cast(T, end.value)


def select_step(
    model: type[M],
    tail: str,
    values: Sequence[Any],
    is_sqlite: bool,
    *,
    only: tuple[str, ...] | None = None,
) -> Generator[Query, Sequence[Any], Table[M]]:
    """`select` as one of several `steps`, of all fields or `only` some."""
    rows = yield _for_driver(_select_sql(model, tail, only), values, is_sqlite=is_sqlite)
    return Table(model, rows, only)


def among_step(
    model: type[M],
    field: str,
    values: Iterable[UUID | str],
    is_sqlite: bool,
    *,
    order: str = "id",
) -> Generator[Query, Sequence[Any], Table[M]]:
    """`select_among` as one of several `steps`."""
    among = [str(value) for value in values]
    if not among:
        return Table(model, [])
    column = model._meta.fields_db_projection[field]
    chosen = "IN (SELECT value FROM json_each($1))" if is_sqlite else "= ANY($1::uuid[])"
    tail = f'WHERE t."{column}" {chosen} ORDER BY {order}'
    parameter = json.dumps(among) if is_sqlite else among
    return (yield from select_step(model, tail, [parameter], is_sqlite))


def _is_sqlite(model: type[Model]) -> bool:
    return model._meta.db.capabilities.dialect == "sqlite"


def _for_driver(sql: str, values: Sequence[Any], *, is_sqlite: bool) -> Query:
    if not is_sqlite:
        return sql, list(values)
    return _numbered(sql), [str(value) if isinstance(value, UUID) else value for value in values]


class Table(Sequence[M]):
    """Rows of a table that become objects only where objects are asked for.

    Whoever wants a field of all rows takes its column, which costs a fraction of making objects.
    """

    def __init__(
        self, model: type[M], rows: Sequence[Any], only: tuple[str, ...] | None = None
    ) -> None:
        """`rows` hold the columns of `columns(model, …)`, as the driver gave them. With `only` they
        hold those of some fields; the objects then lack the other attributes."""
        self.model = model
        self._only = only
        self._rows = rows
        self._raw: list[Sequence[Any]] | None = None
        self._converted: dict[str, Sequence[Any]] = {}
        self._objects: list[M] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> M: ...
    @overload
    def __getitem__(self, place: slice) -> Table[M]: ...
    def __getitem__(self, place: int | slice) -> M | Table[M]:
        if isinstance(place, slice):
            return Table(self.model, self._rows[place], self._only)
        return self.objects()[place]

    def __iter__(self) -> Iterator[M]:
        return iter(self.objects())

    def at(self, places: Iterable[int]) -> Table[M]:
        """The rows at these places."""
        return Table(self.model, [self._rows[place] for place in places], self._only)

    def objects(self) -> list[M]:
        if self._objects is None:
            self._objects = hydrate(self.model, self._rows, self._only)
        return self._objects

    def has(self, field: str) -> bool:
        """Whether the rows hold this field of the model."""
        return field in _places(self.model, self._only)

    def raw(self, field: str) -> Sequence[Any]:
        """A field's values as the driver gave them: an id is a text on SQLite."""
        if self._raw is None:
            self._raw = list(zip(*self._rows))  # noqa: B905 (slower)
        return self._raw[_places(self.model, self._only)[field]] if self._raw else ()

    def column(self, field: str) -> Sequence[Any]:
        """A field's values, as the objects have them."""
        convert = _converters(self.model, self._only)[_places(self.model, self._only)[field]]
        if convert is None:
            return self.raw(field)
        if field not in self._converted:
            self._converted[field] = convert.column(self.raw(field))
        return self._converted[field]


def columns(model: type[Model], alias: str, only: tuple[str, ...] | None = None) -> str:
    """The columns that `hydrate` wants, in its order."""
    by_field = model._meta.fields_db_projection
    return ", ".join(f'{alias}."{by_field[field]}"' for field in only or by_field)


def hydrate(model: type[M], rows: Iterable[Any], only: tuple[str, ...] | None = None) -> list[M]:
    """Objects from rows that hold the columns of `columns(model, …)`, or those of some fields.

    They are as Tortoise makes them, saved, and complete or partial.
    """
    rows = list(rows)
    if len(rows) == 1 and only is None:
        return [hydrate_one(model, rows[0])]
    names = only or tuple(model._meta.fields_db_projection)
    converted = [
        column if convert is None else convert.column(column)
        for convert, column in zip(_converters(model, only), zip(*rows, strict=False), strict=False)
    ]
    return [
        _saved(model, dict(zip(names, values)), partial=only is not None)  # noqa: B905 (slower)
        for values in zip(*converted)  # noqa: B905 (slower)
    ]


def hydrate_one(model: type[M], row: Any, *, begin: int = 0, **related: Model) -> M:
    """An object from a row that holds, from column `begin` on, those of `columns(model, …)`.
    `related` are the objects of its foreign keys, by the names of the relations.

    Every operation reads a few: a column of one value is not worth its way.
    """
    names = model._meta.fields_db_projection
    state: dict[str, Any] = dict(zip(names, tuple(row)[begin : begin + len(names)], strict=True))
    for name, convert in _conversions(model):
        if state[name] is not None:
            state[name] = convert.value(state[name])
    for name, other in related.items():
        state[f"_{name}"] = other
    return _saved(model, state)


def _saved(model: type[M], state: dict[str, Any], *, partial: bool = False) -> M:
    one = model.__new__(model)
    state["_partial"], state["_saved_in_db"] = partial, True
    state["_custom_generated_pk"] = model._meta.db_pk_column not in model._meta.generated_db_fields
    state["_await_when_save"] = {}
    one.__dict__ = state
    return one


@lru_cache(maxsize=256)
def _select_sql(model: type[Model], tail: str, only: tuple[str, ...] | None) -> str:
    return f'SELECT {columns(model, "t", only)} FROM "{model._meta.db_table}" t {tail}'


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    return _PARAMETER.sub(r"?\1", sql)


@lru_cache(maxsize=64)
def _places(model: type[Model], only: tuple[str, ...] | None) -> dict[str, int]:
    return {name: place for place, name in enumerate(only or model._meta.fields_db_projection)}


@lru_cache(maxsize=64)
def _converters(
    model: type[Model], only: tuple[str, ...] | None = None
) -> tuple[_Convert | None, ...]:
    return tuple(
        _converter(model._meta.fields_map[name])
        for name in only or model._meta.fields_db_projection
    )


@lru_cache(maxsize=64)
def _conversions(model: type[Model]) -> tuple[tuple[str, _Convert], ...]:
    """The fields whose values differ from the driver's."""
    return tuple(
        (name, convert)
        for name, convert in zip(model._meta.fields_db_projection, _converters(model), strict=True)
        if convert is not None
    )


def _converter(field: fields.Field[Any]) -> _Convert | None:
    if type(field) in _NATIVE:
        return None
    enum = getattr(field, "enum_type", None)
    if isinstance(field, fields.UUIDField):
        return _Convert(lambda value: value if isinstance(value, UUID) else _uuid(value))
    if isinstance(field, fields.BooleanField):
        return _Convert(bool)
    if isinstance(field, fields.DatetimeField):
        return _Moments(partial(_moment, field))
    if enum is not None:
        return _Convert(enum)
    return _Convert(field.to_python_value, repeats=False)


@dataclass(frozen=True, slots=True)
class _Convert:
    """Makes what objects have from what the driver gives; null stays null.

    `repeats` says that in a column many values come again: keys, states, moments.
    """

    value: Callable[[Any], Any]
    repeats: bool = True

    def column(self, column: Sequence[Any]) -> list[Any]:
        known: dict[Any, Any] = {None: None}
        if self.repeats:
            known |= {value: self.value(value) for value in {*column} - {None}}
            return [known[value] for value in column]
        return [None if value is None else self.value(value) for value in column]


# The same few come with every operation: who asks, their login, their session.
_uuid = lru_cache(maxsize=1024)(UUID)


class _Moments(_Convert):
    """Moments of messages hardly repeat."""

    def column(self, column: Sequence[Any]) -> list[Any]:
        if {*map(type, column)} == {str}:
            moments = [*map(datetime.fromisoformat, column)]
            if all(moment.tzinfo is UTC for moment in moments):
                return moments
        return super().column(column)


def _moment(field: fields.Field[Any], value: Any) -> datetime | None:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
    return cast("datetime | None", field.to_python_value(value))
