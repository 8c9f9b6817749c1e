"""The log of requests, and what is in no log at all."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest

from rag.embedding.fake import FakeEmbedder
from rag.generation.scripted import ScriptedGenerator
from resolvers.context import Services
from tests.application import PASSWORD, Running, copy_sqlite, running_app, test_settings
from tests.schema.test_passwords import newest_link
from web.logs import JsonFormatter, TextFormatter

pytestmark = pytest.mark.anyio

MARK = "Zirbelnuss"
WEBHOOK = "whsec_" + "Wm" * 16


@pytest.fixture
async def app(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "kb").mkdir()
    settings = test_settings(
        tmp_path,
        copy_sqlite(empty_sqlite, tmp_path),
        log_requests=True,
        webhook_secret=WEBHOOK,
        openai_api_key=f"sk-{MARK}",
    )
    generator = ScriptedGenerator([f"{MARK} it is."])
    async with running_app(settings, embedder=FakeEmbedder(), generator=generator) as running:
        running.services.store.bind()
        await running.services.knowledge.pipeline()
        yield running


@contextmanager
def logged() -> Iterator[list[str]]:
    """Every line of every logger of ours, in both forms and at every level."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))
            record.request_id = getattr(record, "request_id", "-")
            lines.append(TextFormatter().format(record))

    collector, root, ours = Collector(), logging.getLogger(), logging.getLogger("groundql")
    root.addHandler(collector)
    level = ours.level
    ours.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        ours.setLevel(level)
        root.removeHandler(collector)


def requests(lines: list[str]) -> list[dict[str, Any]]:
    """The lines of the log of requests, parsed."""
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in found if one["logger"] == "groundql.requests"]


async def test_a_line_for_each_operation(app: Running) -> None:
    """Its id is the client's own, and comes back in the response; who, what and how it ended stand
    beside it, also for what was refused before it ran."""
    token = await app.login()
    me = (await app.data("{ me { id } }", token=token))["me"]["id"]
    headers = {"content-type": "application/json", "x-request-id": "client-id-12345"}
    named = "query Who { me { id } }"
    calls: list[tuple[dict[str, str], str]] = [
        ({**headers, "authorization": f"Bearer {token}"}, json.dumps({"query": named})),
        (headers, json.dumps({"query": "mutation { logout { ok } }"})),
        (headers, json.dumps({"query": '{ searchMessages(query: "query Secret") { nope } }'})),
        (headers, "[1"),
        ({**headers, "x-request-id": "bad id\n"[:6]}, json.dumps({"query": "{ __typename }"})),
        (headers, json.dumps({"query": "{ __typename }", "operationName": f"x {MARK}"})),
    ]
    with logged() as lines:
        answers = [
            await app.http.post(app.url, headers=headers, content=body) for headers, body in calls
        ]
    found = requests(lines)
    assert [one["status"] for one in found] == [answer.status_code for answer in answers]
    assert [one["request_id"] for one in found] == [a.headers["x-request-id"] for a in answers]
    assert [one["request_id"] == "client-id-12345" for one in found] == [True] * 4 + [False, True]
    assert [one["operation"] for one in found] == ["Who", None, None, None, None, None]
    assert [one["errors"] for one in found] == [
        [],
        ["UNAUTHENTICATED"],
        ["BAD_USER_INPUT"],
        ["BAD_USER_INPUT"],
        [],
        ["BAD_USER_INPUT"],
    ]
    assert [one["user_id"] is not None for one in found] == [True] + [False] * 5
    assert me != found[0]["user_id"]  # the row's id, as everywhere in the log
    assert found[0]["document"] == hashlib.sha256(named.encode()).hexdigest()
    assert found[3]["document"] is None
    assert all(one["ms"] >= 0 and one["address"] == "127.0.0.1" for one in found)
    assert MARK not in "".join(lines)
    assert "Secret" not in "".join(lines)


async def test_a_line_for_each_operation_of_a_socket(app: Running) -> None:
    """Written once it has ended; the ids are the socket's with a number. An error of ours names it
    in its extensions, too."""
    token = await app.login()
    with logged() as lines:
        async with app.socket(token) as socket:
            for number, query in enumerate(("query A { me { id } }", "{ nope }"), start=1):
                message = {"id": str(number), "type": "subscribe", "payload": {"query": query}}
                await socket.send(json.dumps(message))
                while json.loads(await socket.recv())["type"] not in ("complete", "error"):
                    pass
    first, second = requests(lines)
    assert re.fullmatch("[0-9a-f]{32}.1", first["request_id"])
    assert second["request_id"] == first["request_id"][:-1] + "2"
    assert (first["operation"], first["status"], first["kind"]) == ("A", None, "websocket")
    assert (first["errors"], second["errors"]) == ([], ["BAD_USER_INPUT"])
    assert first["user_id"] == second["user_id"] is not None


