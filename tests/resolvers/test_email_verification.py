"""Confirming an address: who may, and with what."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from models.email_token import EmailToken
from models.login import Login
from models.second_factor import SecondFactor
from models.security_event import SecurityEvent
from models.user import User
from resolvers import account, registration
from resolvers.context import Context
from resolvers.email_verification import verify_email
from resolvers.errors import InvalidInput
from resolvers.password_changes import request_password_reset, reset_password
from tests.resolvers.conftest import EMAIL, PASSWORD, as_viewer, mailed_token

pytestmark = pytest.mark.anyio

STRANGERS = "the stranger's sentence"


@pytest.fixture
def elsewhere(context: Context) -> Context:
    """Where the owner of the mailbox is; the stranger registers in `context`."""
    return replace(context, address="198.51.100.7")


async def is_verified() -> bool:
    return (await User.get(email=EMAIL)).email_verified_at is not None


async def test_a_stranger_gets_no_confirmed_account(context: Context, elsewhere: Context) -> None:
    """A stranger registers the address, and its owner opens the link: with no password and with
    any password of theirs nothing is confirmed, and the link is not used up."""
    await registration.register(context, email=EMAIL, password=STRANGERS)
    link = await mailed_token(EMAIL)
    for password in (None, "", PASSWORD, "x" * 500):
        with pytest.raises(InvalidInput) as refused:
            await verify_email(elsewhere, link, password)
        assert refused.value.field == "password"
    assert not await is_verified()
    assert (await EmailToken.get()).used_at is None
    assert not await SecurityEvent.filter(kind="EMAIL_VERIFIED").exists()


async def test_who_registered_may_be_elsewhere(context: Context, elsewhere: Context) -> None:
    """With the password, on a phone in another network; it stays the password."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    user = await verify_email(elsewhere, await mailed_token(EMAIL), PASSWORD)
    assert user.email_verified_at is not None
    tokens = await account.login(elsewhere, email=EMAIL, password=PASSWORD)
    assert tokens.user.id == user.id


async def test_a_login_stands_for_the_password(context: Context, elsewhere: Context) -> None:
    """Who is logged in on the account confirms from anywhere; a login on another one does not."""
    await registration.register(context, email="ben@example.com", password=PASSWORD)
    await registration.register(context, email=EMAIL, password=PASSWORD)
    link = await mailed_token(EMAIL)
    other = await account.login(elsewhere, email="ben@example.com", password=PASSWORD)
    with pytest.raises(InvalidInput):
        await verify_email(await as_viewer(elsewhere, other.access_token), link)
    own = await account.login(elsewhere, email=EMAIL, password=PASSWORD)
    await verify_email(await as_viewer(elsewhere, own.access_token), link)
    assert await is_verified()


async def test_a_link_asked_for_again_keeps_its_place(context: Context, elsewhere: Context) -> None:
    """Whoever asks for the mail again need not be who registered: the place of the registration
    counts, and an old link without one counts nowhere."""
    await registration.register(context, email=EMAIL, password=STRANGERS)
    await registration.resend_verification(elsewhere, EMAIL)
    link = await mailed_token(EMAIL)
    with pytest.raises(InvalidInput):
        await verify_email(elsewhere, link)
    await EmailToken.all().update(network=None)
    with pytest.raises(InvalidInput):
        await verify_email(context, link)
    assert not await is_verified()


async def test_the_owner_takes_the_account(context: Context, elsewhere: Context) -> None:
    """By a link of their own registration, and by a reset: what the stranger has set up is gone,
    logins and the second factor included."""
    ways: list[UUID] = []
    for email in (EMAIL, "ben@example.com"):
        await registration.register(context, email=email, password=STRANGERS)
        tokens = await account.login(context, email=email, password=STRANGERS)
        ways.append(tokens.user.id)
        await SecondFactor.create(
            user_id=tokens.user.id,
            secret="x",
            tries_since=context.services.clock.now(),
            confirmed_at=context.services.clock.now(),
        )
    await registration.register(elsewhere, email=EMAIL, password=PASSWORD)
    await verify_email(elsewhere, await mailed_token(EMAIL))
    await request_password_reset(elsewhere, "ben@example.com")
    await reset_password(elsewhere, await mailed_token("ben@example.com"), PASSWORD)
    for email, user_id in zip((EMAIL, "ben@example.com"), ways, strict=True):
        assert not await SecondFactor.filter(user_id=user_id).exists()
        assert not await Login.filter(user_id=user_id, revoked_at__isnull=True).exists()
        assert (await account.login(elsewhere, email=email, password=PASSWORD)).user.id == user_id


async def test_a_used_link_answers_again(context: Context, elsewhere: Context) -> None:
    """Whoever opens it, as it changes nothing; a wrong password is told all the same."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    link = await mailed_token(EMAIL)
    await verify_email(context, link)
    assert (await verify_email(elsewhere, link)).email == EMAIL
    assert (await verify_email(elsewhere, link, PASSWORD)).email == EMAIL
    with pytest.raises(InvalidInput):
        await verify_email(elsewhere, link, STRANGERS)
    assert await SecurityEvent.filter(kind="EMAIL_VERIFIED").count() == 1
