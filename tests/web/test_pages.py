"""The addresses beside /graphql, and CORS."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from rag.embedding.base import Embedder
from tests.application import Running, running_app, test_settings, write_documents

pytestmark = pytest.mark.anyio


def base(app: Running) -> str:
    return app.url.removesuffix("/graphql")


async def test_graphiql_comes_from_our_own_files(scripted: Running) -> None:
    """The page and its assets are served with a policy that allows no other host."""
    page = await scripted.http.get(f"{base(scripted)}/graphiql/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert not re.findall(r"https?://(?!www\.w3\.org)", page.text)
    assets = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page.text)
    assert assets
    for asset in assets:
        response = await scripted.http.get(f"{base(scripted)}/graphiql/{asset}")
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    redirect = await scripted.http.get(f"{base(scripted)}/graphiql")
    assert redirect.status_code in (307, 308)


async def test_the_pages_that_mails_link_to(scripted: Running) -> None:
    """A password is masked, may be pasted, and is offered to password managers; what the server
    answers is shown as text, and nothing is loaded from elsewhere."""
    page = (await scripted.http.get(f"{base(scripted)}/reset-password")).text
    (field,) = re.findall(r"<input [^>]*>", page)
    assert 'type="password"' in field
    assert 'autocomplete="new-password"' in field
    script = (await scripted.http.get(f"{base(scripted)}/mail-page.js")).text
    for name in ("verify-email", "reset-password", "confirm-email-change"):
        page = (await scripted.http.get(f"{base(scripted)}/{name}")).text
        assert re.findall(r"<script[^>]*>", page) == ['<script src="mail-page.js">']
        assert "outcome.textContent = " in script
        for sign in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
            assert sign not in script
        for sign in ("onpaste", "oncopy", "://", 'autocomplete="off"'):
            assert sign not in page + script


async def test_no_path_leaves_the_bundle(scripted: Running) -> None:
    """Files outside graphiql/dist cannot be read."""
    for path in ("../src/main.tsx", "%2e%2e/package.json", "..%2f..%2fserver.py"):
        response = await scripted.http.get(f"{base(scripted)}/graphiql/{path}")
        assert response.status_code == 404


async def test_graphiql_can_be_switched_off(
    sqlite_url: str, tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> None:
    """With GRAPHIQL=false there is no such page, and the start page does not name it."""
    settings = test_settings(tmp_path, sqlite_url, graphiql=False)
    async with running_app(settings, embedder=embedder) as app:
        assert (await app.http.get(f"{base(app)}/graphiql/")).status_code == 404
        assert "graphiql" not in (await app.http.get(f"{base(app)}/")).text


async def test_readiness_follows_the_first_indexing(
    tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> None:
    """/healthz answers at once, /readyz says 503 until the folder is indexed, then 200; a
    question that was asked before is answered then."""
    write_documents(tmp_path / "kb")
    settings = test_settings(tmp_path, f"sqlite://{tmp_path / 'fresh.db'}")
    async with running_app(settings, embedder=embedder) as app:
        assert (await app.http.get(f"{base(app)}/healthz")).json() == {"status": "ok"}
        early = await app.http.get(f"{base(app)}/readyz")
        assert early.status_code == 503
        assert early.json()["status"] == "indexing"
        for _ in range(600):
            response = await app.http.get(f"{base(app)}/readyz")
            if response.status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert response.json()["status"] == "ready"
        assert response.json()["documents"] == response.json()["ready"] == 4


async def test_cors_is_an_allow_list(
    sqlite_url: str, tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> None:
    """Only the origins of ALLOWED_ORIGINS may call from a browser."""
    settings = test_settings(tmp_path, sqlite_url, allowed_origins="https://shop.example")
    async with running_app(settings, embedder=embedder) as app:
        for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
            response = await app.http.options(
                app.url,
                headers={
                    "origin": origin,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization, content-type",
                },
            )
            assert (response.headers.get("access-control-allow-origin") == origin) is allowed
            assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b'"x"',
        b"[]",
        b"1",
        b"\xff\xfe",
        b'{"query": "{ me { id } }", "variables": {"a": ' + b"9" * 5000 + b"}}",
        b"[" * 100_000,
        b'{"query":' * 10_000,
        b'{"query": null}',
        b'{"query": 1}',
        b'{"query": "{ me { id } }", "variables": "x"}',
        b'{"query": "' + b"{ a " * 20_000 + b'"}',
        b"",
    ],
)
async def test_no_body_breaks_the_application(scripted: Running, body: bytes) -> None:
    """Whatever is sent gets a well-formed error of the 4xx kind."""
    response = await scripted.http.post(
        scripted.url, content=body, headers={"content-type": "application/json"}
    )
    assert 400 <= response.status_code < 500 or (
        response.status_code == 200 and response.json()["errors"]
    )
    for error in response.json()["errors"]:
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert "Traceback" not in error["message"]
