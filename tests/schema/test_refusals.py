"""What the API refuses is in the log of security events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.security_event import SecurityEvent
from models.user import User
from rag.embedding.fake import FakeEmbedder
from resolvers.rates import Allowances
from tests.application import Running, running_app, test_settings
from tests.follower import Follower
from tests.schema.people import Person, person
from tests.schema.test_rates import allowing

pytestmark = pytest.mark.anyio

ROLE = 'mutation { a1: setUserRole(userId: "x", role: ADMIN) { id } }'
EVENTS = "{ securityEvents { edges { node { id } } } }"
DELETE = 'mutation { deleteSession(id: "x") { __typename } }'
RESET = """mutation { resetPassword(token: "gqe_wrong", newPassword: "kranich seven") {
  __typename } }"""


@pytest.fixture
async def app(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, f"sqlite://{tmp_path / 'here.db'}")
    async with running_app(settings, embedder=FakeEmbedder()) as running:
        running.services.store.bind()
        yield running


async def refused(least: int) -> list[tuple[str, str]]:
    """What is listed, once there are so many: some are written after the answer."""
    while True:
        rows = await SecurityEvent.filter(outcome="REFUSED").order_by("id")
        if len(rows) >= least:
            return [(one.kind, one.detail) for one in rows]
        await asyncio.sleep(0.01)


async def test_rights(app: Running) -> None:
    """Who, which field (and not what the caller calls it), how often; who sees nothing of another's
    things is listed as well."""
    ada: Person = await person(app, "Ada")
    for _ in range(20):
        assert await ada.code(ROLE) == "FORBIDDEN"
    assert await ada.code(EVENTS) == "FORBIDDEN"
    await ada.do(DELETE)
    assert await refused(3) == [
        ("ACCESS_REFUSED", "setUserRole"),
        ("ACCESS_REFUSED", "securityEvents"),
        ("ACCESS_REFUSED", "deleteSession"),
    ]
    event = await SecurityEvent.filter(kind="ACCESS_REFUSED").first()
    assert event is not None
    assert event.actor_id == (await User.get(email=ada.email)).id
    assert event.address == "127.0.0.1"
    await app.services.refusals.settle(all_=True)
    assert ("ACCESS_REFUSED", "setUserRole (19 more before)") in await refused(4)


async def test_a_socket(app: Running) -> None:
    """Operations over a socket are listed, too."""
    ada: Person = await person(app, "Ada")
    async with app.socket(ada.token) as socket:
        follower = Follower(socket)
        await follower.subscribe(EVENTS, "1", {})
        assert "FORBIDDEN" in str(await follower.message())
        await refused(1)
    assert await refused(1) == [("ACCESS_REFUSED", "securityEvents")]


async def test_tokens(app: Running) -> None:
    """Forged access tokens, unknown keys and tokens of mails; those of everyday life are not: none
    at all, one of a login that was ended."""
    ada: Person = await person(app, "Ada")
    head, body, signature = ada.token.split(".")
    await app.code("{ me { id } }", {}, f"{head}.{body}.{signature[::-1]}")
    await app.code("{ me { id } }", {}, "gqk_" + "A" * 43)
    await app.data(RESET)
    await app.data("{ me { id } }")
    await app.data("mutation { logout { __typename } }", {}, ada.token)
    await app.code("{ me { id } }", {}, ada.token)
    assert await refused(3) == [
        ("TOKEN_REFUSED", "ACCESS_TOKEN"),
        ("TOKEN_REFUSED", "API_KEY"),
        ("TOKEN_REFUSED", "resetPassword"),
    ]


async def test_limits(app: Running) -> None:
    """Of rates and of an operation's size."""
    ada: Person = await person(app, "Ada")
    with allowing(app, Allowances(messages_per_user=1)):
        send = """mutation($c: String!) { sendMessage(input: {content: $c, clientKey: $c}) {
          __typename } }"""
        for number in range(3):
            await ada.do(send, c=f"k{number}")
    assert await ada.code("{" + "".join(f"a{n}: me {{ id }} " for n in range(60)) + "}")
    assert await refused(2) == [
        ("LIMIT_REFUSED", "sendMessage"),
        ("LIMIT_REFUSED", "QUERY_TOO_COMPLEX"),
    ]


async def test_a_blocked_login_is_listed_once(app: Running) -> None:
    """By its own kind, and not again as a limit."""
    login = """mutation { login(input: {email: "ada@example.com", password: "wrong words"}) {
      __typename } }"""
    for _ in range(5):
        await app.data(login)
    assert {kind for kind, _ in await refused(1)} == {"LOGIN_BLOCKED"}


async def test_a_person_s_changes_have_a_most(app: Running) -> None:
    """The answer says so with a code, and nothing was changed."""
    ada: Person = await person(app, "Ada")
    create = 'mutation { createApiKey(input: {name: "k", scopes: [READ]}) { __typename } }'
    with allowing(app, Allowances(changes_per_hour=1)):
        await ada.do(create)
        assert await ada.code(create) == "RATE_LIMITED"
    assert await SecurityEvent.filter(kind="API_KEY_CREATED").count() == 1
    assert await refused(1) == [("LIMIT_REFUSED", "createApiKey")]


async def test_tricks_with_addresses(app: Running) -> None:
    """Paths that lead above, encoded once or twice, and control characters; a wrong address alone
    is none."""
    base = app.url.removesuffix("/graphql")
    for path in (
        "/graphiql/%2e%2e/package.json",
        "/graphiql/..%252f..%252fserver.py",
        "/%5c..%5cwindows",
        "/a%00b",
        "/nothing/here..txt",
    ):
        assert (await app.http.get(base + path)).status_code in (400, 404, 405)
    assert await refused(2) == [
        ("CALL_REFUSED", "PATH_ABOVE"),
        ("CALL_REFUSED", "PATH_CONTROL_CHARACTER"),
    ]
