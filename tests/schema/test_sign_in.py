"""Sign-in by a provider through the real application, on each database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from models.second_factor import SecondFactor
from models.sign_in import SignInFlow, SignInIdentity
from models.user import User
from rag.embedding.fake import FakeEmbedder
from tests.application import PASSWORD, Running, running_app, test_settings
from tests.clock import SettableClock
from tests.openid_provider import CLIENT, CLIENT_SECRET, REDIRECT, OpenIdProvider, running_provider
from tests.schema.test_own_account import DELETE

pytestmark = pytest.mark.anyio

PROVIDERS = "{ signInProviders { name label } }"
IDENTITIES = "{ signInIdentities { id provider email createdAt lastUsedAt } }"
START = "... on SignInStart { authorizationUrl state flowToken expiresAt }"
PROBLEM = "... on Problem { message }"
FIELD = "... on InvalidInput { field }"
TOKENS = "... on AuthTokens { accessToken user { id email displayName emailVerified } }"
BEGIN = f"""mutation($p: String!, $r: String!) {{
  beginSignIn(provider: $p, redirectUri: $r) {{ __typename {START} {PROBLEM} {FIELD} }} }}"""
COMPLETE = f"""mutation($f: String!, $s: String!, $c: String!, $i: String) {{
  completeSignIn(flowToken: $f, state: $s, code: $c, iss: $i) {{
    __typename {TOKENS} {PROBLEM} }} }}"""
CODE = f"""mutation($f: String!, $c: String!) {{
  confirmSignIn(flowToken: $f, code: $c) {{ __typename {TOKENS} {PROBLEM} }} }}"""
LINK = f"""mutation($p: String!, $r: String!, $w: String) {{
  linkSignIn(provider: $p, redirectUri: $r, password: $w) {{
    __typename {START} {PROBLEM} {FIELD} }} }}"""
LINKED = f"""mutation($f: String!, $s: String!, $c: String!, $i: String) {{
  completeLink(flowToken: $f, state: $s, code: $c, iss: $i) {{
    __typename ... on SignInIdentity {{ id provider email }} {PROBLEM} {FIELD} }} }}"""
UNLINK = f"""mutation($i: ID!) {{ unlinkSignIn(id: $i) {{
  __typename ... on Deleted {{ id }} {PROBLEM} {FIELD} }} }}"""


@dataclass
class World:
    app: Running
    provider: OpenIdProvider
    clock: SettableClock

    async def do(self, operation: str, token: str | None = None, **values: Any) -> Any:
        (found,) = (await self.app.data(operation, values, token)).values()
        return found

    async def begin(self) -> Any:
        return await self.do(BEGIN, p="keycloak", r=REDIRECT)

    async def back(self, start: Any) -> dict[str, Any]:
        """What the client brings back."""
        back = await self.provider.visit(start["authorizationUrl"])
        assert back.state == start["state"]
        return {"f": start["flowToken"], "s": back.state, "c": back.code, "i": back.iss}

    async def sign_in(self) -> Any:
        return await self.do(COMPLETE, **await self.back(await self.begin()))


@pytest.fixture
async def world(
    anyio_backend: str, empty_database_url: str, tmp_path: Path
) -> AsyncIterator[World]:
    (tmp_path / "kb").mkdir()
    clock = SettableClock()
    async with running_provider(clock) as provider:
        settings = test_settings(
            tmp_path,
            empty_database_url,
            address_sign_ins_per_minute=20,
            oidc_redirect_uris=REDIRECT,
            oidc_providers=json.dumps(
                {
                    "keycloak": {
                        "issuer": provider.issuer,
                        "client_id": CLIENT,
                        "client_secret": CLIENT_SECRET,
                        "label": "Our company",
                    }
                }
            ),
        )
        async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
            app.services.store.bind()
            yield World(app, provider, clock)


async def test_a_sign_in(world: World) -> None:
    """From the button to an account, its export and its end."""
    assert await world.do(PROVIDERS) == [{"name": "keycloak", "label": "Our company"}]
    start = await world.begin()
    assert start["expiresAt"].startswith("2030-01-01T12:10:00")
    first = await world.do(COMPLETE, **await world.back(start))
    assert first["user"] == {
        "id": first["user"]["id"],
        "email": "olga@example.com",
        "displayName": "Olga Petrowa",
        "emailVerified": True,
    }
    token = first["accessToken"]
    (identity,) = await world.do(IDENTITIES, token)
    assert (identity["provider"], identity["email"]) == ("keycloak", "olga@example.com")
    url = world.app.url.replace("/graphql", "/account/data")
    export = await world.app.http.get(url, headers={"authorization": f"Bearer {token}"})
    (told,) = json.loads(export.text)["signIns"]
    assert (told["issuer"], told["subject"]) == (world.provider.issuer, "248289761001")
    only = await world.do(UNLINK, token, i=identity["id"])
    assert (only["__typename"], only["field"]) == ("InvalidInput", "id")
    refused = await world.do(DELETE, token, p="")
    assert "no password yet" in refused["message"]

    hashed = await world.app.services.passwords.hash(PASSWORD)
    await User.all().update(password_hash=hashed)
    assert (await world.do(DELETE, token, p=PASSWORD))["__typename"] == "Acknowledged"
    assert await SignInIdentity.all().count() == 0
    again = await world.sign_in()
    assert again["user"]["id"] != first["user"]["id"]


async def test_at_once(world: World) -> None:
    """A flow counts once, and one person's first sign-ins make one account, on each database."""
    start = await world.begin()
    back = await world.back(start)
    results = await asyncio.gather(*(world.do(COMPLETE, **back) for _ in range(8)))
    assert sorted(one["__typename"] for one in results) == ["AuthTokens"] + 7 * ["InvalidToken"]
    world.provider.claims.update(sub="new", email="new@example.com")
    backs = [await world.back(await world.begin()) for _ in range(4)]
    results = await asyncio.gather(*(world.do(COMPLETE, **one) for one in backs))
    assert len({one["user"]["id"] for one in results}) == 1
    # Different people with one address: one gets it, the others are told to link.
    backs = []
    for number in range(4):
        world.provider.claims.update(sub=f"same {number}", email="same@example.com")
        backs.append(await world.back(await world.begin()))
    results = await asyncio.gather(*(world.do(COMPLETE, **one) for one in backs))
    assert sorted(one["__typename"] for one in results) == ["AuthTokens"] + 3 * ["LinkRequired"]
    assert await User.all().count() == await SignInIdentity.all().count() == 3


