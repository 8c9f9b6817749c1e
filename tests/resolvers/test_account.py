from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from models.login import Login, RefreshToken
from models.second_factor import SecondFactor
from models.user import User
from resolvers import account, registration, second_factor
from resolvers.account import AuthTokensData
from resolvers.context import Context, Services, Viewer
from resolvers.email_verification import verify_email
from resolvers.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidToken,
    SecondFactorRequired,
)
from resolvers.passwords import PasswordHasher
from resolvers.tokens import hash_opaque_token
from tests.clock import RunningClock
from tests.queries import counted
from tests.resolvers.conftest import EMAIL, PASSWORD, SECRET, mailed_token

pytestmark = pytest.mark.anyio


# ---- login ---------------------------------------------------------------------------------------


async def test_login(context: Context, anna: User, clock: RunningClock) -> None:
    """A login gives a pair of tokens and remembers the device."""
    data = await account.login(context, email="ANNA@example.com ", password=PASSWORD)
    assert data.user.id == anna.id
    now = clock.now()
    assert timedelta(minutes=14, seconds=58) < data.access_token_expires_at - now
    assert abs(data.refresh_token_expires_at - now - timedelta(days=30)) < timedelta(seconds=1)
    row = await Login.get()
    assert (row.user_id, row.address, row.user_agent) == (anna.id, "192.0.2.1", "Test/1.0")
    assert row.expires_at == data.refresh_token_expires_at
    stored = await RefreshToken.get()
    assert stored.token_hash == hash_opaque_token(data.refresh_token)
    assert (await account.authenticate(context.services, data.access_token))[1] is None


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "kranich eight"),
        (EMAIL, ""),
        (EMAIL, "\ud800"),
        (EMAIL, "\0" * 10),
        (EMAIL, "k" * 10**6),
        ("other@example.com", PASSWORD),
        ("nonsense", PASSWORD),
        ("", ""),
        ("\ud800@example.com", PASSWORD),
    ],
)
async def test_wrong_credentials(context: Context, anna: User, email: str, password: str) -> None:
    """Unknown address and wrong password give the same answer, and no login."""
    with pytest.raises(InvalidCredentials) as caught:
        await account.login(context, email=email, password=password)
    assert caught.value.message == "The address or the password is wrong."
    assert await Login.all().count() == 0


async def test_unverified_login(context: Context, verified_only: Context) -> None:
    """Where it is required, an unconfirmed address cannot log in; a wrong password learns less."""
    taken = await registration.register(verified_only, email=EMAIL, password=PASSWORD)
    assert taken.verification_required
    with pytest.raises(InvalidCredentials):
        await account.login(verified_only, email=EMAIL, password="kranich eight")
    with pytest.raises(EmailNotVerified):
        await account.login(verified_only, email=EMAIL, password=PASSWORD)
    assert await Login.all().count() == 0
    await account.login(context, email=EMAIL, password=PASSWORD)
    await verify_email(verified_only, await mailed_token(EMAIL))
    await account.login(verified_only, email=EMAIL, password=PASSWORD)


async def test_rehash(context: Context, services: Services, anna: User) -> None:
    """A login renews the hash when the parameters have risen, and only then."""
    before = (await User.get()).password_hash
    await account.login(context, email=EMAIL, password=PASSWORD)
    assert (await User.get()).password_hash == before
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    try:
        later = replace(context, services=replace(services, passwords=stronger))
        await account.login(later, email=EMAIL, password=PASSWORD)
        after = (await User.get()).password_hash
        assert after.startswith("$argon2id$v=19$m=16,t=2,p=1$")
        await account.login(later, email=EMAIL, password=PASSWORD)
        assert (await User.get()).password_hash == after
    finally:
        stronger.close()


async def test_odd_headers(context: Context, anna: User) -> None:
    """Overlong and odd headers are cut to what can be stored."""
    context.user_agent, context.address = "a\0\ud800" + "b" * 400, "f" * 60
    await account.login(context, email=EMAIL, password=PASSWORD)
    row = await Login.get()
    assert (row.user_agent, row.address) == ("a" + "b" * 299, "f" * 45)


