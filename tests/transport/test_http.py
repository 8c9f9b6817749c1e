"""GraphQL over HTTP: methods, media types, statuses and what a client's bad input becomes."""

import json
import logging
from typing import Any

import httpx
import pytest
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension

from tests.transport.app import App, AppHooks, Journal, Query, QuietSchema
from transport.endpoint import GraphQLEndpoint, Rejected
from transport.errors import RequestError

pytestmark = pytest.mark.anyio

RESPONSE = "application/graphql-response+json"
JSON_TYPE = "application/json; charset=utf-8"


def errors_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The errors of a well-formed request error, each of which must have the right form."""
    body = response.json()
    assert set(body) == {"errors"}
    assert all(isinstance(error["message"], str) for error in body["errors"])
    assert {error["extensions"]["code"] for error in body["errors"]} == {"BAD_USER_INPUT"}
    errors: list[dict[str, Any]] = body["errors"]
    return errors


async def test_a_query_is_answered_with_its_data(client: httpx.AsyncClient) -> None:
    """A POST of JSON gives the data, uncached, with the request's id."""
    response = await client.post("/", json={"query": "{ hello }"}, headers={"accept": RESPONSE})
    assert response.status_code == 200
    assert response.json() == {"data": {"hello": "Hello world"}}
    assert response.headers["content-type"] == f"{RESPONSE}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert len(response.headers["x-request-id"]) == 32


async def test_variables_and_the_operation_name_are_used(client: httpx.AsyncClient) -> None:
    """Of several operations the named one runs, with its variables."""
    query = "query A($n: String!) { hello(name: $n) } query B { node { name } }"
    body = {"query": query, "operationName": "A", "variables": {"n": "Ada"}, "extensions": {"a": 1}}
    response = await client.post("/", json=body)
    assert response.json() == {"data": {"hello": "Hello Ada"}}


async def test_get_runs_a_query_from_the_url(client: httpx.AsyncClient) -> None:
    """GET takes the same parameters, variables as JSON; empty ones count as absent."""
    params = {
        "query": "query A($n: String!) { hello(name: $n) }",
        "variables": '{"n": "Zoë"}',
        "operationName": "",
        "extensions": "",
    }
    response = await client.get("/", params=params)
    assert response.status_code == 200
    assert response.json() == {"data": {"hello": "Hello Zoë"}}


async def test_a_mutation_by_get_is_refused_and_does_not_run(
    client: httpx.AsyncClient, app: App
) -> None:
    """A link must never change anything."""
    for accept in ("application/json", RESPONSE, "text/event-stream"):
        response = await client.get(
            "/", params={"query": "mutation { write }"}, headers={"accept": accept}
        )
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
        assert errors_of(response)[0]["message"] == "A mutation needs POST, not GET."
    assert app.journal.entries == ["enter", "exit"] * 3


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, method: str) -> None:
    """Only GET and POST are served, and the answer says so."""
    response = await client.request(method, "/")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    errors_of(response)


async def test_a_subscription_without_a_stream_is_refused(client: httpx.AsyncClient) -> None:
    """The error names the three ways to follow a subscription."""
    response = await client.post(
        "/", json={"query": "subscription { count }"}, headers={"accept": RESPONSE}
    )
    assert response.status_code == 400
    assert "graphql-transport-ws" in errors_of(response)[0]["message"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, application/json", RESPONSE),
        (f"application/json, {RESPONSE};q=0.9", "application/json"),
        (f"{RESPONSE};q=0.5, */*;q=0.1", RESPONSE),
        ("text/html, application/json;q=bogus, */*", "application/json"),
        ("APPLICATION/JSON; charset=utf-8", "application/json"),
        ('multipart/mixed;deferSpec="20220824", application/json', "application/json"),
    ],
)
async def test_the_media_type_is_negotiated(
    client: httpx.AsyncClient, accept: str | None, expected: str
) -> None:
    """The client's preference decides, and application/json where it has none."""
    del client.headers["accept"]
    headers = {} if accept is None else {"accept": accept}
    response = await client.post("/", json={"query": "{ hello }"}, headers=headers)
    assert response.status_code == (200 if "bogus" not in (accept or "") else response.status_code)
    assert response.headers["content-type"] == f"{expected}; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/html", "image/png, text/plain", "application/json;q=0"])
async def test_an_unknown_media_type_is_not_acceptable(
    client: httpx.AsyncClient, accept: str
) -> None:
    """A client that takes neither form of JSON gets 406, explained in JSON."""
    response = await client.post("/", json={"query": "{ hello }"}, headers={"accept": accept})
    assert response.status_code == 406
    assert response.headers["content-type"] == JSON_TYPE
    errors_of(response)


