"""Use cases with a provider beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from resolvers.account import AuthTokensData
from resolvers.context import Context, Services
from resolvers.sign_in import linking, signing_in
from resolvers.sign_in.flow import Arrival, FlowStart
from resolvers.sign_in.providers import Providers
from tests.clock import RunningClock
from tests.openid_provider import REDIRECT, OpenIdProvider, Return, running_provider


@pytest.fixture
async def provider(anyio_backend: str, clock: RunningClock) -> AsyncIterator[OpenIdProvider]:
    async with running_provider(clock) as provider:
        yield provider


@dataclass
class Visitor:
    """Somebody with a browser, and the client that they use."""

    context: Context

    async def begin(self, provider: str = "keycloak") -> FlowStart:
        return await signing_in.begin_sign_in(
            self.context, provider=provider, redirect_uri=REDIRECT
        )

    async def complete(self, start: FlowStart, back: Return, **changes: Any) -> AuthTokensData:
        return await signing_in.complete_sign_in(self.context, arrival(start, back, **changes))

    async def sign_in(self, provider: OpenIdProvider) -> AuthTokensData:
        start = await self.begin()
        return await self.complete(start, await provider.visit(start.authorization_url))

    async def link(self, provider: OpenIdProvider, password: str | None) -> Any:
        start = await linking.link_sign_in(
            self.context, provider="keycloak", redirect_uri=REDIRECT, password=password
        )
        back = await provider.visit(start.authorization_url)
        return await linking.complete_link(self.context, arrival(start, back))


def arrival(start: FlowStart, back: Return, **changes: Any) -> Arrival:
    """What a right client brings back, with changes."""
    return replace(Arrival(start.flow_token, back.state, back.code, back.iss), **changes)


Opener = Callable[..., Awaitable[Visitor]]


@pytest.fixture
async def visitor_of(context: Context, services: Services) -> AsyncIterator[Opener]:
    """Makes the visitor of a server that knows these providers."""
    opened: list[Providers] = []

    async def make(*settings: Any, seconds: float = 10.0) -> Visitor:
        known = Providers(settings, (REDIRECT,), services.clock, timeout=seconds)
        opened.append(known)
        return Visitor(replace(context, services=replace(services, providers=known)))

    yield make
    for one in opened:
        await one.close()


@pytest.fixture
async def visitor(visitor_of: Opener, provider: OpenIdProvider) -> Visitor:
    return await visitor_of(provider.settings())
