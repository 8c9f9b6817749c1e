"""The checks of graphql-cop, which is not packaged: each under the name that the tool gives it,
against a server in production mode and against one as `make run` starts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.attack.conftest import Target, target

CIRCULAR = "{ __schema { types " + "{ fields { type " * 4 + "{ name }" + " } }" * 4 + " } }"
MANY_ALIASES = " ".join(f"alias{number}: __typename" for number in range(101))
FRAGMENTS = "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("open")) as made:
        yield made


@pytest.fixture(params=["production", "open_server"])
def server(request: pytest.FixtureRequest) -> Target:
    made: Target = request.getfixturevalue(request.param)
    return made


def codes(answer: Any) -> list[str]:
    return [error["extensions"]["code"] for error in answer["errors"]]


@pytest.mark.parametrize(
    ("check", "query"),
    [
        ("Alias Overloading", f"query cop {{ {MANY_ALIASES} }}"),
        ("Directive Overloading", "query cop { __typename @aa" + "@aa" * 50 + " }"),
        ("Field Duplication", "query cop { " + "__typename " * 500 + "}"),
        ("Introspection-based Circular Query", CIRCULAR),
        ("Circular Query using Circular Fragments", FRAGMENTS),
    ],
    ids=lambda value: value if " " in value and "{" not in value else "",
)  # fmt: skip
def test_denial_of_service(server: Target, check: str, query: str) -> None:
    """Refused before it runs, and nothing of it is answered."""
    answer = server.post(query)
    assert set(codes(answer)) <= {"QUERY_TOO_COMPLEX", "UNAUTHENTICATED", "BAD_USER_INPUT"}, check
    assert answer.get("data") is None


def test_array_based_query_batching(server: Target) -> None:
    """A list of operations is no request."""
    response = server.http.post(server.url, json=[{"query": "{ __typename }"}] * 10)
    assert response.status_code == 400
    assert codes(response.json()) == ["BAD_USER_INPUT"]


def test_field_suggestions(production: Target) -> None:
    """A misspelt field is answered without the right one."""
    text = str(production.post("query cop { __schema { directive } } "))
    assert "Did you mean" not in text
    assert "directives" not in text


def test_introspection(production: Target) -> None:
    assert codes(production.post("query cop { __schema { types { name } } }")) == [
        "UNAUTHENTICATED"
    ]


def test_get_method_query_support(server: Target) -> None:
    """A query by GET is offered. It cannot be forged: without a cookie it is nobody's, and a page
    of another origin may not read the answer."""
    response = server.http.get(
        server.url,
        params={"query": "query cop { __typename }"},
        headers={"origin": "https://evil.example"},
    )
    assert response.json()["data"] == {"__typename": "Query"}
    assert "access-control-allow-origin" not in response.headers
    assert "set-cookie" not in response.headers


def test_mutation_is_allowed_over_get(server: Target) -> None:
    response = server.http.get(server.url, params={"query": "mutation cop { __typename }"})
    assert response.status_code == 405


@pytest.mark.parametrize("verb", ["POST", "GET"])
def test_post_based_url_encoded_query_possible_csrf(server: Target, verb: str) -> None:
    """A form that any page can send is refused."""
    response = server.http.request(verb, server.url, data={"query": "query cop { __typename }"})
    assert response.status_code in (400, 415)


def test_graphql_ide(production: Target) -> None:
    """No GraphiQL and no Playground, wherever the tool looks."""
    for path in ("/", "/graphiql", "/playground", "/console", "/graphql", "/graphiql/"):
        text = production.http.get(
            production.process.url + path, headers={"accept": "text/html"}, follow_redirects=True
        ).text
        for sign in ("graphql-playground", "GraphQL Playground", "graphiql.min", "GraphiQL"):
            assert sign not in text, path


@pytest.mark.parametrize("headers", [{}, {"x-apollo-tracing": "1"}, {"apollo-tracing": "true"}])
def test_trace_mode(server: Target, headers: dict[str, str]) -> None:
    """No answer carries traces or times."""
    response = httpx.post(server.url, json={"query": "{ __typename }"}, headers=headers)
    assert set(response.json()["extensions"]) == {"cost"}


def test_unhandled_errors_detection(server: Target) -> None:
    """What cannot be parsed is a request error with a code, without a stack trace."""
    for query in ("qwerty cop { abc }", "", "{", "\0", "query cop { __typename } }"):
        answer = server.post(query)
        assert codes(answer) == ["BAD_USER_INPUT"], query
        for sign in ("Traceback", "exception", 'File "'):
            assert sign not in str(answer)


def test_the_servers_never_stumbled(server: Target) -> None:
    server.never_stumbled()
