"""Operations sent by their hash, and trusted ones."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.transport.app import App, build_app
from transport.body import Parameters
from transport.errors import RequestError
from transport.persisted import PersistedQueries

pytestmark = pytest.mark.anyio

HELLO = "{ hello }"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def by_hash(digest: Any, version: Any = 1) -> dict[str, Any]:
    return {"persistedQuery": {"version": version, "sha256Hash": digest}}


async def post(client: httpx.AsyncClient, **body: Any) -> tuple[int, Any]:
    response = await client.post("/graphql", json=body)
    return response.status_code, response.json()


async def test_a_hash_is_enough_after_the_first_time(client: httpx.AsyncClient) -> None:
    """Apollo's steps: not found, both, then the hash alone, by POST and by GET."""
    extensions = by_hash(sha(HELLO))
    status, answer = await post(client, extensions=extensions)
    assert status == 200
    assert answer["errors"] == [
        {
            "message": "PersistedQueryNotFound",
            "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
        }
    ]
    for body in ({"query": HELLO, "extensions": extensions}, {"extensions": extensions}):
        assert await post(client, **body) == (200, {"data": {"hello": "Hello world"}})
    got = await client.get("/graphql", params={"extensions": json.dumps(extensions)})
    assert got.json() == {"data": {"hello": "Hello world"}}


@pytest.mark.parametrize(
    "extensions",
    [
        by_hash(sha("{ node { name } }")),
        by_hash("0" * 64),
        by_hash(1),
        by_hash(sha(HELLO), version=2),
        {"persistedQuery": "x"},
    ],
)
async def test_nobody_stores_a_document_under_another_hash(
    client: httpx.AsyncClient, extensions: dict[str, Any]
) -> None:
    """A wrong hash is refused, and leaves nothing behind."""
    status, answer = await post(client, query=HELLO, extensions=extensions)
    assert status == 400
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    status, answer = await post(client, extensions=by_hash(sha("{ node { name } }")))
    assert answer["errors"][0]["message"] == "PersistedQueryNotFound"


def test_the_store_is_bounded() -> None:
    """The least used of a thousand goes, and a long one is not kept."""
    queries = PersistedQueries()
    for number in range(1_001):
        text = f"{{ a{number} }}"
        queries.complete(Parameters(text, None, None, by_hash(sha(text))))
    assert len(queries) == 1_000
    long = "{ hello }" + " " * 20_000
    assert queries.complete(Parameters(long, None, None, by_hash(sha(long)))).query == long
    assert len(queries) == 1_000
    with pytest.raises(RequestError):
        queries.complete(Parameters("", None, None, by_hash(sha("{ a0 }"))))


async def test_only_trusted_documents_run() -> None:
    """By hash or by text; any other is refused, over HTTP with 400."""
    app: App = build_app()
    app.endpoint._persisted = PersistedQueries({sha(HELLO): HELLO})
    transport = httpx.ASGITransport(app.endpoint)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        good: list[dict[str, Any]] = [{"query": HELLO}, {"extensions": by_hash(sha(HELLO))}]
        for body in good:
            assert await post(client, **body) == (200, {"data": {"hello": "Hello world"}})
        other = "{ hello(name: 1) }"
        bad: list[dict[str, Any]] = [
            {"query": other},
            {"query": HELLO + " "},
            {"query": other, "extensions": by_hash(sha(other))},
            {"extensions": by_hash(sha(other))},
        ]
        for body in bad:
            status, answer = await post(client, **body)
            assert status == 400
            assert answer["errors"][0]["extensions"]["code"] == "OPERATION_NOT_TRUSTED"