async def test_an_account_that_is_there(world: World) -> None:
    """It is not taken over; its person links the identity, signs in by it, and takes it away."""
    token = await world.app.login("olga@example.com")
    told = await world.sign_in()
    assert told["__typename"] == "LinkRequired"
    unconfirmed = await world.do(LINK, token, p="keycloak", r=REDIRECT, w=PASSWORD)
    assert unconfirmed["__typename"] == "EmailNotVerified"
    await User.all().update(email_verified_at=world.clock.now())
    wrong = await world.do(LINK, token, p="keycloak", r=REDIRECT)
    assert wrong["__typename"] == "InvalidCredentials"
    start = await world.do(LINK, token, p="keycloak", r=REDIRECT, w=PASSWORD)
    back = await world.back(start)
    assert (await world.do(COMPLETE, **back))["__typename"] == "InvalidToken"
    assert await world.app.code(LINKED, back) == "UNAUTHENTICATED"
    linked = await world.do(LINKED, token, **back)
    assert linked["__typename"] == "SignInIdentity"
    assert (await world.sign_in())["user"]["email"] == "olga@example.com"
    assert await world.do(UNLINK, token, i=linked["id"]) == {
        "__typename": "Deleted",
        "id": linked["id"],
    }
    assert (await world.do(UNLINK, token, i=linked["id"]))["__typename"] == "NotFound"
    assert (await world.sign_in())["__typename"] == "LinkRequired"


async def test_a_second_factor(world: World) -> None:
    """It is asked for, and the same flow goes on with it."""
    first = await world.sign_in()
    user, secret = await User.get(), pyotp.random_base32()
    now = world.clock.now()
    await SecondFactor.create(user=user, secret=secret, confirmed_at=now, tries_since=now)
    start = await world.begin()
    told = await world.do(COMPLETE, **await world.back(start))
    assert told["__typename"] == "SecondFactorRequired"
    wrong = await world.do(CODE, f=start["flowToken"], c="000")
    assert wrong["__typename"] == "SecondFactorRequired"
    code = pyotp.TOTP(secret).at(now + timedelta(seconds=0))
    right = await world.do(CODE, f=start["flowToken"], c=code)
    assert right["user"]["id"] == first["user"]["id"]
    assert (await world.do(CODE, f=start["flowToken"], c=code))["__typename"] == "InvalidToken"


async def test_refusals(world: World) -> None:
    """Each is typed, in the person's language, and leaves nothing."""
    said = await world.do(BEGIN, p="keycloak", r=REDIRECT + "/")
    assert (said["__typename"], said["field"]) == ("InvalidInput", "redirectUri")
    world.provider.claims["email_verified"] = False
    assert (await world.sign_in())["__typename"] == "SignInFailed"
    answer = await world.app.http.post(
        world.app.url,
        json={"query": BEGIN, "variables": {"p": "nobody", "r": REDIRECT}},
        headers={"accept-language": "de"},
    )
    assert answer.json()["data"]["beginSignIn"]["message"] == "Diesen Anbieter gibt es nicht."
    assert await User.all().count() == 0
    kinds = [(await world.begin())["__typename"] for _ in range(20)]
    assert (kinds[0], kinds[-1]) == ("SignInStart", "RateLimited")
    assert await SignInFlow.all().count() == kinds.count("SignInStart") + 1
