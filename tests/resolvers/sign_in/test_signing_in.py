"""Who gets in by a provider, and into which account."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pyotp
import pytest

from models.login import Login
from models.second_factor import SecondFactor
from models.sign_in import SignInFlow, SignInIdentity
from models.user import User
from resolvers import account, password_changes, registration, second_factor
from resolvers.account import AuthTokensData
from resolvers.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    LinkRequired,
    Problem,
    RateLimited,
    SecondFactorRequired,
    SignInFailed,
)
from resolvers.rates import Allowances, Rates
from resolvers.sign_in import signing_in
from tests.clock import RunningClock
from tests.openid_provider import CLIENT_SECRET, REDIRECT, OpenIdProvider, running_provider
from tests.resolvers.conftest import EMAIL, PASSWORD, as_viewer, mailed_token
from tests.resolvers.sign_in.conftest import Opener, Visitor

pytestmark = pytest.mark.anyio


async def test_a_new_person(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """An identity that was never here gets an account without a password, with its address
    confirmed; the same identity comes back to it, whatever its address is by then."""
    tokens = await visitor.sign_in(provider)
    user = await User.get()
    assert (tokens.user.id, user.email, user.display_name, user.password_hash) == (
        user.id,
        "olga@example.com",
        "Olga Petrowa",
        "",
    )
    assert user.email_verified_at is not None
    assert (await as_viewer(visitor.context, tokens.access_token)).require_viewer().id == user.id
    clock.forward(hours=5)
    provider.claims["email"] = "other@example.com"
    assert (await visitor.sign_in(provider)).user.id == user.id
    identity = await SignInIdentity.get()
    assert (identity.issuer, identity.subject, identity.email, identity.provider) == (
        provider.issuer,
        "248289761001",
        "other@example.com",
        "keycloak",
    )
    assert await User.all().count() == 1


async def test_no_password_signs_in_to_a_new_account(
    visitor: Visitor, provider: OpenIdProvider
) -> None:
    """An empty password is none; the link for a forgotten one sets the first."""
    tokens = await visitor.sign_in(provider)
    email = tokens.user.email
    with pytest.raises(InvalidCredentials):
        await account.login(visitor.context, email=email, password="")
    viewer = await as_viewer(visitor.context, tokens.access_token)
    for refused in (
        password_changes.change_password(viewer, current_password="", new_password=PASSWORD),
        second_factor.begin(viewer, ""),
    ):
        with pytest.raises(InvalidCredentials, match="no password yet"):
            await refused
    await password_changes.request_password_reset(visitor.context, email)
    await password_changes.reset_password(visitor.context, await mailed_token(email), PASSWORD)
    await account.login(visitor.context, email=email, password=PASSWORD)


async def test_what_the_database_keeps(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Of a flow only hashes are stored, and what was used to sign in is gone after it."""
    start = await visitor.begin()
    row = await SignInFlow.get()
    assert (len(row.verifier), len(row.nonce)) == (86, 43)
    stored = str(await SignInFlow.all().values())
    assert start.flow_token not in stored
    assert start.state not in stored
    assert f"state={start.state}" in start.authorization_url
    assert row.verifier not in start.authorization_url
    assert start.flow_token not in start.authorization_url
    await visitor.complete(start, await provider.visit(start.authorization_url))
    row = await SignInFlow.get()
    assert (row.verifier, row.nonce) == ("", "")
    assert CLIENT_SECRET not in start.authorization_url


