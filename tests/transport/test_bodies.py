"""What a client's bad input becomes: bodies, URLs, depths and odd values."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.transport.app import App, build_app

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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b'"x"',
        b"[]",
        b'[{"query": "{ hello }"}]',
        b"1",
        b"true",
        b"{}",
        b"{",
        b'{"query": "{ hello }"} x',
        b"\xff\xfe{",
        '{"query": "{ hello }"}'.encode("utf-16"),
        '{"query": "{ hello }"}'.encode("utf-8-sig"),
        b'{"query": "{ hello }", "variables": {"n": ' + b"1" * 5000 + b"}}",
        b"[" * 100_000,
        b'{"query": "{ hello }", "variables": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"query": "{ hello }", "query": "{ hello }"}',
        b'{"query": "{ hello }", "variables": {"n": NaN}}',
        b'{"query": "{ hello }", "variables": {"n": -Infinity}}',
        b'{"query": "{ hello }", "variables": "x"}',
        b'{"query": "{ hello }", "variables": []}',
        b'{"query": "{ hello }", "extensions": "x"}',
        b'{"query": "{ hello }", "extensions": [1]}',
        b'{"query": "{ hello }", "operationName": 5}',
        b'{"query": "{ hello }", "operationName": ["A"]}',
        b'{"query": 1}',
        b'{"query": null}',
        b'{"query": ""}',
        b'{"query": ["{ hello }"]}',
        b'{"variables": {}}',
    ],
    ids=lambda content: content[:40].decode("latin-1"),
)
async def test_a_malformed_body_gives_400(
    client: httpx.AsyncClient, app: App, content: bytes
) -> None:
    """Whatever is not one GraphQL request in strict JSON is refused before any hook runs."""
    for accept in (RESPONSE, "application/json"):
        response = await client.post(
            "/", content=content, headers={"accept": accept, "content-type": "application/json"}
        )
        assert response.status_code == 400
        assert response.headers["content-type"] == f"{accept}; charset=utf-8"
        errors_of(response)
    assert app.journal.entries == []


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/?query=",
        "/?query={hello}&variables={",
        "/?query={hello}&variables=[]",
        "/?query={hello}&variables=%22x%22",
        "/?query={hello}&extensions=1",
        "/?query={hello}&query={hello}",
        "/?query=%ff",
        "/?query=" + quote("{" * 30),
        "/?" + "&".join(f"a{n}=1" for n in range(100)),
        "/?query={hello}&variables=" + "[" * 5000,
    ],
)
async def test_a_malformed_url_gives_400(client: httpx.AsyncClient, url: str) -> None:
    """GET is held to the same rules as POST."""
    response = await client.get(url, headers={"accept": RESPONSE})
    assert response.status_code == 400
    errors_of(response)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json-patch+json",
        "multipart/form-data; boundary=x",
    ],
)
async def test_other_content_types_are_unsupported(
    client: httpx.AsyncClient, content_type: str | None
) -> None:
    """A form that another site can post without asking is never taken for a request."""
    headers = {} if content_type is None else {"content-type": content_type}
    response = await client.post("/", content=b'{"query": "{ hello }"}', headers=headers)
    assert response.status_code == 415
    errors_of(response)


async def test_a_compressed_body_is_unsupported(client: httpx.AsyncClient) -> None:
    """No compressed bombs."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await client.post("/", content=b"x", headers=headers)).status_code == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", 'application/json; charset="UTF-8"', "Application/JSON"]
)
async def test_json_content_types_are_supported(
    client: httpx.AsyncClient, content_type: str
) -> None:
    """The type's case and a charset of UTF-8 do not matter."""
    response = await client.post(
        "/", content='{"query": "{ hello }"}', headers={"content-type": content_type}
    )
    assert response.json() == {"data": {"hello": "Hello world"}}


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 20 * 1024 * 1024])
async def test_a_body_over_the_limit_gives_413(client: httpx.AsyncClient, size: int) -> None:
    """However long it is, with or without a length."""

    async def chunks() -> Any:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    for content in (b" " * size, chunks()):
        response = await client.post(
            "/", content=content, headers={"content-type": "application/json"}
        )
        assert response.status_code == 413
        errors_of(response)


async def test_a_body_at_the_limit_is_read() -> None:
    """The limit itself is allowed."""
    app = build_app(body_bytes=64)
    body = b'{"query": "{ hello }"}'.ljust(64)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        response = await client.post(
            "http://test/", content=body, headers={"content-type": "application/json"}
        )
    assert response.json() == {"data": {"hello": "Hello world"}}


