"""Providers that are away, slow, odd or hostile, and what is kept of them."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from models.sign_in import SignInFlow
from models.user import User
from resolvers.errors import InvalidToken, SignInFailed
from tests.clock import RunningClock
from tests.openid_provider import OpenIdProvider, rsa_key
from tests.resolvers.sign_in.conftest import Opener, Visitor

pytestmark = pytest.mark.anyio

DISCOVERY = "/.well-known/openid-configuration"


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 65_536
        await asyncio.sleep(0)  # uvicorn swallows what nobody reads any more


async def dripping() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.01)


async def stall() -> Response:
    await asyncio.sleep(60)
    return Response()


ANSWERS: dict[str, Callable[[], Any]] = {
    "500": lambda: Response(status_code=500),
    "404": lambda: JSONResponse({"error": "x"}, status_code=404),
    "204": lambda: Response(status_code=204),
    "not JSON": lambda: PlainTextResponse("<html>"),
    "not UTF-8": lambda: Response(b'{"a": "\xff"}', media_type="application/json"),
    "a list": lambda: JSONResponse([]),
    "deep": lambda: PlainTextResponse("[" * 100_000),
    "endless": lambda: StreamingResponse(endless()),
    "giant": lambda: PlainTextResponse(" " * 600_000 + "{}"),
    "packed": lambda: Response(
        gzip.compress(b" " * 10_000_000), headers={"content-encoding": "gzip"}
    ),
    "elsewhere": lambda: RedirectResponse("http://127.0.0.1:1/", status_code=302),
    "slow": stall,
    "dripping": lambda: StreamingResponse(dripping()),
}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        *((DISCOVERY, answer) for answer in ANSWERS),
        *(
            (path, answer)
            for path in ("/jwks", "/token", "/userinfo")
            for answer in ("500", "not JSON", "giant", "elsewhere", "slow")
        ),
    ],
)
async def test_bad_answers(
    visitor_of: Opener,
    provider: OpenIdProvider,
    path: str,
    answer: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever comes, the person is told to try later, soon, and the log says what it was."""
    slow = answer in ("slow", "dripping")
    visitor = await visitor_of(provider.settings(), seconds=0.2 if slow else 10)
    if slow and path != DISCOVERY:
        await visitor.begin()
    provider.answer[path] = ANSWERS[answer]
    if path == "/userinfo":
        del provider.claims["email"]
    with (
        caplog.at_level(logging.DEBUG, logger="groundql"),
        pytest.raises(SignInFailed, match="does not answer as it should"),
    ):
        await visitor.sign_in(provider)
    assert (
        len([line for line in caplog.messages if line.startswith("Sign-in by keycloak: its")]) == 1
    )
    assert await User.all().count() == 0


async def test_nobody_listens(visitor: Visitor, provider: OpenIdProvider) -> None:
    """A port without a server is as good as one that fails."""
    provider.discovery["token_endpoint"] = "http://127.0.0.1:1/token"
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)
    assert await User.all().count() == 0