async def test_a_flow_counts_once(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Of ten that complete it at once, one gets in; the provider is asked once."""
    start = await visitor.begin()
    back = await provider.visit(start.authorization_url)
    results = await asyncio.gather(
        *(visitor.complete(start, back) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, AuthTokensData) for one in results) == 1
    assert sum(isinstance(one, InvalidToken) for one in results) == 9
    assert provider.asked.count("/token") == 1
    assert await Login.all().count() == 1


async def test_the_first_sign_in_in_two_tabs(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Both lead to one account."""
    starts = [await visitor.begin() for _ in range(4)]
    backs = [await provider.visit(start.authorization_url) for start in starts]
    results = await asyncio.gather(
        *(visitor.complete(*pair) for pair in zip(starts, backs, strict=True))
    )
    assert len({one.user.id for one in results}) == 1
    assert await User.all().count() == await SignInIdentity.all().count() == 1


async def test_too_late(visitor: Visitor, provider: OpenIdProvider, clock: RunningClock) -> None:
    """After ten minutes a flow is over."""
    start = await visitor.begin()
    back = await provider.visit(start.authorization_url)
    clock.forward(minutes=10)
    with pytest.raises(InvalidToken):
        await visitor.complete(start, back)
    assert "/token" not in provider.asked


async def test_what_does_not_fit_the_flow(visitor: Visitor, provider: OpenIdProvider) -> None:
    """The address that somebody comes back to is not enough, nor is another's: nothing is asked of
    the provider, and the flow is not used up."""
    start, other = await visitor.begin(), await visitor.begin()
    back = await provider.visit(start.authorization_url)
    for changes in (
        {"flow_token": other.flow_token},
        {"flow_token": "gqs_" + "A" * 43},
        {"flow_token": start.state},
        {"flow_token": ""},
        {"flow_token": "x" * 10_000},
        {"state": other.state},
        {"state": "\ud800"},
        {"code": ""},
        {"code": "\ud800"},
        {"code": "a\nb"},
        {"code": "x" * 5000},
        {"provider": "another"},
    ):
        with pytest.raises(InvalidToken):
            await visitor.complete(start, back, **changes)
    assert "/token" not in provider.asked
    await visitor.complete(start, back, provider="keycloak")


async def test_a_code_of_another_flow(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Somebody else's code does not sign in here: it belongs to another verifier."""
    victim, thief = await visitor.begin(), await visitor.begin()
    stolen = await provider.visit(victim.authorization_url)
    own = await provider.visit(thief.authorization_url)
    with pytest.raises(InvalidToken):
        await visitor.complete(thief, own, code=stolen.code)
    assert provider.asked.count("/token") == 1
    assert await User.all().count() == 0


async def test_a_wrong_verifier(visitor: Visitor, provider: OpenIdProvider) -> None:
    """The provider refuses it, and nobody is signed in."""
    start = await visitor.begin()
    await SignInFlow.all().update(verifier="x" * 86)
    with pytest.raises(InvalidToken):
        await visitor.complete(start, await provider.visit(start.authorization_url))
    assert await User.all().count() == 0


@pytest.mark.parametrize("iss", [None, "https://honest.example", ""])
async def test_the_wrong_issuer_comes_back(
    visitor: Visitor, provider: OpenIdProvider, iss: str | None
) -> None:
    """A provider that tells its issuer with the code must have told it: RFC 9207."""
    start = await visitor.begin()
    back = await provider.visit(start.authorization_url)
    with pytest.raises(InvalidToken):
        await visitor.complete(start, back, iss=iss)
    assert "/token" not in provider.asked


async def test_a_provider_that_tells_no_issuer(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Then nothing is missing."""
    provider.tells_issuer = False
    await visitor.sign_in(provider)


async def test_two_providers_are_mixed_up(
    visitor_of: Opener, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """A code of one provider is not sent to another that the person was sent to first."""
    async with running_provider(clock) as evil:
        visitor = await visitor_of(provider.settings("honest"), evil.settings("evil"))
        start, honest = await visitor.begin("evil"), await visitor.begin("honest")
        back = await provider.visit(honest.authorization_url)
        with pytest.raises(InvalidToken):
            await visitor.complete(start, back, state=start.state)
        with pytest.raises(InvalidToken):
            await visitor.complete(honest, back, provider="evil")
        assert "/token" not in evil.asked
        # The same subject at two providers is two people.
        first = await visitor.complete(honest, back)
        evil.claims["email"] = "eve@example.com"
        begun = await visitor.begin("evil")
        second = await visitor.complete(begun, await evil.visit(begun.authorization_url))
        assert first.user.id != second.user.id


@pytest.mark.parametrize(
    ("provider_name", "redirect", "field"),
    [
        ("nobody", REDIRECT, "provider"),
        ("keycloak", "https://evil.example/signed-in", "redirectUri"),
        ("keycloak", REDIRECT + "/", "redirectUri"),
        ("keycloak", REDIRECT + "?x", "redirectUri"),
        ("keycloak", REDIRECT.upper(), "redirectUri"),
        ("keycloak", "", "redirectUri"),
    ],
)
async def test_where_people_go(
    visitor: Visitor, provider: OpenIdProvider, provider_name: str, redirect: str, field: str
) -> None:
    """Only to providers and back to addresses of the settings, to the letter."""
    with pytest.raises(InvalidInput) as caught:
        await signing_in.begin_sign_in(
            visitor.context, provider=provider_name, redirect_uri=redirect
        )
    assert caught.value.field == field
    assert provider.asked == []
    assert await SignInFlow.all().count() == 0


async def test_many_from_one_network(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Each network may begin so many in a minute; of IPv6 the first 64 bits count."""
    services = replace(
        visitor.context.services,
        rates=Rates(Allowances(sign_ins_per_address=3), visitor.context.services.clock),
    )
    there = replace(visitor.context, services=services, address="2001:db8::1")
    neighbour = replace(there, address="2001:db8::2")
    elsewhere = replace(there, address="2001:db8:1::1")
    for context in (there, neighbour, there):
        await Visitor(context).begin()
    with pytest.raises(RateLimited):
        await Visitor(neighbour).begin()
    await Visitor(elsewhere).begin()
    assert await SignInFlow.all().count() == 4


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "false"},
        {"email_verified": 1},
        {"email": None},
        {"email": "nonsense"},
        {"email": ["olga@example.com"]},
    ],
)
async def test_an_address_that_is_not_verified(
    visitor: Visitor, provider: OpenIdProvider, claims: dict[str, object]
) -> None:
    """It makes no account and gets into none."""
    provider.claims.update(claims)
    with pytest.raises(SignInFailed, match="has verified"):
        await visitor.sign_in(provider)
    assert await User.all().count() == await SignInIdentity.all().count() == 0


