"""Identities that people link to their accounts and take away again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pyotp
import pytest

from models.base import new_id
from models.login import Login
from models.outbox_mail import OutboxMail
from models.second_factor import SecondFactor
from models.sign_in import SignInIdentity
from models.user import User
from resolvers import account, password_changes, registration
from resolvers.account import AuthTokensData
from resolvers.email_verification import verify_email
from resolvers.errors import (
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    NotFound,
    SecondFactorRequired,
    Unauthenticated,
)
from resolvers.sign_in import linking, signing_in
from tests.openid_provider import REDIRECT, OpenIdProvider
from tests.resolvers.conftest import PASSWORD, as_viewer, mailed_token
from tests.resolvers.sign_in.conftest import Opener, Visitor, arrival

pytestmark = pytest.mark.anyio


@pytest.fixture
async def anna_here(visitor: Visitor, tokens: AuthTokensData) -> Visitor:
    """Anna, who has logged in with her password."""
    return Visitor(await as_viewer(visitor.context, tokens.access_token))


async def logged_in(visitor: Visitor, email: str) -> Visitor:
    await registration.register(visitor.context, email=email, password=PASSWORD)
    await verify_email(visitor.context, await mailed_token(email))
    tokens = await account.login(visitor.context, email=email, password=PASSWORD)
    return Visitor(await as_viewer(visitor.context, tokens.access_token))


async def test_link(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider, anna: User
) -> None:
    """Whoever is logged in links any identity that they can show, whatever its address, and signs
    in by it from then on. Twice is once."""
    provider.claims = {"sub": "7"}
    linked = await anna_here.link(provider, PASSWORD)
    assert (linked.provider, linked.email, linked.last_used_at) == ("keycloak", None, None)
    assert (await anna_here.link(provider, PASSWORD)).id == linked.id
    assert (await visitor.sign_in(provider)).user.id == anna.id
    (listed,) = await linking.list_identities(anna_here.context)
    assert listed.id == linked.id
    assert listed.last_used_at is not None


@pytest.mark.parametrize("password", [None, "", "wrong password"])
async def test_a_link_needs_the_password(
    anna_here: Visitor, provider: OpenIdProvider, password: str | None
) -> None:
    """A stolen access token does not become a way in that stays."""
    with pytest.raises(InvalidCredentials):
        await anna_here.link(provider, password)
    assert provider.asked == []


async def test_another_account_s_identity(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider
) -> None:
    """It stays where it is."""
    owner = await visitor.sign_in(provider)
    with pytest.raises(InvalidInput, match="another account"):
        await anna_here.link(provider, PASSWORD)
    assert (await SignInIdentity.get()).user_id == owner.user.id


async def test_two_link_the_same_at_once(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider
) -> None:
    """One of them gets it."""
    bert = await logged_in(visitor, "bert@example.com")
    results = await asyncio.gather(
        anna_here.link(provider, PASSWORD), bert.link(provider, PASSWORD), return_exceptions=True
    )
    kinds = sorted(type(one).__name__ for one in results)
    assert kinds == ["InvalidInput", "SignInIdentity"]


async def test_a_lured_victim(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider
) -> None:
    """A link that somebody has begun is ended by nobody else: neither by a stranger, nor by another
    person who is logged in, nor as a sign-in; and a sign-in links nothing."""
    start = await linking.link_sign_in(
        anna_here.context, provider="keycloak", redirect_uri=REDIRECT, password=PASSWORD
    )
    back = await provider.visit(start.authorization_url)
    bert = await logged_in(visitor, "bert@example.com")
    with pytest.raises(InvalidToken):
        await linking.complete_link(bert.context, arrival(start, back))
    with pytest.raises(Unauthenticated):
        await linking.complete_link(visitor.context, arrival(start, back))
    with pytest.raises(InvalidToken):
        await visitor.complete(start, back)
    begun = await visitor.begin()
    returned = await provider.visit(begun.authorization_url)
    with pytest.raises(InvalidToken):
        await linking.complete_link(anna_here.context, arrival(begun, returned))
    assert await SignInIdentity.all().count() == 0
    assert "/token" not in provider.asked
    await linking.complete_link(anna_here.context, arrival(start, back))


async def test_at_most_twenty(anna_here: Visitor, provider: OpenIdProvider, anna: User) -> None:
    """One more is refused."""
    for number in range(linking.MAX_IDENTITIES):
        await SignInIdentity.create(
            user=anna, provider="x", issuer="https://x.example", subject=str(number)
        )
    with pytest.raises(InvalidInput, match="At most 20"):
        await anna_here.link(provider, PASSWORD)
    assert len(await linking.list_identities(anna_here.context)) == 20


async def test_unlink(visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider) -> None:
    """What was taken away signs in no more."""
    linked = await anna_here.link(provider, PASSWORD)
    assert await linking.unlink_sign_in(anna_here.context, linked.id) == linked.id
    assert (await visitor.sign_in(provider)).user.email == "olga@example.com"
    for gone in (linked.id, None, new_id()):
        with pytest.raises(NotFound):
            await linking.unlink_sign_in(anna_here.context, gone)


async def test_mails_about_links(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider, anna: User
) -> None:
    """A link and its end are told to the account's own address, in the person's language; the same
    link again, and an account that a provider makes, tell nothing."""
    await User.filter(id=anna.id).update(language="de")
    anna_here.context.require_viewer().user.language = "de"
    before = await OutboxMail.all().count()
    linked = await anna_here.link(provider, PASSWORD)
    await anna_here.link(provider, PASSWORD)
    await linking.unlink_sign_in(anna_here.context, linked.id)
    await visitor.sign_in(provider)
    mails = (await OutboxMail.all().order_by("id"))[before:]
    assert [(mail.to, mail.subject) for mail in mails] == [
        (anna.email, "Ein weiterer Weg zur Anmeldung kam hinzu"),
        (anna.email, "Ein Weg zur Anmeldung wurde entfernt"),
    ]
    assert all("Keycloak" in mail.text for mail in mails)


async def test_an_address_that_links_by_itself_is_told(
    visitor_of: Opener, provider: OpenIdProvider, anna: User
) -> None:
    """Whoever owns the account hears of it."""
    provider.claims["email"] = anna.email
    await User.filter(id=anna.id).update(email_verified_at=anna.created_at)
    before = await OutboxMail.all().count()
    visitor = await visitor_of(provider.settings(link_verified_email=True))
    assert (await visitor.sign_in(provider)).user.id == anna.id
    (mail,) = (await OutboxMail.all().order_by("id"))[before:]
    assert (mail.to, mail.subject) == (anna.email, "Another way to sign in was added")


async def test_logins_end_with_their_identity(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider, anna: User
) -> None:
    """Those that it has made, not those of the password or of another identity; one that waits for
    its code does not come any more."""
    linked = await anna_here.link(provider, PASSWORD)
    by_it = await visitor.sign_in(provider)
    provider.claims["sub"] = "second"
    await anna_here.link(provider, PASSWORD)
    by_other = await visitor.sign_in(provider)
    provider.claims["sub"] = "248289761001"
    secret, now = pyotp.random_base32(), visitor.context.services.clock.now()
    await SecondFactor.create(user=anna, secret=secret, confirmed_at=now, tries_since=now)
    start = await visitor.begin()
    with pytest.raises(SecondFactorRequired):
        await visitor.complete(start, await provider.visit(start.authorization_url))
    await linking.unlink_sign_in(anna_here.context, linked.id)
    services = visitor.context.services
    viewer, _ = await account.authenticate(services, by_it.access_token)
    assert viewer is None
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(visitor.context, by_it.refresh_token)
    await as_viewer(visitor.context, by_other.access_token)
    assert await Login.filter(user_id=anna.id, revoked_at__isnull=True).count() == 2
    code = pyotp.TOTP(secret).at(services.clock.now())
    with pytest.raises(InvalidToken):
        await signing_in.confirm_sign_in(visitor.context, start.flow_token, code)


async def test_another_s_identity_is_not_there(
    visitor: Visitor, anna_here: Visitor, provider: OpenIdProvider
) -> None:
    """Nobody takes it away."""
    linked = await anna_here.link(provider, PASSWORD)
    bert = await logged_in(visitor, "bert@example.com")
    with pytest.raises(NotFound):
        await linking.unlink_sign_in(bert.context, linked.id)
    assert await linking.list_identities(bert.context) == []


async def test_the_only_way_in_stays(
    visitor: Visitor, visitor_of: Opener, provider: OpenIdProvider
) -> None:
    """Without a password the last identity of a provider that is still there cannot be taken away,
    nor the last two at once; with a password it can."""
    tokens = await visitor.sign_in(provider)
    here = Visitor(await as_viewer(visitor.context, tokens.access_token))
    first = await SignInIdentity.get()
    await SignInIdentity.create(
        user=tokens.user, provider="gone", issuer="https://gone.example", subject="7"
    )
    with pytest.raises(InvalidInput, match="only way"):
        await linking.unlink_sign_in(here.context, first.id)
    provider.claims["sub"] = "second"
    second = await here.link(provider, None)
    results = await asyncio.gather(
        *(linking.unlink_sign_in(here.context, one.id) for one in (first, second)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, InvalidInput) for one in results) == 1
    (left,) = await SignInIdentity.filter(provider="keycloak")
    email = tokens.user.email
    await password_changes.request_password_reset(visitor.context, email)
    await password_changes.reset_password(visitor.context, await mailed_token(email), PASSWORD)
    await linking.unlink_sign_in(here.context, left.id)
    assert await Login.filter(revoked_at__isnull=True).count() == 0  # of the reset


async def test_nobody_without_a_login(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Each of these needs one."""
    for asked in (
        linking.list_identities(visitor.context),
        linking.link_sign_in(
            visitor.context, provider="keycloak", redirect_uri=REDIRECT, password=PASSWORD
        ),
        linking.unlink_sign_in(visitor.context, None),
    ):
        with pytest.raises(Unauthenticated):
            await asked


async def test_a_provider_that_was_removed(
    visitor_of: Opener, visitor: Visitor, provider: OpenIdProvider
) -> None:
    """What was under way to it, or to another issuer of its name, leads nowhere."""
    start = await visitor.begin()
    back = await provider.visit(start.authorization_url)
    settings = provider.settings()
    for others in ([], [replace(settings, issuer="http://127.0.0.1:1")]):
        with pytest.raises(InvalidToken):
            await (await visitor_of(*others)).complete(start, back)
    assert "/token" not in provider.asked
