"""Operations that ask for too much are refused before they run."""

from __future__ import annotations

from typing import Any

import pytest

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
            {"n": 1},
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
