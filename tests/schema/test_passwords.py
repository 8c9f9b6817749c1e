"""Passwords, logins and guessing through the real application, on each kind of database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest

from models.login import Login, RefreshToken
from models.outbox_mail import OutboxMail
from tests.application import PASSWORD, Running
from tests.schema.test_account import LOGIN, REFRESH, REGISTER

pytestmark = pytest.mark.anyio

NEW = "another long sentence"
REQUEST = "mutation($e: String!) { requestPasswordReset(email: $e) { ok } }"
RESEND = "mutation($e: String!) { resendVerification(email: $e) { ok } }"
RESET = """mutation($t: String!, $p: String!) { resetPassword(token: $t, newPassword: $p) {
  __typename ... on Problem { message } ... on InvalidInput { field } } }"""
CHANGE = """mutation($c: String!, $n: String!) { changePassword(currentPassword: $c,
  newPassword: $n) { __typename ... on AuthTokens { accessToken refreshToken }
  ... on Problem { message } ... on InvalidInput { field } } }"""
LOGINS = "{ logins { id device address createdAt lastUsedAt expiresAt current } }"
REVOKE = """mutation($i: ID!) { revokeLogin(id: $i) { __typename ... on Deleted { id }
  ... on NotFound { message } } }"""


def person(email: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"i": {"email": email, "password": password}}


async def newest_link(app: Running, to: str, subject: str) -> str:
    """The token of the newest mail with this subject to an address, once all mails were sent."""
    folder = app.settings.data_dir / "outbox"
    while await OutboxMail.filter(next_attempt_at__isnull=False).exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    for _ in range(200):
        found = re.compile(r"token=3D([\w=\n-]+?)\n\n|token=([\w-]+)")
        for path in sorted(folder.glob("*.eml"), reverse=True) if folder.exists() else []:
            text = path.read_text(encoding="utf-8")
            match = found.search(text)
            if f"To: {to}" in text and f"Subject: {subject}" in text and match:
                return (match[1] or match[2]).replace("=\n", "")
        await asyncio.sleep(0.02)
    raise AssertionError("no mail came")


async def test_passwords_and_devices(empty_app: Running) -> None:
    """A forgotten password, a change, and the list of devices, as a client sees them."""
    app = empty_app
    await app.data(REGISTER, person("ada@example.com"))
    first = (await app.data(LOGIN, person("ada@example.com")))["login"]
    assert await app.data(REQUEST, {"e": "ada@example.com"}) == {
        "requestPasswordReset": {"ok": True}
    }
    token = await newest_link(app, "ada@example.com", "Set a new password")
    base = app.url.removesuffix("/graphql")
    page = await app.http.get(f"{base}/reset-password", params={"token": token})
    assert (page.status_code, page.headers["referrer-policy"]) == (200, "no-referrer")
    assert 'src="mail-page.js"' in page.text
    assert (await app.http.get(f"{base}/mail-page.js")).status_code == 200
    short = (await app.data(RESET, {"t": token, "p": "short"}))["resetPassword"]
    assert (short["__typename"], short["field"]) == ("InvalidInput", "newPassword")
    done = await app.data(RESET, {"t": token, "p": NEW})
    assert done == {"resetPassword": {"__typename": "Acknowledged"}}
    again = (await app.data(RESET, {"t": token, "p": NEW}))["resetPassword"]
    assert again["__typename"] == "InvalidToken"
    assert await app.code("{ me { id } }", token=first["accessToken"]) == "UNAUTHENTICATED"

    here = (await app.data(LOGIN, person("ada@example.com", NEW)))["login"]
    there = (await app.data(LOGIN, person("ada@example.com", NEW)))["login"]
    listed = (await app.data(LOGINS, token=here["accessToken"]))["logins"]
    assert [one["current"] for one in listed] == [False, True]
    assert {one["address"] for one in listed} == {"127.0.0.1"}
    assert all(one["device"].startswith("python-httpx") for one in listed)
    gone = await app.data(REVOKE, {"i": listed[0]["id"]}, here["accessToken"])
    assert gone == {"revokeLogin": {"__typename": "Deleted", "id": listed[0]["id"]}}
    assert await app.code("{ me { id } }", token=there["accessToken"]) == "UNAUTHENTICATED"
    for unknown in (listed[0]["id"], "nonsense"):
        answer = await app.data(REVOKE, {"i": unknown}, here["accessToken"])
        assert answer["revokeLogin"]["message"] == "There is no such login."

    wrong = await app.data(CHANGE, {"c": PASSWORD, "n": NEW}, here["accessToken"])
    assert wrong["changePassword"] == {
        "__typename": "InvalidCredentials",
        "message": "The password is wrong.",
    }
    changed = await app.data(CHANGE, {"c": NEW, "n": PASSWORD}, here["accessToken"])
    fresh = changed["changePassword"]
    assert fresh["__typename"] == "AuthTokens"
    assert (await app.data("{ me { email } }", token=fresh["accessToken"]))["me"]
    for operation, variables in ((LOGINS, {}), (REVOKE, {"i": "x"}), (CHANGE, {"c": "", "n": ""})):
        assert await app.code(operation, variables) == "UNAUTHENTICATED"


async def test_refreshes_at_once(empty_app: Running) -> None:
    """20 refreshes with one token at the same moment leave one family, with one token to go on."""
    app = empty_app
    await app.data(REGISTER, person("ada@example.com"))
    tokens = (await app.data(LOGIN, person("ada@example.com")))["login"]
    answers = await asyncio.gather(
        *(app.data(REFRESH, {"t": tokens["refreshToken"]}) for _ in range(20))
    )
    assert {one["refreshTokens"]["__typename"] for one in answers} == {"AuthTokens"}
    (fresh,) = {one["refreshTokens"]["refreshToken"] for one in answers}
    assert await Login.filter(revoked_at__isnull=True).count() == 1
    assert await RefreshToken.filter(used_at__isnull=True).count() == 1
    newest = (await app.data(REFRESH, {"t": fresh}))["refreshTokens"]
    began = perf_counter()
    stolen = await app.data(REFRESH, {"t": tokens["refreshToken"]})
    assert stolen["refreshTokens"]["__typename"] == "InvalidToken"
    assert await app.code("{ me { id } }", token=newest["accessToken"]) == "UNAUTHENTICATED"
    assert perf_counter() - began < 1
    answer = await app.data(REFRESH, {"t": newest["refreshToken"]})
    assert answer["refreshTokens"]["__typename"] == "InvalidToken"


async def test_login_fields_count_each(empty_app: Running) -> None:
    """Ten wrong passwords in one request are ten tries: three are looked at."""
    fields = " ".join(
        f'l{n}: login(input: {{email: "a@example.com", password: "wrong {n}"}}) '
        "{ __typename ... on RateLimited { retryAfterSeconds } }"
        for n in range(10)
    )
    answer = await empty_app.data(f"mutation {{ {fields} }}")
    kinds = [answer[f"l{n}"]["__typename"] for n in range(10)]
    assert kinds == ["InvalidCredentials"] * 3 + ["RateLimited"] * 7
    assert answer["l9"]["retryAfterSeconds"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["register", "login", "reset", "resend"])
async def test_the_time_tells_nothing(empty_app: Running, operation: str) -> None:
    """200 tries each with a known and an unknown address, in turn: the same answers, and medians
    within 5 ms of each other."""
    app = empty_app
    for number in range(200):
        email = f"known{number}@example.com"
        await app.data(REGISTER, person(email))
    if operation != "resend":
        await app.services.store.connection.execute_query(
            "UPDATE user_account SET email_verified_at = created_at"
        )
    await OutboxMail.all().delete()
    calls: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
        "register": lambda email: (REGISTER, person(email)),
        "login": lambda email: (LOGIN, person(email, "wrong password")),
        "reset": lambda email: (REQUEST, {"e": email}),
        "resend": lambda email: (RESEND, {"e": email}),
    }
    times: dict[str, list[float]] = {"known": [], "other": []}
    answers: dict[str, set[str]] = {"known": set(), "other": set()}
    for number in range(200):
        order = ("known", "other") if number % 2 else ("other", "known")
        for kind in order:
            email = f"{kind}{number}@example.com"
            query, variables = calls[operation](email)
            began = perf_counter()
            answer = await app.post(query, variables)
            times[kind].append(perf_counter() - began)
            answers[kind].add(str(answer).replace(email, "…"))
    assert answers["known"] == answers["other"]
    assert len(answers["known"]) == 1
    difference = abs(median(times["known"]) - median(times["other"])) * 1000
    print(f"{operation}: medians differ by {difference:.2f} ms")
    assert difference < 5
