"""Forgotten and changed passwords, and the list of logins."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from models.base import new_id
from models.email_token import EmailToken
from models.login import Login
from models.outbox_mail import OutboxMail
from models.user import User
from resolvers import account, logins, registration
from resolvers.account import MAX_LOGINS, AuthTokensData
from resolvers.context import Context
from resolvers.email_verification import verify_email
from resolvers.errors import (
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    NotFound,
    Unauthenticated,
)
from resolvers.password_changes import change_password, request_password_reset, reset_password
from tests.clock import RunningClock
from tests.resolvers.conftest import mailed_token

pytestmark = pytest.mark.anyio

EMAIL = "anna@example.com"
OLD = "kranich seven"
NEW = "kranich eight"


@pytest.fixture
async def anna(context: Context) -> User:
    await registration.register(context, email=EMAIL, password=OLD, display_name="Anna Katharina")
    return await verify_email(context, await mailed_token(EMAIL))


async def signed_in(context: Context, password: str = OLD) -> AuthTokensData:
    return await account.login(context, email=EMAIL, password=password)


async def as_viewer(context: Context, tokens: AuthTokensData) -> Context:
    viewer, reason = await account.authenticate(context.services, tokens.access_token)
    assert reason is None
    return replace(context, viewer=viewer)


async def works(context: Context, tokens: AuthTokensData) -> bool:
    return (await account.authenticate(context.services, tokens.access_token))[0] is not None


# ---- forgotten -----------------------------------------------------------------------------------


async def test_reset(context: Context, anna: User) -> None:
    """The link of the mail sets a new password once, and ends all logins."""
    tokens = await signed_in(context)
    await request_password_reset(context, " ANNA@example.com")
    token = await mailed_token(EMAIL)
    mail = await OutboxMail.filter(to=EMAIL).order_by("-id").first()
    assert mail is not None
    assert f"https://chat.example/reset-password#token={token}" in mail.text
    await reset_password(context, token, NEW)
    assert not await works(context, tokens)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)
    with pytest.raises(InvalidCredentials):
        await signed_in(context)
    await signed_in(context, NEW)
    with pytest.raises(InvalidToken):
        await reset_password(context, token, "kranich nine")
    newest = await OutboxMail.filter(to=EMAIL).order_by("-id").first()
    assert newest is not None
    assert newest.subject == "Your password was changed"


async def test_reset_at_once(context: Context, anna: User) -> None:
    """Of ten uses of one link at the same time one counts."""
    await request_password_reset(context, EMAIL)
    token = await mailed_token(EMAIL)
    results = await asyncio.gather(
        *(reset_password(context, token, f"password number {n}") for n in range(10)),
        return_exceptions=True,
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, InvalidToken) for result in results) == 9


async def test_reset_too_late(context: Context, anna: User, clock: RunningClock) -> None:
    """The link works for an hour."""
    await request_password_reset(context, EMAIL)
    token = await mailed_token(EMAIL)
    clock.forward(hours=1)
    with pytest.raises(InvalidToken):
        await reset_password(context, token, NEW)


async def test_only_one_link_counts_after_a_reset(context: Context, anna: User) -> None:
    """Links that were asked for before are dead once one was used."""
    await request_password_reset(context, EMAIL)
    first = await mailed_token(EMAIL)
    await request_password_reset(context, EMAIL)
    await reset_password(context, await mailed_token(EMAIL), NEW)
    with pytest.raises(InvalidToken):
        await reset_password(context, first, "mallory knows it")


@pytest.mark.parametrize("password", ["short", "password123", EMAIL, "Anna Katharina"])
async def test_an_unfit_password_does_not_use_the_link_up(
    context: Context, anna: User, password: str
) -> None:
    """It is refused by its field, nothing changes, and the link still works."""
    tokens = await signed_in(context)
    await request_password_reset(context, EMAIL)
    token = await mailed_token(EMAIL)
    with pytest.raises(InvalidInput) as caught:
        await reset_password(context, token, password)
    assert caught.value.field == "newPassword"
    assert await works(context, tokens)
    await reset_password(context, token, NEW)


async def test_the_kinds_of_links_do_not_mix(context: Context, anna: User) -> None:
    """A link that confirms sets no password, and one that sets a password confirms nothing."""
    await request_password_reset(context, EMAIL)
    reset = await mailed_token(EMAIL)
    with pytest.raises(InvalidToken):
        await verify_email(context, reset)
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, reset)
    assert (await account.authenticate(context.services, reset))[0] is None
    await registration.register(context, email="b@example.com", password=OLD)
    with pytest.raises(InvalidToken):
        await reset_password(context, await mailed_token("b@example.com"), NEW)


@pytest.mark.parametrize("token", ["", "gqe_", "gqe_" + "A" * 43, "\ud800", "\0", "a" * 10**6])
async def test_reset_nonsense(context: Context, anna: User, token: str) -> None:
    """Anything else is an invalid token."""
    with pytest.raises(InvalidToken):
        await reset_password(context, token, NEW)


@pytest.mark.parametrize("email", ["nobody@example.com", "nonsense", "\ud800", ""])
async def test_reset_of_nobody(context: Context, anna: User, email: str) -> None:
    """Unknown and impossible addresses get no mail and the same silence."""
    before = await OutboxMail.exclude(to="").count()
    await request_password_reset(context, email)
    assert await OutboxMail.exclude(to="").count() == before
    assert await OutboxMail.filter(next_attempt_at__isnull=False, to="").count() == 0
    assert not await EmailToken.filter(purpose="RESET").exists()


async def test_a_reset_takes_the_account_from_whoever_registered_the_address(
    context: Context,
) -> None:
    """The mailbox's owner gets the account; the stranger's password, login and link are void."""
    await registration.register(context, email=EMAIL, password="mallory knows it")
    link = await mailed_token(EMAIL)
    mallory = await signed_in(context, "mallory knows it")
    await request_password_reset(context, EMAIL)
    await reset_password(context, await mailed_token(EMAIL), NEW)
    assert (await User.get()).email_verified_at is not None
    assert not await works(context, mallory)
    await verify_email(context, link)
    with pytest.raises(InvalidCredentials):
        await signed_in(context, "mallory knows it")
    await signed_in(context, NEW)


# ---- changed -------------------------------------------------------------------------------------


async def test_change(context: Context, anna: User) -> None:
    """All other logins end; this one goes on, with new tokens, and its old refresh token is void
    without harm."""
    here, there = await signed_in(context), await signed_in(context)
    await request_password_reset(context, EMAIL)
    link = await mailed_token(EMAIL)
    fresh = await change_password(
        await as_viewer(context, here), current_password=OLD, new_password=NEW
    )
    assert await works(context, fresh)
    assert not await works(context, there)
    for token in (here.refresh_token, there.refresh_token):
        with pytest.raises(InvalidToken):
            await account.refresh_tokens(context, token)
    with pytest.raises(InvalidToken):
        await reset_password(context, link, "mallory knows it")
    with pytest.raises(InvalidCredentials):
        await signed_in(context)
    await signed_in(context, NEW)
    assert (await account.refresh_tokens(context, fresh.refresh_token)).user.id == anna.id


async def test_change_needs_the_present_password(context: Context, anna: User) -> None:
    """A stolen access token is not enough, and a refused change changes nothing."""
    here, there = await signed_in(context), await signed_in(context)
    viewer = await as_viewer(context, here)
    with pytest.raises(InvalidCredentials):
        await change_password(viewer, current_password=NEW, new_password=NEW)
    with pytest.raises(InvalidInput) as caught:
        await change_password(viewer, current_password=OLD, new_password="short")
    assert caught.value.field == "newPassword"
    with pytest.raises(Unauthenticated):
        await change_password(context, current_password=OLD, new_password=NEW)
    assert await works(context, there)
    await account.refresh_tokens(context, here.refresh_token)


async def test_change_at_once(context: Context, anna: User) -> None:
    """Of two changes at the same time one counts, and the other hears that it did not."""
    here, there = await signed_in(context), await signed_in(context)
    results = await asyncio.gather(
        change_password(
            await as_viewer(context, here), current_password=OLD, new_password="from the desk"
        ),
        change_password(
            await as_viewer(context, there), current_password=OLD, new_password="from the sofa"
        ),
        return_exceptions=True,
    )
    (winner,) = [one for one in results if isinstance(one, AuthTokensData)]
    assert any(isinstance(one, InvalidCredentials) for one in results)
    assert await works(context, winner)
    assert await Login.filter(revoked_at__isnull=True).count() == 1


async def test_an_unconfirmed_person_changes_the_password(context: Context) -> None:
    """The link that came with the registration does not bring the old password back."""
    await registration.register(context, email=EMAIL, password=OLD)
    link = await mailed_token(EMAIL)
    viewer = await as_viewer(context, await signed_in(context))
    fresh = await change_password(viewer, current_password=OLD, new_password=NEW)
    await verify_email(context, link)
    assert await works(context, fresh)
    await signed_in(context, NEW)


# ---- logins --------------------------------------------------------------------------------------


async def test_list_and_revoke(context: Context, anna: User, clock: RunningClock) -> None:
    """Each device with where it is and when it was used, the newest first; one can be ended, and
    nobody can end a stranger's."""
    phone = await signed_in(replace(context, user_agent="Phone", address="2001:db8::1"))
    clock.forward(minutes=5)
    desk = await signed_in(replace(context, user_agent="Desk", address="192.0.2.9"))
    clock.forward(minutes=5)
    phone = await account.refresh_tokens(context, phone.refresh_token)
    viewer = await as_viewer(context, desk)
    listed = await logins.list_logins(viewer)
    assert [(one.user_agent, one.address) for one in listed] == [
        ("Phone", "2001:db8::1"),
        ("Desk", "192.0.2.9"),
    ]
    assert listed[0].last_used_at > listed[1].last_used_at
    await registration.register(context, email="b@example.com", password=OLD)
    stranger = await as_viewer(
        context, await account.login(context, email="b@example.com", password=OLD)
    )
    for unknown in (listed[0].id, new_id(), None):
        with pytest.raises(NotFound):
            await logins.revoke_login(stranger, unknown)
    assert await works(context, phone)
    assert await logins.revoke_login(viewer, listed[0].id) == listed[0].id
    assert not await works(context, phone)
    with pytest.raises(NotFound):
        await logins.revoke_login(viewer, listed[0].id)
    assert [one.user_agent for one in await logins.list_logins(viewer)] == ["Desk"]
    for call in (logins.list_logins(context), logins.revoke_login(context, listed[0].id)):
        with pytest.raises(Unauthenticated):
            await call


async def test_logins_are_bounded(context: Context, anna: User) -> None:
    """The hundred and first ends the one that was not used for longest."""
    first, second = await signed_in(context), await signed_in(context)
    for _ in range(MAX_LOGINS - 2):
        await signed_in(context)
    assert await works(context, first)
    await signed_in(context)
    assert not await works(context, first)
    assert await works(context, second)
    assert await Login.filter(revoked_at__isnull=True).count() == MAX_LOGINS
