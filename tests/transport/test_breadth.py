"""Lists completed field by field give exactly what graphql-core gives object by object."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import strawberry
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.dataloader import DataLoader

from transport.breadth import BreadthFirstExecution, _plans
from transport.columns import Columns, Grouped, batch, selected
from transport.documents import DocumentCache

pytestmark = pytest.mark.anyio


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Leaf(Named):
    number: int
    weight: float
    ripe: bool

    @strawberry.field
    def double(self) -> int:
        return 2 * self.number


@dataclass
class Seen:
    """What the batches were asked; `general` if graphql-core alone executes."""

    lists: int = 0
    columns: int = 0
    general: bool = False


async def _owners(trees: Sequence[Tree] | Columns, info: Any) -> list[Owner | None]:
    info.context.lists += not isinstance(trees, Columns)
    info.context.columns += isinstance(trees, Columns)
    found = trees.objects() if isinstance(trees, Columns) else trees
    return [one.make_owner() for one in found]


async def _twigs(trees: Sequence[Tree] | Columns, info: Any) -> Grouped:
    found = trees.objects() if isinstance(trees, Columns) else trees
    return Grouped(
        [len(one.leaves) for one in found],
        LeafColumns([leaf for one in found for leaf in one.leaves]),
    )


@strawberry.type
class Owner:
    name: str


@strawberry.type
class Tree(Named):
    id: strawberry.ID
    colour: Colour | None
    planted: datetime
    broken: int | None
    leaves: list[Leaf]
    maybe: list[Leaf | None] | None
    words: list[str]
    first: Leaf | None

    def make_owner(self) -> Owner | None:
        return Owner(name=f"owner of {self.name}") if self.colour else None

    @strawberry.field(metadata=batch(_owners))
    async def owner(self) -> Owner | None:
        await asyncio.sleep(0)
        return self.make_owner()

    @strawberry.field(metadata=batch(_twigs))
    async def twigs(self) -> list[Leaf]:
        return self.leaves

    @strawberry.field
    async def later(self, info: strawberry.Info) -> str:
        await asyncio.sleep(0)
        return f"{info.field_name} {self.name}"

    @strawberry.field
    def times(self, factor: int = 2) -> int:
        return factor

    @strawberry.field
    def fails(self) -> int | None:
        if self.broken:
            raise ValueError(f"{self.name} is broken")
        return 1

    @strawberry.field
    async def fails_hard(self) -> int:
        if self.broken:
            raise ValueError(f"{self.name} is broken")
        return 1

    @strawberry.field
    def named(self) -> list[Named]:
        return [*self.leaves]


class LeafColumns(Columns):
    kind = Leaf

    def __init__(self, found: list[Leaf]) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def column(self, name: str) -> list[Any] | None:
        # One attribute is left to the objects.
        return None if name == "weight" else [getattr(one, name) for one in self._found]

    def objects(self) -> list[Any]:
        return self._found


class TreeColumns(Columns):
    kind = Tree

    def __init__(self, trees: list[Tree]) -> None:
        self._trees = trees

    def __len__(self) -> int:
        return len(self._trees)

    def column(self, name: str) -> Any:
        return [getattr(one, name) for one in self._trees]

    def objects(self) -> list[Any]:
        return self._trees


def _leaf(number: int) -> Leaf:
    return Leaf(name=f"leaf {number}", number=number, weight=number / 4, ripe=number % 2 == 0)


def _tree(number: int, *, broken: bool = False) -> Tree:
    few = [_leaf(10 * number + place) for place in range(number % 3)]
    return Tree(
        name=f"tree {number}",
        id=strawberry.ID(str(number)),
        colour=[Colour.RED, Colour.BLUE, None][number % 3],
        planted=datetime(2026, 1, 1 + number, tzinfo=UTC),
        broken=1 if broken else None,
        leaves=few,
        maybe=None if number % 2 else [*few, None],
        words=["a", "b"][: number % 3],
        first=few[0] if few else None,
    )


TREES = [_tree(number) for number in range(5)]
BROKEN = [_tree(1), _tree(2, broken=True), _tree(3)]


@strawberry.type
class Query:
    @strawberry.field
    def trees(self) -> list[Tree]:
        return TREES

    @strawberry.field
    def wood(self, info: strawberry.Info) -> list[Tree]:
        return TREES if info.context.general else TreeColumns(TREES)  # type: ignore[return-value]

    @strawberry.field
    def broken(self) -> list[Tree] | None:
        return BROKEN

    @strawberry.field
    def gaps(self) -> list[Tree | None]:
        return [TREES[0], None, TREES[1]]

    @strawberry.field
    def wrong(self) -> list[Tree]:
        return [TREES[0], "no tree"]  # type: ignore[list-item]

    @strawberry.field
    def empty(self, info: strawberry.Info) -> list[Tree]:
        return [] if info.context.general else TreeColumns([])  # type: ignore[return-value]

    @strawberry.field
    def told(self, info: strawberry.Info) -> list[Tree]:
        assert selected(info) == {"leaves", "name", "times"}
        assert selected(info, "leaves") == {"name", "number"}
        assert selected(info, "owner") == set()
        return TREES

    @strawberry.field
    def any(self) -> list[Named]:
        return [*TREES]


OURS = strawberry.Schema(Query, types=[Leaf], execution_context_class=BreadthFirstExecution)
GENERAL = strawberry.Schema(Query, types=[Leaf])


async def _both(query: str, **variables: Any) -> tuple[Any, Seen]:
    """The response, which must be the same both ways, and what the batches of ours were asked."""
    seen = Seen()
    ours = await OURS.execute(query, variable_values=variables, context_value=seen)
    general = await GENERAL.execute(
        query, variable_values=variables, context_value=Seen(general=True)
    )
    response = {"data": ours.data, "errors": [one.formatted for one in ours.errors or ()]}
    assert json.dumps(response) == json.dumps(
        {"data": general.data, "errors": [one.formatted for one in general.errors or ()]}
    )
    return response, seen


async def test_all_kinds_of_fields_are_completed() -> None:
    """Scalars, enums, lists, nulls, resolvers and batches give what graphql-core gives."""
    response, seen = await _both(
        "{ trees { __typename id name colour planted words later leaves { number weight ripe "
        "double } maybe { name } first { number } owner { name } twigs { name weight } } }"
    )
    assert response["errors"] == []
    assert response["data"]["trees"][1]["owner"] == {"name": "owner of tree 1"}
    assert response["data"]["trees"][2]["owner"] is None
    assert seen == Seen(lists=1, columns=0)


async def test_columns_stand_for_objects() -> None:
    """A resolver may return columns, on the fast way and on the general one."""
    response, seen = await _both("{ wood { id first { name } owner { name } } empty { id } }")
    assert [one["id"] for one in response["data"]["wood"]] == ["0", "1", "2", "3", "4"]
    assert response["data"]["empty"] == []
    assert seen == Seen(lists=0, columns=1)
    _, seen = await _both("{ wood { id times owner { name } } }")
    assert seen == Seen(), "an argument takes the general way"


@pytest.mark.parametrize(
    "selection",
    [
        "trees { id times }",
        "trees { id times(factor: 3) }",
        "trees { id named { name } }",
        "any { name }",
        "gaps { id first { name } maybe { name } }",
        "gaps { id later owner { name } }",
        "broken { id fails name }",
        "broken { id failsHard name }",
        "wrong { id }",
        "wrong { later }",
        "told { ...F times @skip(if: $yes) leaves { ...on Leaf { number } } } __typename",
        "trees { id ...F ... on Named { name } ... @skip(if: $yes) { words } }",
        "trees { a: id b: id name @include(if: $no) leaves @skip(if: $no) { number } }",
        "trees { leaves { number } leaves { name } owner { name } owner { __typename } }",
    ],
)
async def test_the_response_is_that_of_graphql_core(selection: str) -> None:
    """Arguments, abstract types, gaps, errors, fragments and directives change nothing."""
    fragment = "fragment F on Tree { leaves { name } ... on Tree { name } }"
    needs = "...F" in selection
    response, _ = await _both(
        f"query Q($yes: Boolean = true, $no: Boolean = false) {{ {selection} "
        f"__typename @skip(if: $yes) again: __typename @include(if: $no) }} "
        f"{fragment if needs else ''}"
    )
    assert response["data"] is not None or response["errors"]
    failing = selection.startswith(("broken", "wrong"))
    assert bool(response["errors"]) == failing


FIELDS = [
    "__typename", "id", "name", "colour", "planted", "words", "later", "times", "owner { name }",
    "leaves { name number }", "maybe { weight __typename }", "first { ripe double }",
    "twigs { number }", "fails", "broken", "again: name", "named { name }",
]  # fmt: skip


@given(
    st.sampled_from(["trees", "wood", "gaps", "broken"]),
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_any_selection_gives_the_same(field: str, selected: list[str]) -> None:
    """Any fields in any order and repetition give the same response both ways."""
    response, _ = asyncio.run(_both(f"{{ {field} {{ {' '.join(selected)} }} }}"))
    assert response["data"] is not None


@strawberry.type
class Loaded:
    key: int

    @strawberry.field
    async def value(self, info: strawberry.Info) -> int:
        return await info.context.load(self.key)  # type: ignore[no-any-return]

    @strawberry.field
    async def fails(self) -> int | None:
        if self.key == 1:
            raise ValueError("one")
        return self.key


@strawberry.type
class Loads:
    @strawberry.field
    def loaded(self) -> list[Loaded]:
        return [Loaded(key=1), Loaded(key=2)]


async def test_a_failure_beside_a_loader_ends_as_it_would_anyway() -> None:
    """The general way finds the loaders in order after the fast way failed in the middle."""

    async def double(keys: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return [2 * key for key in keys]

    schema = strawberry.Schema(Loads, execution_context_class=BreadthFirstExecution)
    async with asyncio.timeout(10):
        result = await schema.execute(
            "{ loaded { fails value } }", context_value=DataLoader(double, cache=False)
        )
    assert result.data == {"loaded": [{"fails": None, "value": 2}, {"fails": 2, "value": 4}]}
    assert [error.path for error in result.errors or ()] == [["loaded", 0, "fails"]]


async def _short(objects: Any, info: Any) -> list[str]:
    return ["one too few"] * (len(objects) - 1)


@strawberry.type
class Thing:
    @strawberry.field(metadata=batch(_short))
    async def text(self) -> str:
        return "own"


@strawberry.type
class Number:
    value: int


@strawberry.type
class Odd:
    @strawberry.field
    def things(self) -> list[Thing]:
        return [Thing(), Thing()]

    @strawberry.field
    def numbers(self, info: strawberry.Info) -> list[Number]:
        return [Number(value=1), Number(value=info.context)]


async def test_a_batch_of_the_wrong_length_takes_the_general_way() -> None:
    """Values that do not fit the objects are never given to the wrong ones."""
    schema = strawberry.Schema(Odd, execution_context_class=BreadthFirstExecution)
    result = await schema.execute("{ things { __typename text } }")
    assert result.data == {"things": [{"__typename": "Thing", "text": "own"}] * 2}


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.5, 2.0, "7", True])
async def test_numbers_are_checked_as_graphql_core_checks_them(value: Any) -> None:
    """What no Int can hold is an error; what it coerces is coerced."""
    responses = []
    for schema in (
        strawberry.Schema(Odd, execution_context_class=BreadthFirstExecution),
        strawberry.Schema(Odd),
    ):
        result = await schema.execute("{ numbers { value } }", context_value=value)
        responses.append(json.dumps([result.data, [e.formatted for e in result.errors or ()]]))
    assert responses[0] == responses[1]


@strawberry.type
class Visit:
    at: datetime
    by: Owner | None


@strawberry.type
class Diary:
    @strawberry.field
    def visits(self, info: strawberry.Info) -> list[Visit]:
        found: list[Visit] = info.context
        return found


_ZONES = st.sampled_from(
    [None, UTC, ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=-3, minutes=-30))]
)


@given(st.lists(st.datetimes(timezones=_ZONES), max_size=4))
@settings(max_examples=100, deadline=None)
def test_moments_are_written_as_graphql_core_writes_them(moments: list[datetime]) -> None:
    """With and without a zone, with and without microseconds, of every year."""
    visits = [Visit(at=moment, by=None) for moment in moments]
    ours, general = _diaries(visits, "{ visits { at by { name } } }")
    assert ours == general
    assert [visit["at"] for visit in ours["visits"]] == [one.isoformat() for one in moments]


def test_an_object_that_comes_many_times_is_completed_for_each() -> None:
    """Few authors wrote all messages of a page."""
    anna, ben = Owner(name="Anna"), Owner(name="Ben")
    who = [anna, None, anna, anna, ben, None, anna]
    visits = [Visit(at=datetime(2026, 1, 1, tzinfo=UTC), by=one) for one in who]
    ours, general = _diaries(visits, "{ visits { by { name __typename } } }")
    assert ours == general
    names = [visit["by"] and visit["by"]["name"] for visit in ours["visits"]]
    assert names == ["Anna", None, "Anna", "Anna", "Ben", None, "Anna"]


def _diaries(visits: list[Visit], query: str) -> list[Any]:
    """The data, breadth first and as graphql-core alone gives it."""
    found = []
    for schema in (
        strawberry.Schema(Diary, execution_context_class=BreadthFirstExecution),
        strawberry.Schema(Diary),
    ):
        result = schema.execute_sync(query, context_value=visits)
        assert result.errors is None
        found.append(result.data)
    return found


CACHED = strawberry.Schema(
    Query,
    types=[Leaf],
    execution_context_class=BreadthFirstExecution,
    extensions=[DocumentCache().extension],
)


@given(
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4),
    st.lists(st.sampled_from(["trees", "wood", "gaps", "broken"]), min_size=1, max_size=4),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_an_operation_that_comes_again_gives_the_same(
    selected: list[str], lists: list[str], variables: list[tuple[bool, bool]]
) -> None:
    """What is kept of an operation never decides what its next execution gives."""
    fields = " ".join(selected)
    plain = " ".join(f"l{place}: {name} {{ {fields} }}" for place, name in enumerate(lists))
    varied = f"{lists[0]} {{ name {fields} words @include(if: $a) ...F @skip(if: $b) }}"
    fragment = "fragment F on Tree { later leaves { name } }"
    queries = (f"{{ {plain} }}", f"query($a: Boolean!, $b: Boolean!) {{ {varied} }} {fragment}")

    async def responses(schema: strawberry.Schema, general: bool) -> list[str]:
        found = []
        for a, b in variables:
            for query in queries:
                result = await schema.execute(
                    query,
                    variable_values={"a": a, "b": b} if query.startswith("query") else None,
                    context_value=Seen(general=general),
                )
                errors = [one.formatted for one in result.errors or ()]
                found.append(json.dumps([result.data, errors]))
        return found

    assert asyncio.run(responses(CACHED, False)) == asyncio.run(responses(GENERAL, True))


async def test_what_is_kept_of_an_operation_goes_with_it() -> None:
    """Plans are kept for cached documents and gone with them."""
    gc.collect()
    before = len(_plans)
    cache = DocumentCache(documents=1)
    schema = strawberry.Schema(
        Query, execution_context_class=BreadthFirstExecution, extensions=[cache.extension]
    )
    for query in ("{ trees { id } }", "{ trees { id } }", "{ trees { name leaves { number } } }"):
        result = await schema.execute(query, context_value=Seen())
        assert result.errors is None
    gc.collect()
    assert len(_plans) == before + 1
    del schema, cache, result
    gc.collect()
    assert len(_plans) == before
