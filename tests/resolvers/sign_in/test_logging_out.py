"""A provider ends logins: which ones, and by which tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from joserfc.jwk import RSAKey

from models.login import Login
from models.second_factor import SecondFactor
from models.security_event import EventKind, SecurityEvent
from models.sign_in import SignInLogin, SpentLogout
from models.user import User
from resolvers.account import AuthTokensData
from resolvers.errors import InvalidToken, NotFound, SecondFactorRequired
from resolvers.sign_in import signing_in
from resolvers.sign_in.id_token import LOGOUT_EVENT
from resolvers.sign_in.logging_out import LogoutRefused, end_provider_logins
from tests.clock import RunningClock
from tests.openid_provider import CLIENT, CLIENT_SECRET, OpenIdProvider, rsa_key, sign
from tests.openid_provider import logout_claims as claims_of
from tests.resolvers.sign_in.conftest import Opener, Visitor, arrival

pytestmark = pytest.mark.anyio

Claims = dict[str, Any]
HEADER = {"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}
OLGA = "248289761001"


async def leave(visitor: Visitor, token: str) -> int:
    return await end_provider_logins(visitor.context, "keycloak", token)


def signed(claims: Claims, **header: Any) -> str:
    return sign({**HEADER, **header}, claims, rsa_key())


async def sign_in(visitor: Visitor, provider: OpenIdProvider, sid: Any, sub: str = OLGA) -> Any:
    provider.claims.update(sid=sid, sub=sub, email=f"{sub}@example.com")
    return await visitor.sign_in(provider)


async def alive() -> list[str | None]:
    """The sessions at the provider of the logins that have not ended."""
    rows = await SignInLogin.filter(login__revoked_at__isnull=True).order_by("id")
    return [row.sid for row in rows]


async def test_a_person(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Without a session, all logins that the identity has made end, with an event each; another
    person's and those that were made in another way go on."""
    first = await sign_in(visitor, provider, "s1")
    await sign_in(visitor, provider, None)
    await sign_in(visitor, provider, "s3", sub="other")
    by_password = await Login.create(
        user=first.user,
        last_used_at=provider.clock.now(),
        expires_at=provider.clock.now() + timedelta(days=1),
    )
    assert await leave(visitor, signed(claims_of(provider, sub=OLGA))) == 2
    assert await alive() == ["s3"]
    assert (await Login.get(id=by_password.id)).revoked_at is None
    events = await SecurityEvent.filter(kind=EventKind.PROVIDER_LOGGED_OUT.value)
    assert {(one.concerns_id, one.actor_id, one.detail) for one in events} == {
        (first.user.id, None, "keycloak")
    }
    assert len(events) == 2


async def test_a_session(visitor: Visitor, provider: OpenIdProvider) -> None:
    """With a session alone, its logins end; with a person as well, those of the person of which no
    session is known, too, and never another person's."""
    for sid, sub in (("s1", OLGA), ("s2", OLGA), (None, OLGA), ("s1", "other"), ("s2", "other")):
        await sign_in(visitor, provider, sid, sub)
    assert await leave(visitor, signed(claims_of(provider, sid="unknown"))) == 0
    assert await leave(visitor, signed(claims_of(provider, sub=OLGA, sid="s1"))) == 2
    assert await alive() == ["s2", "s1", "s2"]
    assert await leave(visitor, signed(claims_of(provider, sid="s2"))) == 2
    assert await alive() == ["s1"]


