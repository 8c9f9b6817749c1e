"""A provider tells over HTTP that somebody has signed out there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.login import Login
from models.sign_in import SpentLogout
from rag.embedding.fake import FakeEmbedder
from tests.application import Running, running_app, test_settings
from tests.clock import SettableClock
from tests.openid_provider import (
    CLIENT,
    CLIENT_SECRET,
    REDIRECT,
    logout_claims,
    rsa_key,
    running_provider,
    sign,
)
from tests.schema.test_sign_in import World
from web.back_channel import MAX_BODY

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "kb").mkdir()
    clock = SettableClock()
    async with running_provider(clock) as provider:
        one = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
        settings = test_settings(
            tmp_path,
            f"sqlite://{tmp_path / 'here.db'}",
            oidc_redirect_uris=REDIRECT,
            oidc_providers=json.dumps({"keycloak": one}),
        )
        async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
            app.services.store.bind()
            yield World(app, provider, clock)


async def leave(world: World, body: Any, name: str = "keycloak", **headers: str) -> httpx.Response:
    url = world.app.url.replace("/graphql", f"/sign-in/{name}/back-channel-logout")
    if isinstance(body, dict):
        return await world.app.http.post(url, data=body, headers=headers)
    return await world.app.http.post(url, content=body, headers=headers)


def token(world: World, **who: str) -> str:
    header = {"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}
    return sign(header, logout_claims(world.provider, **who), rsa_key())


async def test_open_sockets_end(world: World) -> None:
    """With 4403 within 5 seconds; the access token does not count any more."""
    access = (await world.sign_in())["accessToken"]
    async with world.app.socket(access) as socket:
        answer = await leave(world, {"logout_token": token(world, sub="248289761001")})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["cache-control"] == "no-store"
        await socket.wait_closed()
        assert socket.close_code == 4403
    assert await world.app.code("{ logins { id } }", {}, access) == "UNAUTHENTICATED"
    assert await Login.filter(revoked_at__isnull=True).count() == 0


async def test_what_is_refused(world: World) -> None:
    """Each with a status and an error as RFC 6749 writes them; nobody's login ends."""
    await world.sign_in()
    good = token(world, sub="248289761001")
    form = {"content-type": "application/x-www-form-urlencoded"}
    cases: list[tuple[Any, str, dict[str, str], int]] = [
        ({"logout_token": good}, "another", {}, 404),
        ({"logout_token": good + "x"}, "keycloak", {}, 400),
        ({"logout_token": "é"}, "keycloak", {}, 400),
        ({"token": good}, "keycloak", {}, 400),
        (f"logout_token={good}&logout_token={good}".encode(), "keycloak", form, 400),
        (b"", "keycloak", form, 400),
        (b"logout_token=\xff", "keycloak", form, 400),
        (b"&".join(b"a=%d" % number for number in range(11)), "keycloak", form, 400),
        (b"logout_token=" + b"x" * MAX_BODY, "keycloak", form, 413),
        (json.dumps({"logout_token": good}).encode(), "keycloak", {}, 415),
        (f"logout_token={good}".encode(), "keycloak", {"content-type": "text/plain"}, 415),
    ]
    for body, name, headers, status in cases:
        answer = await leave(world, body, name, **headers)
        assert answer.status_code == status, (str(body)[:40], name)
        assert answer.json()["error"] == "invalid_request"
        assert good not in answer.text
        assert answer.headers["cache-control"] == "no-store"
    assert await SpentLogout.all().count() == 0
    assert await Login.filter(revoked_at__isnull=True).count() == 1
    url = world.app.url.replace("/graphql", "/sign-in/keycloak/back-channel-logout")
    assert (await world.app.http.get(url)).status_code == 405
    assert (await leave(world, {"logout_token": good})).status_code == 200
    assert (await leave(world, {"logout_token": good})).status_code == 400


async def test_a_provider_whose_keys_cannot_be_had(world: World) -> None:
    """The logout has failed, so the answer is 400; a later one may go through."""
    await world.sign_in()
    good = token(world, sub="248289761001")
    world.provider.published = []
    world.clock.forward(hours=2)
    assert (await leave(world, {"logout_token": good})).status_code == 400
    assert await Login.filter(revoked_at__isnull=True).count() == 1


async def test_so_many_a_minute(world: World) -> None:
    """Then the provider is told when to come again, before the body is read."""
    rates = world.app.services.rates
    rates._allowances = replace(rates._allowances, provider_logouts=1)
    assert (await leave(world, {"x": "y"})).status_code == 400
    answer = await leave(world, {"x": "y"})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_without_providers_there_is_no_address(scripted: Running) -> None:
    """Nobody can call it."""
    url = scripted.url.replace("/graphql", "/sign-in/keycloak/back-channel-logout")
    assert (await scripted.http.post(url, data={"logout_token": "x"})).status_code == 404
