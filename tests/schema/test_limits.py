"""Operations that ask for too much are refused before they run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
import strawberry
from graphql import build_schema as build_core
from graphql import get_operation_ast, parse

from schema.cost import measure
from schema.limits import OperationLimits, QueryLimits
from schema.root import build_schema
from tests.application import Running

pytestmark = pytest.mark.anyio

MESSAGES = "messages(first: 100) { edges { node { session { id %s } } } }"
LOGIN = 'login(input: {email: "a@b.example", password: "x"}) { __typename }'
LOGINS = "mutation { " + " ".join(f"a{n}: {LOGIN}" for n in range(100)) + " }"
SESSIONS = "sessions(first: 100) { edges { node { id %s } } }"


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ " + SESSIONS % (MESSAGES % (MESSAGES % "")) + " }", {}),
        (
            "query($n: Int) { sessions(first: $n) { edges { node { messages(first: $n) { edges {"
            " node { session { messages(first: $n) { edges { cursor } } } } } } } } } }",
            {"n": 100},
        ),
        (
            "{ node(id: 1) { ... on ChatMessage " + "{ parent " * 30 + "{ id }" + " }" * 31 + " }",
            {},
        ),
        ("{ " + " ".join(f"a{n}: me {{ id }}" for n in range(21)) + " }", {}),
        (
            "fragment A on ChatSession { ...B ...B } fragment B on ChatSession { "
            + MESSAGES % (MESSAGES % "")
            + " } { sessions { edges { node { ...A } } } }",
            {},
        ),
        (LOGINS, {}),
    ],
)
async def test_too_much_is_too_complex(
    scripted: Running, query: str, variables: dict[str, Any]
) -> None:
    """Nested pages, deep chains and many aliases get QUERY_TOO_COMPLEX, also through fragments,
    and again when the document comes from the cache."""
    token = await scripted.login()
    for _ in range(2):
        answer = await scripted.post(query, variables, token)
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"QUERY_TOO_COMPLEX"}
        assert answer.get("data") is None


@pytest.mark.parametrize(
    "query",
    [
        "{ " + SESSIONS % (MESSAGES % "") + " }",
        "{ sessions { edges { node { messages { edges { node { citations { quote } } } } } } } }",
    ],
)
async def test_what_a_page_needs_is_allowed(scripted: Running, query: str) -> None:
    """A full page of sessions with a full page of messages each is within the limits."""
    token = await scripted.login()
    assert "errors" not in await scripted.post(query, token=token)


async def test_introspection_is_within_the_limits(scripted: Running) -> None:
    """GraphiQL's introspection query is answered."""
    from graphql import get_introspection_query

    assert "__schema" in await scripted.data(get_introspection_query())


async def test_a_fragment_that_spreads_itself_is_refused(scripted: Running) -> None:
    """Such a document is invalid; computing its size ends."""
    query = "fragment A on User { ...B } fragment B on User { ...A } { me { ...A } }"
    answer = await scripted.post(query)
    assert all(error["extensions"]["code"] == "BAD_USER_INPUT" for error in answer["errors"])


def doubling(levels: int, field: str) -> str:
    """Fragments that each spread the next one twice: 2 to the power of `levels` fields."""
    fragments = "".join(
        f"fragment F{n} on ChatMessage {{ a: {field} {{ ...F{n + 1} }} "
        f"b: {field} {{ ...F{n + 1} }} }} "
        for n in range(levels)
    )
    return f"{{ node(id: 1) {{ ...F0 }} }} {fragments} fragment F{levels} on ChatMessage {{ id }}"


ATTACKS = {
    "1000 aliases": "{ node(id: 1) { " + " ".join(f"a{n}: id" for n in range(1000)) + " } }",
    "51 aliases": "{ node(id: 1) { " + " ".join(f"a{n}: id" for n in range(51)) + " } }",
    "aliases in a fragment": "{ x: node(id: 1) { ...F } y: node(id: 2) { ...F } } "
    "fragment F on Node { " + " ".join(f"a{n}: id" for n in range(26)) + " }",
    "fragment bomb": doubling(18, "parent"),
    "wide fragment bomb": doubling(6, "parent"),
    "one field 500 times": "{ me { " + "id " * 500 + "} }",
    "one field in many fragments": "{ me { ...A ...B } } "
    + "".join(f"fragment {name} on User {{ {'id ' * 150} }} " for name in "AB"),
    "directives": "{ me { id " + "@include(if: true) " * 51 + "} }",
    "directives on variables": "query("
    + " ".join(f"$v{n}: Int @skip(if: true)" for n in range(51))
    + ") { me { id } }",
    "tokens": "{ me { id } } " + "fragment A on User { id } " * 300,
    "comments and tokens": "{ me { " + "#\n id " * 1500 + " } }",
    "introspection 21 times": "{ " + " ".join(f"s{n}: __typename" for n in range(21)) + " }",
    "lists without pages": "{ sessions(first: 100) { edges { node { messages(first: 100) { edges {"
    " node { citations { quote } } } } } } } }",
}


