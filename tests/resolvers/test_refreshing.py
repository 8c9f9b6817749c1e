from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from models.api_key import ApiScope
from models.login import Login, RefreshToken
from models.user import User
from resolvers import account, registration
from resolvers.account import AuthTokensData
from resolvers.account_rules import AccountRules
from resolvers.context import Context, Services
from resolvers.errors import (
    InvalidToken,
    Unauthenticated,
)
from resolvers.logins import list_logins
from resolvers.own_keys import create_api_key
from resolvers.tokens import TokenService
from tests.clock import RunningClock
from tests.resolvers.conftest import EMAIL, PASSWORD, as_viewer, mailed_token

pytestmark = pytest.mark.anyio


async def test_refresh(context: Context, tokens: AuthTokensData, clock: RunningClock) -> None:
    """A refresh gives a new pair for the same login, which then lives for another 30 days."""
    clock.forward(days=29)
    fresh = await account.refresh_tokens(context, tokens.refresh_token)
    assert fresh.refresh_token != tokens.refresh_token
    assert fresh.refresh_token_expires_at - tokens.refresh_token_expires_at > timedelta(days=28)
    row = await Login.get()
    assert row.expires_at == fresh.refresh_token_expires_at
    assert row.last_used_at == row.expires_at - timedelta(days=30)
    clock.forward(days=29)
    assert (await account.refresh_tokens(context, fresh.refresh_token)).user.id == row.user_id
    assert await RefreshToken.filter(used_at__isnull=True).count() == 1


async def test_a_login_ends_though_it_is_used(
    context: Context, tokens: AuthTokensData, clock: RunningClock
) -> None:
    """However often it is refreshed, 90 days after it was made it is over: the client is told when,
    no token of it counts from then on, and a new login is possible."""
    began = (await Login.get()).created_at
    end = began + timedelta(days=90)
    latest = tokens
    while clock.time < end - timedelta(days=20):
        clock.forward(days=20)
        latest = await account.refresh_tokens(context, latest.refresh_token)
    assert latest.refresh_token_expires_at == end
    assert (await Login.get()).expires_at == end
    clock.time = end - timedelta(minutes=5)
    latest = await account.refresh_tokens(context, latest.refresh_token)
    assert latest.refresh_token_expires_at == end
    assert (await account.authenticate(context.services, latest.access_token))[0] is not None
    viewer = await as_viewer(context, latest.access_token)
    assert len(await list_logins(viewer)) == 1
    clock.time = end
    found = await account.authenticate(context.services, latest.access_token)
    assert found == (None, "This login was ended; log in again.")
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, latest.refresh_token)
    assert await list_logins(viewer) == []
    await account.login(context, email=EMAIL, password=PASSWORD)


async def test_a_shorter_life_counts_at_once(
    context: Context, services: Services, tokens: AuthTokensData, clock: RunningClock
) -> None:
    """Also for logins that were made when they might live longer; keys for programs keep their
    own end."""
    viewer = await as_viewer(context, tokens.access_token)
    key, _ = await create_api_key(
        viewer, name="nightly", scopes=[ApiScope.READ], expires_in_days=365
    )
    rules = AccountRules(login_lifetime=timedelta(hours=1), login_idle=timedelta(minutes=30))
    short = replace(context, services=replace(services, rules=rules))
    clock.forward(minutes=14)
    fresh = await account.refresh_tokens(short, tokens.refresh_token)
    assert fresh.refresh_token_expires_at - clock.time < timedelta(minutes=30)
    clock.forward(minutes=30)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(short, fresh.refresh_token)
    other = await account.login(context, email=EMAIL, password=PASSWORD)
    clock.forward(minutes=61)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(short, other.refresh_token)
    assert await account.refresh_tokens(context, other.refresh_token)
    assert (await account.authenticate(short.services, key))[0] is not None