async def test_a_provider_whose_addresses_count(
    visitor_of: Opener, provider: OpenIdProvider, anna: User
) -> None:
    """`assume_email_verified` makes new accounts, but gets into no account that is there."""
    visitor = await visitor_of(
        provider.settings(assume_email_verified=True, link_verified_email=True)
    )
    del provider.claims["email_verified"]
    assert (await visitor.sign_in(provider)).user.email == "olga@example.com"
    provider.claims.update(sub="another", email=EMAIL)
    with pytest.raises(LinkRequired):
        await visitor.sign_in(provider)


@pytest.mark.parametrize("name", ["", "\u202eagrO", "x" * 101, 7, None])
async def test_odd_names(visitor: Visitor, provider: OpenIdProvider, name: object) -> None:
    """A name that nobody may have here is left out."""
    provider.claims["name"] = name
    assert (await visitor.sign_in(provider)).user.display_name == "olga"


# ---- addresses that have an account -------------------------------------------------------------


async def test_an_account_is_not_taken_over(
    visitor: Visitor, provider: OpenIdProvider, anna: User
) -> None:
    """Whatever a provider says about an address, the account that has it stays its person's."""
    provider.claims["email"] = "Anna@Example.com"
    with pytest.raises(LinkRequired):
        await visitor.sign_in(provider)
    assert await SignInIdentity.all().count() == 0
    assert await Login.all().count() == 0


async def test_a_trusted_provider(visitor_of: Opener, provider: OpenIdProvider, anna: User) -> None:
    """Where the operator says so, a verified address gets into the account that confirmed it."""
    visitor = await visitor_of(provider.settings(link_verified_email=True))
    provider.claims["email"] = EMAIL
    provider.claims["email_verified"] = False
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)
    provider.claims["email_verified"] = True
    assert (await visitor.sign_in(provider)).user.id == anna.id
    assert (await account.login(visitor.context, email=EMAIL, password=PASSWORD)).user.id == anna.id


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_stranger_registered_first(
    visitor_of: Opener, provider: OpenIdProvider, trusted: bool
) -> None:
    """Whoever registers somebody's address before them has nothing in the end: the owner is sent to
    the mailbox, and from there on neither the stranger's password nor login works."""
    visitor = await visitor_of(provider.settings(link_verified_email=trusted))
    context, email = visitor.context, "olga@example.com"
    await registration.register(context, email=email, password="mallory knows it")
    mallory = await account.login(context, email=email, password="mallory knows it")
    # The stranger cannot link an identity of theirs beforehand.
    as_mallory = Visitor(await as_viewer(context, mallory.access_token))
    with pytest.raises(EmailNotVerified):
        await as_mallory.link(provider, "mallory knows it")
    with pytest.raises(LinkRequired):
        await visitor.sign_in(provider)
    assert (await SignInIdentity.all().count(), await Login.all().count()) == (0, 1)

    await password_changes.request_password_reset(context, email)
    await password_changes.reset_password(context, await mailed_token(email), PASSWORD)
    tokens = await account.login(context, email=email, password=PASSWORD)
    await Visitor(await as_viewer(context, tokens.access_token)).link(provider, PASSWORD)
    assert (await visitor.sign_in(provider)).user.id == tokens.user.id
    assert (await account.authenticate(context.services, mallory.access_token))[0] is None
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, mallory.refresh_token)
    with pytest.raises(InvalidCredentials):
        await account.login(context, email=email, password="mallory knows it")


async def test_a_stranger_registers_afterwards(visitor: Visitor, provider: OpenIdProvider) -> None:
    """The account of who came by a provider keeps no password of somebody who registers it."""
    tokens = await visitor.sign_in(provider)
    await registration.register(visitor.context, email=tokens.user.email, password=PASSWORD)
    assert (await User.get()).password_hash == ""
    with pytest.raises(InvalidCredentials):
        await account.login(visitor.context, email=tokens.user.email, password=PASSWORD)