# ---- authentication ------------------------------------------------------------------------------


async def test_authenticate(context: Context, tokens: AuthTokensData) -> None:
    """The token counts with and without "Bearer", however that is spelt."""
    for header in (
        tokens.access_token,
        f"Bearer {tokens.access_token}",
        f"  bearer   {tokens.access_token} ",
        f"BEARER {tokens.access_token}",
    ):
        viewer, reason = await account.authenticate(context.services, header)
        assert reason is None
        assert isinstance(viewer, Viewer)
        assert viewer.user.email == EMAIL
        assert viewer.login.address == "192.0.2.1"


@pytest.mark.parametrize("header", [None, "", "  "])
async def test_anonymous(context: Context, header: str | None) -> None:
    """Who sends no token is anonymous, without a complaint."""
    assert await account.authenticate(context.services, header) == (None, None)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic YTpi", "x", "Bearer null", "\ud800", "a b c", "🦊" * 99]
)
async def test_odd_authorization(context: Context, header: str) -> None:
    """Anything else is not anonymous: the caller is told."""
    viewer, reason = await account.authenticate(context.services, header)
    assert viewer is None
    assert reason


async def test_expired_access_token(
    context: Context, tokens: AuthTokensData, clock: RunningClock
) -> None:
    """An expired access token says that it can be refreshed."""
    clock.forward(minutes=16)
    assert await account.authenticate(context.services, tokens.access_token) == (
        None,
        "The access token has expired; refresh it.",
    )


async def test_refresh_tokens_do_not_authenticate(context: Context, tokens: AuthTokensData) -> None:
    """A refresh token is no access token."""
    viewer, reason = await account.authenticate(context.services, tokens.refresh_token)
    assert viewer is None
    assert reason


async def test_someone_elses_login(context: Context, tokens: AuthTokensData) -> None:
    """A token whose user and login do not belong together is nobody's."""
    await registration.register(context, email="b@example.com", password=PASSWORD)
    other = await User.get(email="b@example.com")
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    forged = jwt.encode(
        {**claims, "sub": str(other.id)},
        SECRET,
        headers=jwt.get_unverified_header(tokens.access_token),
    )
    assert (await account.authenticate(context.services, forged))[0] is None


async def test_deleted_user(context: Context, tokens: AuthTokensData) -> None:
    """The tokens of a deleted account end with it."""
    await User.all().delete()
    assert (await account.authenticate(context.services, tokens.access_token))[0] is None
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)


async def test_authentication_costs_one_query(context: Context, tokens: AuthTokensData) -> None:
    """One query for a good token, none for one that is not ours."""
    async with counted(context.services.store) as queries:
        await account.authenticate(context.services, tokens.access_token)
        assert len(queries) == 1
        await account.authenticate(context.services, tokens.access_token[:-4] + "AAAA")
        assert len(queries) == 1


async def test_secrets_do_not_reach_the_database(
    context: Context, tokens: AuthTokensData, tmp_path: Path
) -> None:
    """No password and no refresh token stands in the database's files."""
    stored = await asyncio.to_thread(
        lambda: b"".join(path.read_bytes() for path in tmp_path.glob("test.db*"))
    )
    assert EMAIL.encode() in stored
    assert PASSWORD.encode() not in stored
    assert tokens.refresh_token.encode() not in stored
    assert tokens.access_token.encode() not in stored


async def test_a_login_that_races_with_a_second_factor(context: Context, anna: User) -> None:
    """Whoever was let through without a code has no login if the factor was switched on before it
    was made; with the code shown it is."""
    assert await second_factor.require_code(context, anna, None) is False
    await SecondFactor.create(
        user=anna,
        secret="sealed",
        tries_since=context.services.clock.now(),
        confirmed_at=context.services.clock.now(),
    )
    with pytest.raises(SecondFactorRequired):
        await account.begin_login(context, anna, factor_shown=False)
    assert await Login.all().count() == 0
    await account.begin_login(context, anna, factor_shown=True)
    assert await Login.all().count() == 1