async def test_a_query_of_more_than_a_megabyte_gives_413() -> None:
    """However large a body may be: reading it as GraphQL would hold everyone up."""
    app = build_app(body_bytes=4 * 1024 * 1024)
    body = {"query": "{ hello }".ljust(1024 * 1024)}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        assert (await client.post("http://test/", json=body)).status_code == 200
        response = await client.post("http://test/", json={"query": body["query"] + " "})
    assert response.status_code == 413
    assert "send values as variables" in errors_of(response)[0]["message"]


async def test_a_body_that_comes_too_slowly_gives_408() -> None:
    """A client may not hold a request open by sending nothing."""
    app = build_app(body_seconds=0.05)

    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(10)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        response = await client.post(
            "http://test/", content=never(), headers={"content-type": "application/json"}
        )
    assert response.status_code == 408
    errors_of(response)


@pytest.mark.parametrize(
    "query",
    [
        "{" * 10_000,
        "{ node " + "{ child " * 10_000 + "{ name }" + "}" * 10_001,
        "query ($v: JSON!) { anything(value: " + "[" * 10_000 + "]" * 10_000 + ") }",
        "query ($v: " + "[" * 10_000 + "Int" + "]" * 10_000 + ") { hello }",
        "{ ...a0 } "
        + " ".join(f"fragment a{n} on Query {{ ...a{n + 1} }}" for n in range(2000))
        + " fragment a2000 on Query { hello }",
    ],
    ids=["braces", "fields", "list literal", "list type", "fragments"],
)
async def test_a_document_nested_too_deeply_is_refused(
    client: httpx.AsyncClient, query: str
) -> None:
    """Parser, validation and execution recurse; none of them may take the server down."""
    response = await client.post("/", json={"query": query}, headers={"accept": RESPONSE})
    assert response.status_code == 400
    errors_of(response)


@pytest.mark.parametrize("depth", [50, 100, 150, 200, 250, 300, 400])
async def test_depths_near_the_stack_limit_never_fail_as_a_bug(
    client: httpx.AsyncClient, depth: int
) -> None:
    """Between what works and what does not parse, every depth gives data or the client's error."""
    query = "{ node " + "{ child " * depth + "{ name }" + "}" * (depth + 1)
    response = await client.post("/", json={"query": query}, headers={"accept": RESPONSE})
    assert response.status_code in (200, 400)
    for error in response.json().get("errors", []):
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_deep_variables_never_fail_as_a_bug(client: httpx.AsyncClient) -> None:
    """A JSON scalar may be nested as deeply as the parser allows."""
    for depth in (100, 300, 600, 900, 950, 980):
        text = "[" * depth + "]" * depth
        body = '{"query": "query ($v: JSON!) { anything(value: $v) }", "variables": {"v": %s}}'
        response = await client.post(
            "/",
            content=body % text,
            headers={"accept": RESPONSE, "content-type": "application/json"},
        )
        assert response.status_code in (200, 400)
        for error in response.json().get("errors", []):
            assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_an_infinite_literal_is_an_error_of_its_field(client: httpx.AsyncClient) -> None:
    """graphql-core reads 1e999 as infinity, which no response can carry."""
    body = {"query": "{ double(factor: 1e999) anything(value: 1e999) }"}
    response = await client.post("/", json=body, headers={"accept": RESPONSE})
    assert response.status_code == 200
    assert response.json()["data"] is None


async def test_odd_values_come_back_exactly(client: httpx.AsyncClient) -> None:
    """Lone surrogates, NUL and large integers reach the resolver and leave as valid JSON."""
    value = {"text": "\ud800 \x00 é 🏊", "number": 2**70, "list": [-(2**64), 1.5]}
    response = await client.post(
        "/",
        content=json.dumps(
            {"query": "query ($v: JSON!) { anything(value: $v) }", "variables": {"v": value}}
        ),
        headers={"content-type": "application/json"},
    )
    assert response.content.decode("utf-8")
    assert response.json() == {"data": {"anything": value}}


async def test_prototype_names_are_ordinary_names(client: httpx.AsyncClient) -> None:
    """Python has no prototypes to pollute; the names pass as data."""
    value = {"__proto__": {"a": 1}, "constructor": None, "__class__": "x"}
    body = {"query": "query ($v: JSON!) { anything(value: $v) }", "variables": {"v": value}}
    assert (await client.post("/", json=body)).json() == {"data": {"anything": value}}