@pytest.mark.parametrize(
    "body",
    [
        {"query": "{"},
        {"query": "{ nothing }"},
        {"query": "query ($n: Int!) { double(number: $n) }", "variables": {"n": "x"}},
        {"query": "query A { hello }", "operationName": "B"},
        {"query": "fragment F on Query { hello }"},
        {"query": "\x00"},
        {"query": " "},
        {"query": '{ hello(name: "\ud800") }\x00'},
        {"query": "{ double(number: 1" + "0" * 5000 + ") }"},
        {"query": "query ($n: Int) { double(number: $n) }", "variables": {"n": 10**400}},
        {"query": "query ($n: Float) { double(factor: $n) }", "variables": {"n": 10**400}},
        {"query": "query ($n: Boolean) { double(flag: $n) }", "variables": {"n": 10**400}},
        {"query": "query ($n: Int) { double(number: $n) }", "variables": {"n": {"a": [1]}}},
        {"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": [["x"]]}},
    ],
)
async def test_a_refused_operation_gives_400_or_200_by_media_type(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """The newer media type carries the status 400; application/json carries 200."""
    for accept, status in ((RESPONSE, 400), ("application/json", 200)):
        response = await client.post(
            "/",
            content=json.dumps(body),
            headers={"accept": accept, "content-type": "application/json"},
        )
        assert (response.status_code, response.headers["content-type"]) == (
            status,
            f"{accept}; charset=utf-8",
        )
        errors_of(response)


async def test_a_bug_in_a_resolver_is_a_masked_field_error(client: httpx.AsyncClient) -> None:
    """The data of other fields stays, the status is 200, and no detail leaks."""
    response = await client.post("/", json={"query": "{ hello bug }"}, headers={"accept": RESPONSE})
    assert response.status_code == 200
    assert response.json() == {
        "data": {"hello": "Hello world", "bug": None},
        "errors": [
            {
                "message": "Internal server error.",
                "locations": [{"line": 1, "column": 9}],
                "path": ["bug"],
                "extensions": {"code": "INTERNAL_SERVER_ERROR"},
            }
        ],
    }


@pytest.mark.parametrize("accept", [RESPONSE, "application/json", "text/event-stream"])
async def test_a_bug_outside_any_field_gives_500_and_one_log_record(
    client: httpx.AsyncClient, app: App, caplog: pytest.LogCaptureFixture, accept: str
) -> None:
    """The log has the exception and the request's id; the client has neither the text nor more."""
    app.hooks.fail_operation = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        response = await client.post("/", json={"query": "{ hello }"}, headers={"accept": accept})
    assert response.status_code == 500
    message = "Internal server error."
    error = {"message": message, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
    assert response.json() == {"errors": [error]}
    assert len(caplog.records) == 1
    assert response.headers["x-request-id"] in caplog.records[0].getMessage()
    assert caplog.records[0].exc_info is not None


async def test_an_error_that_cannot_be_formatted_is_masked(
    client: httpx.AsyncClient,
    app: App,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failing format_error hides the error rather than the response."""

    def fail(error: object) -> dict[str, Any]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(app.hooks, "format_error", fail)
    response = await client.post("/", json={"query": "{ bug }"})
    assert response.status_code == 200
    assert response.json()["errors"][0]["message"] == "Internal server error."
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (4401, 401, "UNAUTHENTICATED"),
        (4403, 403, "FORBIDDEN"),
        (4429, 429, "RATE_LIMITED"),
    ],
)
async def test_a_rejected_client_learns_why(
    client: httpx.AsyncClient, app: App, code: int, status: int, name: str
) -> None:
    """Rejected over HTTP is an error with the matching code and status."""
    app.hooks.fail_operation = Rejected(code, "No")
    response = await client.post("/", json={"query": "{ hello }"}, headers={"accept": RESPONSE})
    assert response.status_code == status
    assert response.json() == {"errors": [{"message": "No", "extensions": {"code": name}}]}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GraphQLError("Too costly."), "Too costly."),
        (RecursionError(), "The operation is nested too deeply."),
    ],
)
async def test_a_hook_may_refuse_an_operation(
    client: httpx.AsyncClient, app: App, error: Exception, message: str
) -> None:
    """A GraphQLError on entering the operation is its request error."""
    app.hooks.fail_operation = error
    response = await client.post("/", json={"query": "{ hello }"}, headers={"accept": RESPONSE})
    assert response.status_code == 400
    assert errors_of(response)[0]["message"] == message


async def test_extensions_of_a_result_are_sent() -> None:
    """What Strawberry's extensions report stands beside the data."""

    class Cost(SchemaExtension):
        def get_results(self) -> dict[str, Any]:
            return {"cost": 1}

    journal = Journal()
    schema = QuietSchema(Query, extensions=[Cost])
    endpoint = GraphQLEndpoint(schema, AppHooks(journal))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint)) as client:
        response = await client.post("http://test/", json={"query": "{ hello }"})
    assert response.json() == {"data": {"hello": "Hello world"}, "extensions": {"cost": 1}}


async def test_the_context_gets_the_connection(client: httpx.AsyncClient) -> None:
    """The Authorization header arrives as it was sent, and logs and context share one id."""
    headers = {"authorization": "Bearer abc", "x-request-id": "trace-1234"}
    response = await client.post("/", json={"query": "{ viewer request }"}, headers=headers)
    data = response.json()["data"]
    assert data == {"viewer": "Bearer abc", "request": "trace-1234 trace-1234"}
    assert response.headers["x-request-id"] == "trace-1234"


@pytest.mark.parametrize("sent", ["short", "x" * 65, "with space in it", "inject\u00e9d-here"])
async def test_an_odd_request_id_is_replaced(client: httpx.AsyncClient, sent: str) -> None:
    """A request id is written into logs, so only harmless ones are taken over."""
    headers = {b"x-request-id": sent.encode("utf-8")}
    response = await client.post("/", json={"query": "{ hello }"}, headers=headers)
    assert len(response.headers["x-request-id"]) == 32


async def test_the_operation_context_is_left_after_each_operation(
    client: httpx.AsyncClient, app: App
) -> None:
    """Also after a refused one."""
    for query in ("{ hello }", "{", "{ bug }", "mutation { write }"):
        await client.post("/", json={"query": query})
    assert app.journal.entries == ["enter", "exit"] * 3 + ["enter", "write x", "exit"]


async def test_a_request_error_knows_its_form() -> None:
    """The transport's own errors have the form that GraphQL wants."""
    error = RequestError(400, "No.")
    assert error.formatted == {"message": "No.", "extensions": {"code": "BAD_USER_INPUT"}}