# ---- who may not come in ------------------------------------------------------------------------


async def test_a_suspended_account(visitor: Visitor, provider: OpenIdProvider) -> None:
    """It is told so, as by the login."""
    tokens = await visitor.sign_in(provider)
    await User.all().update(suspended_at=visitor.context.services.clock.now())
    with pytest.raises(InvalidCredentials, match="suspended"):
        await visitor.sign_in(provider)
    assert await Login.filter(user_id=tokens.user.id).count() == 1


async def test_an_unconfirmed_account(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Where addresses must be confirmed, that holds for who comes by a provider, too."""
    await visitor.sign_in(provider)
    await User.all().update(email_verified_at=None)
    strict = replace(
        visitor.context, services=replace(visitor.context.services, require_verified_email=True)
    )
    with pytest.raises(EmailNotVerified):
        await Visitor(strict).sign_in(provider)


async def test_a_second_factor(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """A provider replaces the password, not the second factor; its code ends the same flow once."""
    first = await visitor.sign_in(provider)
    email = first.user.email
    await password_changes.request_password_reset(visitor.context, email)
    await password_changes.reset_password(visitor.context, await mailed_token(email), PASSWORD)
    tokens = await account.login(visitor.context, email=email, password=PASSWORD)
    viewer = await as_viewer(visitor.context, tokens.access_token)
    setup = await second_factor.begin(viewer, PASSWORD)
    app = pyotp.TOTP(setup.secret)
    recovery = await second_factor.confirm(viewer, app.at(clock.time))
    clock.forward(seconds=60)

    start = await visitor.begin()
    with pytest.raises(InvalidToken):  # nobody has shown anything yet
        await signing_in.confirm_sign_in(visitor.context, start.flow_token, app.at(clock.time))
    back = await provider.visit(start.authorization_url)
    before = await Login.all().count()
    with pytest.raises(SecondFactorRequired):
        await visitor.complete(start, back)
    with pytest.raises(InvalidToken):  # the flow itself is used
        await visitor.complete(start, back)
    for wrong in ("", "000000"):
        with pytest.raises(SecondFactorRequired):
            await signing_in.confirm_sign_in(visitor.context, start.flow_token, wrong)
    with pytest.raises(InvalidToken):  # what stands in the address is not the flow's token
        await signing_in.confirm_sign_in(visitor.context, start.state, app.at(clock.time))
    assert await Login.all().count() == before
    results = await asyncio.gather(
        *(
            signing_in.confirm_sign_in(visitor.context, start.flow_token, code)
            for code in (app.at(clock.time), recovery[0], recovery[1])
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, AuthTokensData) for one in results) == 1
    assert sum(isinstance(one, InvalidToken) for one in results) == 2
    assert await Login.all().count() == before + 1

    start = await visitor.begin()
    with pytest.raises(SecondFactorRequired):
        await visitor.complete(start, await provider.visit(start.authorization_url))
    clock.forward(minutes=10)
    with pytest.raises(InvalidToken):
        await signing_in.confirm_sign_in(visitor.context, start.flow_token, recovery[2])


async def test_guessing_the_second_factor(
    visitor: Visitor, provider: OpenIdProvider, clock: RunningClock
) -> None:
    """Wrong codes count by the account: ten, whatever flows they come by."""
    await visitor.sign_in(provider)
    user = await User.get()
    now = clock.now()
    await SecondFactor.create(
        user=user, secret=pyotp.random_base32(), confirmed_at=now, tries_since=now
    )
    problems: list[type[Problem]] = []
    for _ in range(3):
        start = await visitor.begin()
        with pytest.raises(SecondFactorRequired):
            await visitor.complete(start, await provider.visit(start.authorization_url))
        for _ in range(4):
            with pytest.raises(Problem) as caught:
                await signing_in.confirm_sign_in(visitor.context, start.flow_token, "000")
            problems.append(caught.type)
    assert problems == [SecondFactorRequired] * 10 + [RateLimited] * 2


async def test_an_account_that_went(visitor: Visitor, provider: OpenIdProvider) -> None:
    """With it go its identities and what is under way; who comes back then is new."""
    first = await visitor.sign_in(provider)
    await SignInFlow.all().update(verified_user_id=first.user.id)
    await User.filter(id=first.user.id).delete()
    assert await SignInIdentity.all().count() == await SignInFlow.all().count() == 0
    assert (await visitor.sign_in(provider)).user.id != first.user.id
