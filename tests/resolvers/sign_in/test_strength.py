"""How well and how recently somebody must have signed in at the provider."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from models.login import Login
from models.security_event import EventKind, SecurityEvent
from models.user import User
from resolvers import account
from resolvers.errors import InvalidToken, SignInFailed, SignInFailure
from tests.clock import RunningClock
from tests.openid_provider import OpenIdProvider
from tests.resolvers.conftest import as_viewer
from tests.resolvers.sign_in.conftest import Opener, Visitor

pytestmark = pytest.mark.anyio

RULES: dict[str, Any] = {"required_acr": ("gold", "silver"), "required_amr": ("pwd", "otp")}
STRONG = {"acr": "silver", "amr": ["otp", "face", "pwd"]}


async def asked(visitor: Visitor) -> dict[str, str]:
    url = (await visitor.begin()).authorization_url
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def refused(visitor: Visitor, provider: OpenIdProvider, why: SignInFailure) -> None:
    """The answer says why, an event does, too, and nobody got an account or a login."""
    with pytest.raises(SignInFailed) as caught:
        await visitor.sign_in(provider)
    assert caught.value.reason is why
    assert await User.all().count() == await Login.all().count() == 0
    event = await SecurityEvent.all().order_by("-id").first()
    assert event is not None
    assert (event.kind, event.detail) == (EventKind.SIGN_IN_FAILED.value, f"keycloak {why.value}")


async def test_what_is_asked_for(visitor_of: Opener, provider: OpenIdProvider) -> None:
    """By the request's own parameters, and by `claims` where the provider knows it."""
    rules = provider.settings(**RULES, max_age=3600)
    found = await asked(await visitor_of(rules))
    assert (found["acr_values"], found["max_age"]) == ("gold silver", "3600")
    assert "claims" not in found
    provider.discovery["claims_parameter_supported"] = True
    found = await asked(await visitor_of(rules))
    assert json.loads(found["claims"]) == {
        "id_token": {
            "acr": {"essential": True, "values": ["gold", "silver"]},
            "amr": {"essential": True},
            "auth_time": {"essential": True},
        }
    }


async def test_nothing_is_asked_for_by_itself(visitor: Visitor) -> None:
    """Who sets no rule gets none."""
    assert not {"acr_values", "max_age", "claims"} & (await asked(visitor)).keys()


async def test_strong_enough(visitor_of: Opener, provider: OpenIdProvider) -> None:
    """One of the levels, and all of the methods."""
    provider.claims.update(STRONG)
    await (await visitor_of(provider.settings(**RULES))).sign_in(provider)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"acr": "silver"},
        {"amr": ["pwd", "otp"]},
        {**STRONG, "acr": "bronze"},
        {**STRONG, "acr": ["silver"]},
        {**STRONG, "acr": "gold silver"},
        {**STRONG, "acr": None},
        {**STRONG, "amr": ["pwd"]},
        {**STRONG, "amr": [["pwd", "otp"]]},
        {**STRONG, "amr": ["x"] * 50 + ["pwd", "otp"]},
    ],
)
async def test_not_strong_enough(
    visitor_of: Opener, provider: OpenIdProvider, claims: dict[str, Any]
) -> None:
    """A weaker sign-in, and one of which the provider does not say how it was."""
    provider.claims.update(claims)
    visitor = await visitor_of(provider.settings(**RULES))
    await refused(visitor, provider, SignInFailure.NOT_STRONG_ENOUGH)


async def test_recent_enough(
    visitor_of: Opener, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """Up to the age that is allowed, and the minute that clocks may differ."""
    visitor = await visitor_of(provider.settings(max_age=600))
    now = int(clock.now().timestamp())
    for moment in (now, now - 600, now - 650, now + 50, now - 0.5):
        provider.claims["auth_time"] = moment
        await visitor.sign_in(provider)
    assert await User.all().count() == 1


@pytest.mark.parametrize(
    "age",
    [None, 670, 100_000, -70, -1e300, float("nan"), float("inf"), True],
)
async def test_too_long_ago(
    visitor_of: Opener, provider: OpenIdProvider, clock: RunningClock, age: Any
) -> None:
    """Older, from the future, no time at all, or not said."""
    now = int(clock.now().timestamp())
    if age is not None:
        provider.claims["auth_time"] = age if age is True else now - age
    visitor = await visitor_of(provider.settings(max_age=600))
    await refused(visitor, provider, SignInFailure.TOO_LONG_AGO)


@pytest.mark.parametrize(
    "claims",
    [
        {"auth_time": "1"},
        {"auth_time": [1]},
        {"amr": "pwd otp"},
        {"amr": {"pwd": 1, "otp": 1}},
        {"acr": 1},
    ],
)
async def test_malformed(
    visitor_of: Opener, provider: OpenIdProvider, claims: dict[str, Any], clock: RunningClock
) -> None:
    """What is not written as the standard says signs nobody in, whatever is asked for."""
    provider.claims.update(STRONG | {"auth_time": int(clock.now().timestamp())} | claims)
    visitor = await visitor_of(provider.settings(**RULES, max_age=600))
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)
    assert await User.all().count() == 0


async def test_a_link_needs_as_much(
    visitor_of: Opener, provider: OpenIdProvider, tokens: account.AuthTokensData
) -> None:
    """What would not sign in is not linked either."""
    visitor = await visitor_of(provider.settings(**RULES))
    here = Visitor(await as_viewer(visitor.context, tokens.access_token))
    with pytest.raises(SignInFailed) as caught:
        await here.link(provider, "kranich seven")
    assert caught.value.reason is SignInFailure.NOT_STRONG_ENOUGH


async def test_a_login_ends_with_the_sign_in_there(
    visitor_of: Opener, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """However much it is used: each refresh leaves the end where it is, and after it neither the
    access token nor the refresh token counts."""
    visitor = await visitor_of(provider.settings(login_seconds=3600))
    began = int(clock.now().timestamp()) - 600
    provider.claims["auth_time"] = began
    tokens = await visitor.sign_in(provider)
    ends = began + 3600
    assert tokens.refresh_token_expires_at.timestamp() == ends
    clock.forward(minutes=45)
    tokens = await account.refresh_tokens(visitor.context, tokens.refresh_token)
    assert tokens.refresh_token_expires_at.timestamp() == ends
    assert (await as_viewer(visitor.context, tokens.access_token)).viewer is not None
    clock.forward(minutes=6)
    viewer, problem = await account.authenticate(visitor.context.services, tokens.access_token)
    assert (viewer, problem) == (None, "This login was ended; log in again.")
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(visitor.context, tokens.refresh_token)
    with pytest.raises(SignInFailed) as caught:
        await visitor.sign_in(provider)
    assert caught.value.reason is SignInFailure.TOO_LONG_AGO


async def test_without_such_an_end(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """A refresh gives another 30 days."""
    tokens = await visitor.sign_in(provider)
    clock.forward(days=20)
    now = clock.now()
    tokens = await account.refresh_tokens(visitor.context, tokens.refresh_token)
    assert tokens.refresh_token_expires_at >= now + visitor.context.services.rules.login_idle