async def test_a_provider_comes_back(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """It is asked again after five seconds; meanwhile nobody waits for it."""
    provider.answer[DISCOVERY] = ANSWERS["500"]
    for _ in range(5):
        with pytest.raises(SignInFailed):
            await visitor.begin()
    assert provider.asked == [DISCOVERY]
    assert await SignInFlow.all().count() == 0
    del provider.answer[DISCOVERY]
    clock.forward(seconds=5)
    await visitor.sign_in(provider)


async def test_keys_that_are_away(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """Nobody waits for them again within five seconds, and sign-ins can begin meanwhile."""
    provider.answer["/jwks"] = ANSWERS["500"]
    for _ in range(4):
        with pytest.raises(SignInFailed):
            await visitor.sign_in(provider)
    assert provider.asked.count("/jwks") == 1
    del provider.answer["/jwks"]
    clock.forward(seconds=5)
    await visitor.sign_in(provider)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"jwks_uri": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://192.0.2.1/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": ["http://127.0.0.1/"]},
        {"jwks_uri": "http://user@127.0.0.1/"},
        {"userinfo_endpoint": "http://evil.example/"},
        {"token_endpoint": "https://[::1/"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
)
async def test_a_discovery_document_that_is_wrong(
    visitor: Visitor, provider: OpenIdProvider, changes: dict[str, Any]
) -> None:
    """Another issuer, and addresses that could be read on the way, are refused before anybody is
    sent there."""
    provider.discovery = changes
    with pytest.raises(SignInFailed):
        await visitor.begin()
    assert provider.asked == [DISCOVERY]


async def test_an_issuer_with_a_slash(visitor_of: Opener, provider: OpenIdProvider) -> None:
    """The issuer of the settings and that of the document are the same to the letter."""
    settings = provider.settings()
    visitor = await visitor_of(type(settings)("keycloak", settings.issuer + "/", "groundql"))
    with pytest.raises(SignInFailed):
        await visitor.begin()
    assert provider.asked == [DISCOVERY]


async def test_what_is_kept(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """The document and the keys are read once an hour, also by many at once."""
    await asyncio.gather(*(visitor.begin() for _ in range(10)))
    for _ in range(3):
        await visitor.sign_in(provider)
    assert (provider.asked.count(DISCOVERY), provider.asked.count("/jwks")) == (1, 1)
    clock.forward(hours=1)
    await visitor.sign_in(provider)
    assert (provider.asked.count(DISCOVERY), provider.asked.count("/jwks")) == (2, 2)


async def test_keys_rotate(visitor: Visitor, provider: OpenIdProvider, clock: RunningClock) -> None:
    """An unknown key is looked up, at most every 30 seconds; the old one counts while it is
    published."""
    await visitor.sign_in(provider)
    clock.forward(seconds=60)
    new = RSAKey.generate_key(2048, {"kid": "new"})
    provider.key, provider.header = new, {"alg": "RS256", "kid": "new"}
    provider.published = [rsa_key(), new]
    await visitor.sign_in(provider)
    assert provider.asked.count("/jwks") == 2
    provider.header["kid"] = "nobody knows it"
    for _ in range(5):
        with pytest.raises(SignInFailed):
            await visitor.sign_in(provider)
    assert provider.asked.count("/jwks") == 2
    clock.forward(seconds=30)
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)
    assert provider.asked.count("/jwks") == 3
    # A key that is no longer published signs nothing, once that is known.
    provider.key, provider.header = rsa_key(), {"alg": "RS256", "kid": "rsa"}
    provider.published = [new]
    clock.forward(hours=1)
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)


async def test_the_client_s_secret(visitor_of: Opener, provider: OpenIdProvider) -> None:
    """It goes in the header, or in the body where the provider wants that; a wrong one signs nobody
    in, and a public client has none."""
    visitor = await visitor_of(provider.settings())
    await visitor.sign_in(provider)
    provider.discovery["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await (await visitor_of(provider.settings())).sign_in(provider)
    with pytest.raises(SignInFailed):
        await (await visitor_of(provider.settings(client_secret="wrong"))).sign_in(provider)
    provider.secret = ""
    await (await visitor_of(provider.settings())).sign_in(provider)


async def test_userinfo(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Who has no address in the token has it looked up, if it is of the same person."""
    provider.userinfo = {
        "sub": "248289761001",
        "email": "info@example.com",
        "email_verified": True,
        "name": "Olga from userinfo",
    }
    await visitor.sign_in(provider)
    assert "/userinfo" not in provider.asked
    for name in ("email", "email_verified", "name"):
        del provider.claims[name]
    provider.claims["sub"] = "second"
    with pytest.raises(SignInFailed, match="does not answer"):
        await visitor.sign_in(provider)
    provider.userinfo["sub"] = "second"
    user = (await visitor.sign_in(provider)).user
    assert (user.email, user.display_name) == ("info@example.com", "Olga from userinfo")


@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "mac"},
        {"token_type": None},
        {"access_token": None},
        {"access_token": ["a"]},
        {"access_token": "x" * 100_000},
        {"access_token": "a\r\nb: c"},
        {"id_token": None},
    ],
)
async def test_odd_tokens(
    visitor: Visitor, provider: OpenIdProvider, changes: dict[str, Any]
) -> None:
    """They are not taken."""
    right = {"access_token": "a", "token_type": "Bearer", "id_token": "a.b.c"}
    provider.answer["/token"] = lambda: JSONResponse({**right, **changes})
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"error": "invalid_grant"}, 400, InvalidToken),
        ({"error": "invalid_client", "error_description": "\x1b[2J"}, 401, SignInFailed),
        ({"error": "\n2030 INFO forged line" * 9}, 400, SignInFailed),
        ({"error": {"a": 1}}, 400, SignInFailed),
        ({}, 400, SignInFailed),
    ],
)
async def test_errors_of_the_token_endpoint(
    visitor: Visitor,
    provider: OpenIdProvider,
    body: dict[str, Any],
    status: int,
    problem: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A code that is refused can be had anew; else the provider is to blame. The provider's words
    write no line of the log."""
    provider.answer["/token"] = lambda: JSONResponse(body, status_code=status)
    with caplog.at_level(logging.DEBUG, logger="groundql"), pytest.raises(problem):
        await visitor.sign_in(provider)
    assert all(len(line) < 120 and line.isprintable() for line in caplog.messages)


def test_the_secret_is_shown_nowhere(provider: OpenIdProvider) -> None:
    """Not in the settings' repr."""
    assert provider.secret not in repr(provider.settings())
