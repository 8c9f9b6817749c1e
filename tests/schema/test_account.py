"""Accounts through the real application."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from models.user import Role
from rag.embedding.base import Embedder
from tests.application import PASSWORD, Running, running_app, test_settings

pytestmark = pytest.mark.anyio

REGISTER = """mutation($i: RegisterInput!) { register(input: $i) { __typename
  ... on Registration { email verificationRequired } ... on InvalidInput { message field } } }"""
LOGIN = """mutation($i: LoginInput!) { login(input: $i) { __typename
  ... on AuthTokens { accessToken accessTokenExpiresAt refreshToken refreshTokenExpiresAt
    user { id email } } ... on Problem { message } } }"""
REFRESH = """mutation($t: String!) { refreshTokens(refreshToken: $t) { __typename
  ... on AuthTokens { accessToken refreshToken } ... on InvalidToken { message } } }"""
VERIFY = """mutation($t: String!) { verifyEmail(token: $t) { __typename
  ... on User { email emailVerified } ... on InvalidToken { message } } }"""
LOGOUT = "mutation($e: Boolean) { logout(everywhere: $e) { ok } }"
ADA = {"i": {"email": "ada@example.com", "password": PASSWORD}}


async def mail_token(settings_folder: Path, to: str) -> str:
    """The token in the newest mail to this address, out of the .eml file."""
    outbox = settings_folder / "data" / "outbox"
    for _ in range(200):
        for path in sorted(outbox.glob("*.eml"), reverse=True) if outbox.exists() else []:
            text = path.read_text(encoding="utf-8")
            found = re.search(r"token=3D([\w=\n-]+?)\n\n|token=([\w-]+)", text)
            if f"To: {to}" in text and found:
                return (found[1] or found[2]).replace("=\n", "")
        await asyncio.sleep(0.05)
    raise AssertionError("no mail came")


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [
        ("nonsense", PASSWORD, "email"),
        ("a@b", PASSWORD, "email"),
        ("", PASSWORD, "email"),
        ("a" * 300 + "@example.com", PASSWORD, "email"),
        ("ok@example.com", "short", "password"),
        ("ok@example.com", "password1", "password"),
        ("ok@example.com", "ok@example.com", "password"),
        ("ok@example.com", "x" * 129, "password"),
    ],
)
async def test_unfit_registrations_name_the_field(
    scripted: Running, email: str, password: str, field: str
) -> None:
    """A bad address or password is InvalidInput on its field, and makes no account."""
    result = await scripted.data(REGISTER, {"i": {"email": email, "password": password}})
    assert result["register"]["__typename"] == "InvalidInput"
    assert result["register"]["field"] == field
    login = await scripted.data(LOGIN, {"i": {"email": email, "password": password}})
    assert login["login"]["__typename"] == "InvalidCredentials"


async def test_nobody_learns_whether_an_address_is_known(scripted: Running) -> None:
    """Registering twice, and logging in wrongly, look the same for known and unknown addresses."""
    first = await scripted.data(REGISTER, ADA)
    again = await scripted.data(
        REGISTER, {"i": {"email": "ada@example.com", "password": "another long sentence"}}
    )
    assert again == first
    known = await scripted.data(LOGIN, {"i": {"email": "ada@example.com", "password": "wrong one"}})
    nobody = {"i": {"email": "no@example.com", "password": "wrong one"}}
    unknown = await scripted.data(LOGIN, nobody)
    assert known == unknown
    assert known["login"]["__typename"] == "InvalidCredentials"


async def test_verification_by_mail(
    sqlite_url: str, tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> None:
    """Where verification is required, the login waits for the token of the mail; the mail is in
    the outbox folder, and the page it links to changes nothing by being opened."""
    settings = test_settings(tmp_path, sqlite_url, require_verified_email=True)
    async with running_app(settings, embedder=embedder) as app:
        registered = await app.data(REGISTER, ADA)
        assert registered["register"]["verificationRequired"] is True
        refused = await app.data(LOGIN, ADA)
        assert refused["login"]["__typename"] == "EmailNotVerified"
        wrong = await app.data(LOGIN, {"i": {"email": "ada@example.com", "password": "wrong one"}})
        assert wrong["login"]["__typename"] == "InvalidCredentials"
        token = await mail_token(tmp_path, "ada@example.com")
        base = app.url.removesuffix("/graphql")
        page = await app.http.get(f"{base}/verify-email", params={"token": token})
        assert page.status_code == 200
        assert (await app.data(LOGIN, ADA))["login"]["__typename"] == "EmailNotVerified"
        verified = await app.data(VERIFY, {"t": token})
        assert verified["verifyEmail"] == {
            "__typename": "User",
            "email": "ada@example.com",
            "emailVerified": True,
        }
        assert (await app.data(LOGIN, ADA))["login"]["__typename"] == "AuthTokens"
        unknown = await app.data(VERIFY, {"t": "nonsense"})
        assert unknown["verifyEmail"]["__typename"] == "InvalidToken"
        for email in ("ada@example.com", "nobody@example.com", "nonsense"):
            answer = await app.data(
                "mutation($e: String!) { resendVerification(email: $e) { ok } }", {"e": email}
            )
            assert answer == {"resendVerification": {"ok": True}}


async def test_refresh_tokens_are_rotated(
    sqlite_url: str, tmp_path: Path, embedder: Embedder, anyio_backend: str
) -> None:
    """A refresh token works once; used again, it ends the login, here without any time for clients
    that lost the answer."""
    settings = test_settings(tmp_path, sqlite_url, refresh_grace=0)
    async with running_app(settings, embedder=embedder) as app:
        await _rotate(app)


async def _rotate(scripted: Running) -> None:
    await scripted.data(REGISTER, ADA)
    first = (await scripted.data(LOGIN, ADA))["login"]
    second = (await scripted.data(REFRESH, {"t": first["refreshToken"]}))["refreshTokens"]
    assert second["__typename"] == "AuthTokens"
    assert second["refreshToken"] != first["refreshToken"]
    me = await scripted.data("{ me { email } }", token=second["accessToken"])
    assert me["me"] == {"email": "ada@example.com"}
    replayed = (await scripted.data(REFRESH, {"t": first["refreshToken"]}))["refreshTokens"]
    assert replayed["__typename"] == "InvalidToken"
    ended = (await scripted.data(REFRESH, {"t": second["refreshToken"]}))["refreshTokens"]
    assert ended["__typename"] == "InvalidToken"
    assert await scripted.code("{ me { email } }", token=second["accessToken"]) == "UNAUTHENTICATED"


async def test_a_refresh_token_is_no_access_token(scripted: Running) -> None:
    """The two kinds of tokens do not stand in for each other."""
    await scripted.data(REGISTER, ADA)
    tokens = (await scripted.data(LOGIN, ADA))["login"]
    assert await scripted.code("{ me { id } }", token=tokens["refreshToken"]) == "UNAUTHENTICATED"
    result = await scripted.data(REFRESH, {"t": tokens["accessToken"]})
    assert result["refreshTokens"]["__typename"] == "InvalidToken"


@pytest.mark.parametrize("everywhere", [False, True])
async def test_logout_ends_one_login_or_all(scripted: Running, everywhere: bool) -> None:
    """The access token of an ended login is refused at once, although it has not expired."""
    here, there = await scripted.login(), await scripted.login()
    assert (await scripted.data(LOGOUT, {"e": everywhere}, here))["logout"] == {"ok": True}
    assert await scripted.code("{ me { id } }", token=here) == "UNAUTHENTICATED"
    answer = await scripted.post("{ me { email } }", token=there)
    assert ("errors" in answer) is everywhere
    assert await scripted.code(LOGOUT) == "UNAUTHENTICATED"


async def test_me_is_null_for_an_anonymous_caller(scripted: Running) -> None:
    """Without a token `me` is null; with a wrong one the client is told."""
    assert await scripted.data("{ me { id } }") == {"me": None}
    assert await scripted.code("{ me { id } }", token="wrong") == "UNAUTHENTICATED"


async def test_the_role_is_told(scripted: Running) -> None:
    """`me.role` is the person's role."""
    token = await scripted.login(role=Role.EDITOR)
    assert await scripted.data("{ me { role } }", token=token) == {"me": {"role": "EDITOR"}}