async def test_errors_of_ours_can_be_quoted(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their extensions name the request as the response's header and the log do."""
    token = await app.login()
    monkeypatch.setattr(Services, "attempts", None)
    with logged() as lines:
        response = await app.http.post(
            app.url,
            json={"query": 'mutation { requestPasswordReset(email: "a@example.com") { ok } }'},
            headers={"authorization": f"Bearer {token}"},
        )
    (error,) = response.json()["errors"]
    chosen = response.headers["x-request-id"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": chosen}
    assert chosen in error["message"]
    assert [one["request_id"] for one in requests(lines)] == [chosen]
    assert any("Unexpected error" in line and chosen in line for line in lines)


async def test_other_addresses_have_an_id_too(app: Running) -> None:
    """With the path, and without what stands behind its question mark."""
    base = app.url.removesuffix("/graphql")
    with logged() as lines:
        page = await app.http.get(f"{base}/verify-email", params={"token": MARK})
        gone = await app.http.get(f"{base}/nothing", headers={"x-request-id": "abcdefgh"})
        hook = await app.http.post(f"{base}/webhooks/knowledge", content=b"{}")
        data = await app.http.get(f"{base}/account/data")
    found = requests(lines)
    assert [(one["path"], one["status"]) for one in found] == [
        ("/verify-email", 200),
        ("/nothing", 404),
        ("/webhooks/knowledge", 401),
        ("/account/data", 401),
    ]
    assert [one["request_id"] for one in found] == [
        one.headers["x-request-id"] for one in (page, gone, hook, data)
    ]
    assert gone.headers["x-request-id"] == "abcdefgh"
    assert MARK not in "".join(lines)


async def test_nothing_that_people_send_is_in_a_log(app: Running) -> None:
    """The main flows, with a mark in every name, text, file and password: no line of any logger, at
    any level, holds one, nor an address of a mailbox, nor a token, code or key."""
    email = f"{MARK}@example.com".lower()
    secrets = [MARK.lower(), email, PASSWORD, app.settings.secret_key.get_secret_value(), WEBHOOK]

    async def do(query: str, token: str | None = None, **variables: Any) -> Any:
        answer = await app.post(query, variables, token)
        return next(iter((answer.get("data") or {"": None}).values()))

    register = "mutation($i: RegisterInput!) { register(input: $i) { __typename } }"
    login = """mutation($i: LoginInput!) { login(input: $i) { __typename
      ... on AuthTokens { accessToken refreshToken } } }"""
    with logged() as lines:
        await do(register, i={"email": email, "password": PASSWORD, "displayName": MARK})
        await do(register, i={"email": MARK, "password": MARK})
        await do(login, i={"email": email, "password": MARK})
        pair = await do(login, i={"email": email, "password": PASSWORD})
        token = pair["accessToken"]
        link = await newest_link(app, email, "Please confirm your email address")
        await do("mutation($t: String!) { verifyEmail(token: $t) { __typename } }", t=link)
        setup = await do(
            "mutation($p: String!) { beginSecondFactor(password: $p) { ... on SecondFactorSetup "
            "{ secret } } }",
            token,
            p=PASSWORD,
        )
        codes = await do(
            "mutation($c: String!) { confirmSecondFactor(code: $c) { ... on RecoveryCodes "
            "{ codes } } }",
            token,
            c=pyotp.TOTP(setup["secret"]).now(),
        )
        second = {"email": email, "password": PASSWORD, "code": codes["codes"][0]}
        await do(login, i=second)
        await do(login, i=second)
        key = await do(
            "mutation($n: String!) { createApiKey(input: {name: $n, scopes: [READ]}) { ... on "
            "CreatedApiKey { key } } }",
            token,
            n=MARK,
        )
        await do("{ me { email } }", key["key"])
        await do("{ me { email } }", key["key"][:-2])
        asked = await do(
            "mutation($i: SendMessageInput!) { ask(input: $i) { ... on SendMessagePayload "
            "{ session { id } reply { content } } } }",
            token,
            i={"content": f"{MARK}?"},
        )
        assert MARK in asked["reply"]["content"]
        session = asked["session"]["id"]
        await do(
            "mutation($s: ID!, $e: String!) { shareSession(id: $s, email: $e, role: READER) "
            "{ __typename } }",
            token,
            s=session,
            e=f"friend-{email}",
        )
        public = await do(
            "mutation($s: ID!) { createPublicLink(sessionId: $s) { ... on PublicLink { token } } }",
            token,
            s=session,
        )
        read = "query($t: String!) { publicConversation(token: $t) { title } }"
        await do(read, t=public["token"])
        await do(f'{{ searchMessages(query: "{MARK}") {{ edges {{ cursor }} }} }}', token)
        await do(f"{{ {MARK} }}", token)
        await do(f'{{ node(id: "{MARK}") {{ id }} }}', token, unused=MARK)
        async for _ in app.subscribe("subscription { indexProgress { ready } }", token=token):
            break
        refresh = "mutation($t: String!) { refreshTokens(refreshToken: $t) { __typename } }"
        await do(refresh, t=pair["refreshToken"])
        await do(f'mutation {{ requestPasswordReset(email: "{email}") {{ ok }} }}')
        reset = await newest_link(app, email, "Set a new password")
        await do(
            "mutation($t: String!, $p: String!) { resetPassword(token: $t, newPassword: $p) "
            "{ __typename } }",
            t=reset,
            p=f"{MARK} is a new sentence",
        )
        secrets += [link, setup["secret"], *codes["codes"], *pair.values(), key["key"], reset]
        secrets += [public["token"]]
    text = "".join(lines).lower()
    assert len(lines) > 40
    assert [one for one in secrets if one.lower() in text] == []