async def test_replay(
    context: Context, tokens: AuthTokensData, clock: RunningClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A refresh token that comes back ends the login, its newest tokens included."""
    fresh = await account.refresh_tokens(context, tokens.refresh_token)
    other = await account.login(context, email=EMAIL, password=PASSWORD)
    clock.forward(seconds=10)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, fresh.refresh_token)
    viewer, reason = await account.authenticate(context.services, fresh.access_token)
    assert (viewer, reason) == (None, "This login was ended; log in again.")
    assert "A used refresh token came back" in caplog.text
    assert "gqr_" not in caplog.text
    await account.refresh_tokens(context, other.refresh_token)


async def test_replay_of_a_token_before_the_last(context: Context, tokens: AuthTokensData) -> None:
    """Once the next token was used, no time is given: whoever has the old one stole it."""
    second = await account.refresh_tokens(context, tokens.refresh_token)
    third = await account.refresh_tokens(context, second.refresh_token)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)
    assert (await Login.get()).revoked_at is not None
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, third.refresh_token)
    assert (await account.authenticate(context.services, third.access_token))[0] is None


async def test_a_lost_answer(context: Context, tokens: AuthTokensData, clock: RunningClock) -> None:
    """Asked again within ten seconds, the same refresh token comes; it is one family, and alive."""
    lost = await account.refresh_tokens(context, tokens.refresh_token)
    clock.forward(seconds=9)
    again = await account.refresh_tokens(context, tokens.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert again.refresh_token_expires_at == lost.refresh_token_expires_at
    assert (await account.authenticate(context.services, again.access_token))[0] is not None
    assert await RefreshToken.filter(used_at__isnull=True).count() == 1
    await account.refresh_tokens(context, again.refresh_token)


async def test_without_grace(context: Context, services: Services, tokens: AuthTokensData) -> None:
    """An operator may give no time at all: the first replay ends the login."""
    strict = replace(
        context, services=replace(services, rules=AccountRules(refresh_grace=timedelta()))
    )
    await account.refresh_tokens(strict, tokens.refresh_token)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(strict, tokens.refresh_token)
    assert (await Login.get()).revoked_at is not None


async def test_the_next_token_takes_the_secret(
    context: Context, services: Services, tokens: AuthTokensData
) -> None:
    """From a refresh token alone nobody can make the one that follows."""
    fresh = await account.refresh_tokens(context, tokens.refresh_token)
    other = TokenService("another secret of thirty-two bytes", services.clock)
    assert services.tokens.next_refresh_token(tokens.refresh_token)[0] == fresh.refresh_token
    assert other.next_refresh_token(tokens.refresh_token)[0] != fresh.refresh_token
    assert len(fresh.refresh_token) == len(tokens.refresh_token)


async def test_refresh_at_once(context: Context, tokens: AuthTokensData) -> None:
    """Of 20 refreshes at the same time with one token all get the same next one, and it works."""
    results = await asyncio.gather(
        *(account.refresh_tokens(context, tokens.refresh_token) for _ in range(20)),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, AuthTokensData)]
    assert len(won) == 20
    assert len({one.refresh_token for one in won}) == 1
    assert (await Login.get()).revoked_at is None
    assert await RefreshToken.filter(used_at__isnull=True).count() == 1
    viewer, _ = await account.authenticate(context.services, won[0].access_token)
    assert viewer is not None
    await account.refresh_tokens(context, won[0].refresh_token)


async def test_refresh_during_another(
    context: Context, tokens: AuthTokensData, clock: RunningClock
) -> None:
    """A request that came before the token was used is refused, and the login lives on."""
    await RefreshToken.all().update(used_at=clock.now() + timedelta(seconds=1))
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)
    assert (await Login.get()).revoked_at is None


async def test_refresh_too_late(
    context: Context, tokens: AuthTokensData, clock: RunningClock
) -> None:
    """After 30 days without use the login has ended."""
    clock.forward(days=30)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)
    assert await RefreshToken.all().count() == 1


async def test_refresh_nonsense(context: Context, tokens: AuthTokensData) -> None:
    """Access tokens, unknown tokens and other text are no refresh tokens and harm nobody."""
    for token in (tokens.access_token, "", "gqr_x", "\ud800", "\0", "a" * 10**6):
        with pytest.raises(InvalidToken):
            await account.refresh_tokens(context, token)
    await account.refresh_tokens(context, tokens.refresh_token)


async def test_a_mail_token_does_not_refresh(context: Context, anna: User) -> None:
    """A token from a mail is no refresh token."""
    await registration.register(context, email="b@example.com", password=PASSWORD)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, await mailed_token("b@example.com"))


# ---- logout --------------------------------------------------------------------------------------


async def test_logout(context: Context, tokens: AuthTokensData) -> None:
    """A logout ends this login with its access token, and no other."""
    other = await account.login(context, email=EMAIL, password=PASSWORD)
    await account.logout(await as_viewer(context, tokens.access_token))
    assert await account.authenticate(context.services, tokens.access_token) == (
        None,
        "This login was ended; log in again.",
    )
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)
    await account.refresh_tokens(context, other.refresh_token)


async def test_logout_everywhere(context: Context, tokens: AuthTokensData) -> None:
    """A logout everywhere ends all logins of this person, and nobody else's."""
    other = await account.login(context, email=EMAIL, password=PASSWORD)
    await registration.register(context, email="b@example.com", password=PASSWORD)
    stranger = await account.login(context, email="b@example.com", password=PASSWORD)
    await account.logout(await as_viewer(context, tokens.access_token), everywhere=True)
    for ended in (tokens, other):
        assert (await account.authenticate(context.services, ended.access_token))[0] is None
        with pytest.raises(InvalidToken):
            await account.refresh_tokens(context, ended.refresh_token)
    await account.refresh_tokens(context, stranger.refresh_token)


async def test_logout_of_nobody(context: Context) -> None:
    """Without a login there is nothing to end."""
    with pytest.raises(Unauthenticated):
        await account.logout(context)


async def test_logout_beats_refresh(context: Context, tokens: AuthTokensData) -> None:
    """A refresh and a logout at the same moment leave the login ended."""
    viewer = await as_viewer(context, tokens.access_token)
    await asyncio.gather(
        account.refresh_tokens(context, tokens.refresh_token),
        account.logout(viewer),
        return_exceptions=True,
    )
    assert (await Login.get()).revoked_at is not None