@pytest.mark.parametrize("query", ATTACKS.values(), ids=ATTACKS)
async def test_attacks_are_too_complex(scripted: Running, query: str) -> None:
    """Floods of aliases, fragments, directives and tokens are refused by one error that says what
    to change, for somebody who is not logged in, too."""
    for _ in range(2):
        answer = await scripted.post(query)
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX", error
        assert "data" not in answer


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
        '{ __type(name: "User") { ...T } } fragment T on __Type { fields { type { ...U } } }'
        " fragment U on __Type { fields { type { fields { type { name } } } } }",
    ],
)
async def test_introspection_does_not_go_round(scripted: Running, query: str) -> None:
    """Types of fields of types of fields are refused."""
    assert await scripted.code(query) == "BAD_USER_INPUT"


async def test_a_thousand_levels_are_refused(scripted: Running) -> None:
    """The parser meets its limit before anything else does."""
    answer = await scripted.post("{ a" + "{ a" * 900 + " }" * 901)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] in {"BAD_USER_INPUT", "QUERY_TOO_COMPLEX"}


async def test_huge_variables_change_nothing(scripted: Running) -> None:
    """A page size is what it is, whatever else is sent; nobody multiplies by a thousand digits."""
    token = await scripted.login()
    query = "query($n: Int) { sessions(first: $n) { pageInfo { hasNextPage } } }"
    for value in (10**30, -(10**30), "1" * 5_000, [1] * 5_000, {"a": {"b": 1}}, True, 0.5):
        answer = await scripted.post(query, {"n": value, "other": "x" * 100_000}, token)
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}


async def test_the_cost_is_in_the_extensions(scripted: Running) -> None:
    """Each answer says what its operation counted as, and how much more it may ask for."""
    token = await scripted.login()
    query = (
        "query($n: Int = 30) { sessions(first: $n) { edges { node { messages { edges { cursor } } "
        "} } } }"
    )
    for variables, cost in (({}, 30 * 21), ({"n": 3}, 3 * 21), ({"n": None}, 20 * 21)):
        answer = await scripted.post(query, variables, token)
        assert answer["extensions"] == {
            "cost": {"requested": cost, "limit": 25_000, "left": 25_000 - cost}
        }


async def test_variables_decide(scripted: Running) -> None:
    """The same document is allowed with small pages and refused with large ones."""
    token = await scripted.login()
    query = (
        "query($n: Int!, $m: Int!) { sessions(first: $n) { edges { node { messages(first: $m) {"
        " edges { node { session { id } author { id } citations { quote } } } } } } } }"
    )
    assert "errors" not in await scripted.post(query, {"n": 10, "m": 10}, token)
    for _ in range(2):
        assert await scripted.code(query, {"n": 100, "m": 100}, token) == "QUERY_TOO_COMPLEX"
    assert "errors" not in await scripted.post(query, {"n": 10, "m": 10}, token)


SMALL = build_core("""
    type Query {
        self: Query
        things(first: Int, last: Int): [Query!]!
        list: [Query]
        name: String
    }
""")


@pytest.mark.parametrize(
    ("text", "variables", "cost"),
    [
        ("{ name }", None, 0),
        ("{ self { name } }", None, 1),
        ("{ self { self { name } } }", None, 2),
        ("{ list { name } }", None, 10),
        ("{ list { self { name } } }", None, 20),
        ("{ things { name } }", None, 20),
        ("{ things(first: 3) { self { name } } }", None, 6),
        ("{ things(last: 3) { list { name } } }", None, 33),
        ("{ things(first: 100000) { name } }", None, 100),
        ("{ things(first: -5) { name } }", None, 20),
        ("{ things(first: 1, last: 50) { name } }", None, 50),
        ("query($n: Int) { things(first: $n) { name } }", {"n": 7}, 7),
        ("query($n: Int) { things(first: $n) { name } }", None, 20),
        ("query($n: Int = 9) { things(first: $n) { name } }", {}, 9),
        ("query($n: Int) { things(first: $n) { name } }", {"n": -9}, 0),
        ("query($n: Int) { things(first: $n) { name } }", {"n": "x"}, 100),
        ("query($n: Int) { things(first: $n, last: 2) { name } }", {"n": 1}, 100),
        (
            "query($n: Int) { things(first: $n) { things(last: 2) { ...F } } } "
            "fragment F on Query { self { name } }",
            {"n": 3},
            15,
        ),
        ("{ ...F ...F } fragment F on Query { list { name } }", None, 20),
        ("{ nothing { name } unknown }", None, 0),
        ("{ ...F } fragment F on Query { self { ...F } }", None, 1),
    ],
)
def test_costs(text: str, variables: dict[str, Any] | None, cost: int) -> None:
    """Objects times page sizes; what is unknown costs nothing, since it is never executed."""
    document = parse(text)
    operation = get_operation_ast(document)
    assert operation is not None
    assert measure(SMALL, document, operation).value(variables) == cost