async def test_who_has_not_shown_the_second_factor(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """The code does not log in any more."""
    tokens: AuthTokensData = await sign_in(visitor, provider, "s1")
    secret, now = pyotp.random_base32(), clock.now()
    await SecondFactor.create(user=tokens.user, secret=secret, confirmed_at=now, tries_since=now)
    provider.claims["sid"] = "s2"
    start = await visitor.begin()
    back = await provider.visit(start.authorization_url)
    with pytest.raises(SecondFactorRequired):
        await signing_in.complete_sign_in(visitor.context, arrival(start, back))
    assert await leave(visitor, signed(claims_of(provider, sid="s2"))) == 0
    with pytest.raises(InvalidToken):
        await signing_in.confirm_sign_in(
            visitor.context, start.flow_token, pyotp.TOTP(secret).at(clock.now())
        )
    assert await alive() == ["s1"]


async def test_a_token_counts_once(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """Of ten at once one counts; a login that was made since is not ended by it."""
    await sign_in(visitor, provider, "s1")
    token = signed(claims_of(provider, sub=OLGA))
    results = await asyncio.gather(
        *(leave(visitor, token) for _ in range(10)), return_exceptions=True
    )
    assert sum(one == 1 for one in results) == 1
    assert sum(isinstance(one, LogoutRefused) for one in results) == 9
    await sign_in(visitor, provider, "s1")
    with pytest.raises(LogoutRefused, match="come before"):
        await leave(visitor, token)
    assert await alive() == ["s1"]
    spent = await SpentLogout.get()
    clock.forward(seconds=661)
    with pytest.raises(LogoutRefused, match="not acceptable"):
        await leave(visitor, token)
    assert spent.expires_at > clock.now()  # it is kept for longer than the token counts


FORGERIES: dict[str, Callable[[Claims], Claims]] = {
    "issuer": lambda c: {**c, "iss": "https://evil.example"},
    "no issuer": lambda c: {k: v for k, v in c.items() if k != "iss"},
    "audience": lambda c: {**c, "aud": "another"},
    "no audience": lambda c: {k: v for k, v in c.items() if k != "aud"},
    "expired": lambda c: {**c, "exp": c["iat"] - 60},
    "no end": lambda c: {k: v for k, v in c.items() if k != "exp"},
    "an end that is no time": lambda c: {**c, "exp": float("nan")},
    "no beginning": lambda c: {k: v for k, v in c.items() if k != "iat"},
    "from the future": lambda c: {**c, "iat": c["iat"] + 120},
    "old": lambda c: {**c, "iat": c["iat"] - 661},
    "no jti": lambda c: {k: v for k, v in c.items() if k != "jti"},
    "empty jti": lambda c: {**c, "jti": ""},
    "long jti": lambda c: {**c, "jti": "x" * 256},
    "a jti that is a number": lambda c: {**c, "jti": 7},
    "nonce": lambda c: {**c, "nonce": "n"},
    "empty nonce": lambda c: {**c, "nonce": None},
    "no events": lambda c: {k: v for k, v in c.items() if k != "events"},
    "other events": lambda c: {**c, "events": {"http://example.com/other": {}}},
    "events that are a list": lambda c: {**c, "events": [LOGOUT_EVENT]},
    "an event that is no object": lambda c: {**c, "events": {LOGOUT_EVENT: True}},
    "nobody": lambda c: {k: v for k, v in c.items() if k != "sub"},
    "a person that is a number": lambda c: {**c, "sub": 7},
    "a session that is a list": lambda c: {**c, "sid": ["s1"]},
    "an empty session": lambda c: {**c, "sid": ""},
}
SIGNATURES: dict[str, Callable[[Claims], str]] = {
    "none": lambda c: sign({"alg": "none"}, c, rsa_key()),
    "the client's secret": lambda c: sign({"alg": "HS256"}, c, CLIENT_SECRET.encode()),
    "the public key": lambda c: sign({"alg": "HS256", "kid": "rsa"}, c, rsa_key().as_pem(False)),
    "another key": lambda c: sign(HEADER, c, RSAKey.generate_key(2048, {"kid": "rsa"})),
    "an unknown key": lambda c: signed(c, kid="evil"),
    "another type": lambda c: signed(c, typ="at+jwt"),
    "a list": lambda c: sign(HEADER, [c], rsa_key()),
    "words": lambda c: "words",
    "dots": lambda c: "..",
    "nothing": lambda c: "",
    "huge": lambda c: signed({**c, "odd": "x" * 70_000}),
}


@pytest.mark.parametrize("forgery", [*FORGERIES, *SIGNATURES])
async def test_forged_tokens(visitor: Visitor, provider: OpenIdProvider, forgery: str) -> None:
    """None ends a login or is remembered; each is an event."""
    await sign_in(visitor, provider, "s1")
    claims = claims_of(provider, sub=OLGA)
    if forgery in FORGERIES:
        token = signed(FORGERIES[forgery](claims))
    else:
        token = SIGNATURES[forgery](claims)
    with pytest.raises(LogoutRefused, match="not acceptable"):
        await leave(visitor, token)
    assert await alive() == ["s1"]
    assert await SpentLogout.all().count() == 0
    event = await SecurityEvent.get(kind=EventKind.TOKEN_REFUSED.value)
    assert event.detail == "keycloak LOGOUT_TOKEN"


async def test_an_id_token_logs_nobody_out(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Though the same key has signed it, for the same client."""
    made: list[str] = []

    def keep(claims: Claims) -> str:
        made.append(sign(provider.header, claims, rsa_key()))
        return made[-1]

    provider.make_token = keep
    await sign_in(visitor, provider, "s1")
    with pytest.raises(LogoutRefused):
        await leave(visitor, made[0])
    assert await alive() == ["s1"]


async def test_another_provider_s_token(visitor_of: Opener, provider: OpenIdProvider) -> None:
    """It ends nothing at this one, and an unknown provider's address is none."""
    settings = provider.settings()
    visitor = await visitor_of(
        settings, replace(provider.settings("second"), client_id="another client")
    )
    await sign_in(visitor, provider, "s1")
    token = signed(claims_of(provider, sub=OLGA))
    with pytest.raises(LogoutRefused):
        await end_provider_logins(visitor.context, "second", token)
    with pytest.raises(NotFound):
        await end_provider_logins(visitor.context, "third", token)
    assert await leave(visitor, token) == 1


@pytest.mark.parametrize("typ", [None, "JWT", "Logout+JWT", "application/logout+jwt"])
async def test_types(visitor: Visitor, provider: OpenIdProvider, typ: str | None) -> None:
    """That of a logout token, or the common one, or none; several audiences are no harm."""
    await sign_in(visitor, provider, "s1")
    header = {key: value for key, value in {**HEADER, "typ": typ}.items() if value is not None}
    claims = {**claims_of(provider, sub=OLGA), "aud": ["other", CLIENT]}
    assert await leave(visitor, sign(header, claims, rsa_key())) == 1
    assert await User.all().count() == 1
