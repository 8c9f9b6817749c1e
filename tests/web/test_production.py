"""What strangers learn in production, and what browsers are told."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from graphql import get_introspection_query

from rag.embedding.base import Embedder
from tests.application import PASSWORD, Running, running_app, test_settings

pytestmark = pytest.mark.anyio

UNFIT = "The operation or its variables do not fit the schema."
REGISTER = "mutation($i: RegisterInput!) { register(input: $i) { __typename } }"


@pytest.fixture
async def production(
    sqlite_url: str, tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> AsyncIterator[Running]:
    settings = test_settings(
        tmp_path, sqlite_url, production=True, public_url="https://chat.example"
    )
    async with running_app(settings, embedder=embedder) as app:
        yield app


async def test_strangers_learn_no_names(production: Running) -> None:
    """No introspection, no suggestions, no positions: one sentence for everything that is wrong
    with an operation. Who is logged in sees the schema, and messages without suggestions."""
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("{ m }", {}),
        ("{ mee { id } }", {}),
        ("{ me }", {}),
        ("{ me { passwort } }", {}),
        ("{ me(x: 1) { id } }", {}),
        ("{ node { id } }", {}),
        ("query($i: RegisterInpu!) { me { id } }", {}),
        ("query { me { ... on Usr { id } } }", {}),
        ("{ me @skp(if: true) { id } }", {}),
        (REGISTER, {"i": {"emal": "a@b.example"}}),
        (REGISTER, {"i": {"email": 1, "password": "x"}}),
        (REGISTER, {}),
        ('mutation { register(input: {emai: "x"}) { __typename } }', {}),
    ]
    for query, variables in wrong:
        answer = await production.post(query, variables)
        for error in answer["errors"]:
            assert error == {"message": UNFIT, "extensions": {"code": "BAD_USER_INPUT"}}, query
    for query in (get_introspection_query(), '{ __type(name: "User") { name } }'):
        assert await production.code(query) == "UNAUTHENTICATED"
    assert await production.data("{ __typename }") == {"__typename": "Query"}
    token = await production.login()
    assert "__schema" in await production.data(get_introspection_query(), token=token)
    (error,) = (await production.post("{ me { emai } }", token=token))["errors"]
    assert error["message"] == "Cannot query field 'emai' on type 'User'."
    base = production.url.removesuffix("/graphql")
    assert (await production.http.get(f"{base}/graphiql/")).status_code == 404


@pytest.mark.parametrize(
    "form",
    [
        "{ FIELD oo }",
        "{ FIELD(first: 30000) { edges { node { id } } } oo }",
        "{ FIELD { id } " + "oo " * 20 + "}",
        "mutation { FIELD oo }",
        "{ FIELD @oo }",
    ],
)
async def test_no_form_tells_a_field_from_a_word(production: Running, form: str) -> None:
    """What an operation would cost is told to strangers only if it fits: a field that is there
    costs something, and a word list would find all of them, twenty at a time."""
    answers = {
        json.dumps(await production.post(form.replace("FIELD", field)))
        for field in ("sessions", "users", "searchKnowledge", "deleteAccount", "terry")
    }
    assert len(answers) == 1, answers
    guesses = {
        json.dumps(await production.post(REGISTER, {"i": {field: "x", "oo": 1}}))
        for field in ("email", "displayName", "terry")
    }
    assert len(guesses) == 1, guesses
    token = await production.login()
    assert "cost" in (await production.post("{ sessions oo }", token=token))["extensions"]


def test_graphiql_is_there_if_it_is_switched_on(tmp_path: Path) -> None:
    """In production only by its own setting."""
    url = "sqlite://x"
    assert test_settings(tmp_path, url).serves_graphiql
    assert not test_settings(tmp_path, url, production=True).serves_graphiql
    assert test_settings(tmp_path, url, production=True, graphiql=True).serves_graphiql
    assert not test_settings(tmp_path, url, graphiql=False).serves_graphiql


async def test_headers_of_every_answer(production: Running) -> None:
    """Answers, pages and errors have them; a page keeps the policy of its own."""
    base = production.url.removesuffix("/graphql")
    for path in ("/graphql", "/healthz", "/nothing", "/", "/verify-email", "/mail-page.js"):
        headers = (await production.http.get(base + path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        for directive in ("frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"):
            assert directive in headers["content-security-policy"]
        assert "set-cookie" not in headers
    assert (
        "script-src 'self'"
        in ((await production.http.get(f"{base}/verify-email")).headers["content-security-policy"])
    )


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_no_page_can_forge_a_request(production: Running, kind: str) -> None:
    """What a browser sends to others without asking is refused, and a GET changes nothing."""
    headers = {"content-type": kind, "origin": "https://evil.example"}
    body = '{"query": "mutation { logout { ok } }"}'
    response = await production.http.post(production.url, content=body, headers=headers)
    assert response.status_code == 415
    assert "access-control-allow-origin" not in response.headers
    response = await production.http.get(
        production.url, params={"query": "mutation { logout { ok } }"}
    )
    assert response.status_code == 405


async def test_secrets_reach_no_log(production: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords, tokens and keys of many good and bad requests are in no log line, no error and no
    repr."""
    caplog.set_level(logging.DEBUG, "groundql")
    token = await production.login("canary@example.com")
    canary = "canary-7f3a"
    login = "mutation($i: LoginInput!) { login(input: $i) { __typename } }"
    answers = []
    for query, variables, sent in (
        (login, {"i": {"email": "canary@example.com", "password": canary}}, None),
        (login, {"i": {"email": canary, "password": [canary]}}, None),
        (f'mutation {{ refreshTokens(refreshToken: "{canary}") {{ __typename }} }}', {}, None),
        (f'mutation {{ login(input: {{password: "{canary}"}}) {{ __typename }} }}', {}, None),
        (f"{{ {canary.replace('-', '_')} }}", {}, token),
        ("{ me { id } }", {}, canary),
        ("{ me { id } }", {}, f"{token[:-4]}{canary}"),
        ("{ " * 3000 + canary, {}, token),
    ):
        answers.append(await production.post(query, variables, sent))
    text = caplog.text
    for secret in (canary, PASSWORD, token, production.settings.secret_key.get_secret_value()):
        assert secret not in text
        assert secret not in repr(production.settings)
    assert canary not in str(answers)