def test_a_document_is_measured_once() -> None:
    """The measure is kept as long as the document."""
    document = parse("{ self { name } }")
    operation = get_operation_ast(document)
    assert operation is not None
    first = measure(SMALL, document, operation)
    assert measure(SMALL, document, operation) is first


def test_a_bomb_of_variables_is_a_large_number() -> None:
    """Spreading pages of variable size twice in each of 30 fragments ends at once."""
    fragments = "".join(
        f"fragment F{n} on Query {{ things(first: $n) {{ ...F{n + 1} }} self {{ ...F{n + 1} }} }} "
        for n in range(30)
    )
    document = parse("query($n: Int) { ...F0 } " + fragments + "fragment F30 on Query { name }")
    operation = get_operation_ast(document)
    assert operation is not None
    assert measure(SMALL, document, operation).value({"n": 2}) > 25_000


def test_every_page_has_the_same_limits() -> None:
    """Each field with pages says how large they may be."""
    paged = [
        field.args["first"].description
        for kind in build_schema()._schema.type_map.values()
        for field in getattr(kind, "fields", {}).values()
        if "first" in getattr(field, "args", {})
    ]
    assert len(paged) >= 9
    assert {(text or "").partition("; ")[0] for text in paged} == {
        "How many from the start, 1 to 100",
        "How many at most, 1 to 50",
    }


@strawberry.type
class Slow:
    @strawberry.field
    async def slow(self) -> str:
        await asyncio.sleep(30)
        return "done"

    @strawberry.field
    async def fails(self) -> str:
        raise TimeoutError("its own")


@strawberry.type
class Ticks:
    @strawberry.subscription
    async def tick(self) -> AsyncGenerator[int, None]:
        await asyncio.sleep(0.05)
        yield 1


async def test_an_operation_has_its_time() -> None:
    """A query that takes too long is cancelled; a subscription is not, and other timeouts stay."""
    limits = QueryLimits(seconds=0.01)
    schema = strawberry.Schema(
        Slow, subscription=Ticks, extensions=[lambda: OperationLimits(limits)]
    )
    result = await schema.execute("{ slow }")
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": "OPERATION_TIMEOUT"}
    own = await schema.execute("{ fails }")
    assert own.errors is not None
    assert own.errors[0].message == "its own"
    results = [one async for one in await schema.stream("subscription { tick }")]
    assert [getattr(one, "data", None) for one in results] == [{"tick": 1}]
    (slow,) = [one async for one in await schema.stream("{ slow }")]
    assert "OPERATION_TIMEOUT" in str([error.extensions for error in getattr(slow, "errors", [])])


async def test_subscriptions_are_counted() -> None:
    """One more than allowed is refused; when one has ended there is room again. Others have their
    own number."""
    subscribed: Counter[str] = Counter()
    limits = QueryLimits(subscriptions=1)
    schema = strawberry.Schema(
        Slow, subscription=Ticks, extensions=[lambda: OperationLimits(limits, subscribed)]
    )

    def caller(address: str) -> Any:
        return SimpleNamespace(app=SimpleNamespace(viewer=None, address=address))

    async def begin(address: str) -> Any:
        stream = await schema.stream("subscription { tick }", context_value=caller(address))
        return stream, await anext(stream)

    first, result = await begin("192.0.2.1")
    assert result.data == {"tick": 1}
    second, refused = await begin("192.0.2.1")
    assert refused.errors[0].extensions["code"] == "RATE_LIMITED"
    other, result = await begin("192.0.2.2")
    assert result.data == {"tick": 1}
    for stream in (first, second, other):
        await stream.aclose()
    assert not subscribed
    again, result = await begin("192.0.2.1")
    assert result.data == {"tick": 1}
    await again.aclose()
