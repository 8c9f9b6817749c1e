"""Signing in by a provider: an account that is known, a new one, or neither."""

from __future__ import annotations

import logging
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.security_event import EventKind
from models.sign_in import SignInFlow, SignInIdentity
from models.user import User
from resolvers import email_address, second_factor
from resolvers.account import AuthTokensData, SignInOrigin, begin_login
from resolvers.audit import note, note_closed_account
from resolvers.context import Context, Services
from resolvers.display_name import check_name
from resolvers.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidInput,
    LinkRequired,
    SecondFactorRequired,
    SignInFailed,
    SignInFailure,
)
from resolvers.sharing import accept_invitations, announce_participants
from resolvers.sign_in.flow import (
    Arrival,
    FlowStart,
    begin_flow,
    end_flow,
    find_flow,
    note_failure,
    unusable_flow,
)
from resolvers.sign_in.provider import Person, Provider

log = logging.getLogger("groundql.accounts")


async def begin_sign_in(context: Context, *, provider: str, redirect_uri: str) -> FlowStart:
    """Where to send a person who wants to sign in.

    Raises:
        InvalidInput, RateLimited, SignInFailed
    """
    return await begin_flow(context, provider=provider, redirect_uri=redirect_uri)


async def complete_sign_in(context: Context, arrival: Arrival) -> AuthTokensData:
    """Log a person in who comes back from a provider.

    Raises:
        InvalidToken: the flow is unknown, used or expired, or the provider refuses the code.
        SignInFailed: the provider cannot be used, or tells no address that it has verified.
        LinkRequired: the address has an account here that the identity is not linked to.
        InvalidCredentials: the account is suspended.
        EmailNotVerified: the account's address must be confirmed first.
        SecondFactorRequired: `confirm_sign_in` goes on with the same flow.
    """
    row, provider, person = await end_flow(context, arrival)
    identity = await _known(context.services, provider, person)
    if identity is None:
        identity = await _admit(context, provider, person)
    user = identity.user
    await _require_admitted(context, user)
    origin = SignInOrigin(identity.id, person.sid, person.ends_at)
    try:
        await second_factor.require_code(context, user, None)
    except SecondFactorRequired:
        await SignInFlow.filter(id=row.id).update(
            verified_user_id=user.id,
            identity_id=origin.identity_id,
            sid=origin.sid,
            login_ends_at=origin.ends_at,
        )
        raise
    return await _begin(context, user, origin, factor_shown=False)


async def confirm_sign_in(context: Context, flow_token: str, code: str) -> AuthTokensData:
    """Log a person in who was asked for a second factor. The provider is not asked again.

    Raises:
        InvalidToken: there is no flow that waits for a code.
        InvalidCredentials, EmailNotVerified, SecondFactorRequired, RateLimited
    """
    services = context.services
    row = await find_flow(context, flow_token)
    if row is None or row.verified_user_id is None or row.done_at is not None:
        raise unusable_flow()
    user = await User.get_or_none(id=row.verified_user_id)
    if user is None or row.identity_id is None:
        raise unusable_flow()
    await _require_admitted(context, user)
    shown = await second_factor.require_code(context, user, code)
    if not await SignInFlow.filter(id=row.id, done_at__isnull=True).update(
        done_at=services.clock.now()
    ):
        raise unusable_flow()
    origin = SignInOrigin(row.identity_id, row.sid, row.login_ends_at)
    return await _begin(context, user, origin, factor_shown=shown)


async def _begin(
    context: Context, user: User, origin: SignInOrigin, *, factor_shown: bool
) -> AuthTokensData:
    try:
        return await begin_login(context, user, factor_shown=factor_shown, sign_in=origin)
    except IntegrityError:
        # The identity was unlinked, or the account deleted, at the same moment.
        raise unusable_flow() from None


async def _known(services: Services, provider: Provider, person: Person) -> SignInIdentity | None:
    """The identity with its account, if it is linked to one."""
    identity = await SignInIdentity.get_or_none(
        issuer=provider.settings.issuer, subject=person.subject
    ).select_related("user")
    if identity is None:
        return None
    await SignInIdentity.filter(id=identity.id).update(
        last_used_at=services.clock.now(),
        provider=provider.settings.name,
        email=_address(person) or identity.email,
    )
    return identity


async def _admit(context: Context, provider: Provider, person: Person) -> SignInIdentity:
    """An identity that was never here, with its account: a new one, or, where the operator allows
    it, the one that has confirmed the same address.

    Raises:
        SignInFailed, LinkRequired
    """
    services, rules = context.services, provider.settings
    email = _address(person)
    if email is None or not (person.email_verified or rules.assume_email_verified):
        await note_failure(context, provider, SignInFailure.NO_VERIFIED_EMAIL)
        raise SignInFailed(
            "The provider names no email address that it has verified; register here instead.",
            SignInFailure.NO_VERIFIED_EMAIL,
        )
    joined: list[UUID] = []
    try:
        async with services.store.transaction():
            # The first sign-in in two tabs makes one account.
            await services.store.lock_name(f"identity {rules.issuer} {person.subject}")
            if (known := await _known(services, provider, person)) is not None:
                return known
            user = await User.get_or_none(email=email)
            if user is None:
                user = await User.create(
                    email=email,
                    display_name=_name(person, email),
                    password_hash="",
                    email_verified_at=services.clock.now(),
                )
                joined = await accept_invitations(services, user)
                await note(context, EventKind.REGISTERED, actor=user.id, detail="PROVIDER")
                log.info("User %s: a new account, by %s", user.id, rules.name)
            elif not (
                rules.link_verified_email
                and person.email_verified
                and user.email_verified_at is not None
            ):
                raise LinkRequired
            else:
                log.info("User %s: %s was linked by its address", user.id, rules.name)
                await tell_linked(context, user, provider.settings.label)
            identity = await add_identity(context, user, provider, person, used=True)
    except IntegrityError:
        # The address was registered, or the identity linked, at the same moment.
        raise LinkRequired from None
    announce_participants(services, joined)
    services.mailer.wake()
    return identity


async def add_identity(
    context: Context, user: User, provider: Provider, person: Person, *, used: bool
) -> SignInIdentity:
    """In a transaction: link an identity.

    Raises:
        IntegrityError: it is linked already.
    """
    identity = await SignInIdentity.create(
        user=user,
        provider=provider.settings.name,
        issuer=provider.settings.issuer,
        subject=person.subject,
        email=_address(person),
        last_used_at=context.services.clock.now() if used else None,
    )
    about = ("SignInIdentity", identity.id)
    await note(context, EventKind.IDENTITY_LINKED, actor=user.id, about=about)
    return identity


async def tell_linked(context: Context, user: User, label: str) -> None:
    """In a transaction: a mail to the person, in their language."""
    language = context.language_of(user)
    await context.services.mailer.send_identity_linked(user.email, label, language)


async def _require_admitted(context: Context, user: User) -> None:
    if context.services.require_verified_email and user.email_verified_at is None:
        await note_closed_account(context, user.id, "EMAIL_NOT_VERIFIED")
        raise EmailNotVerified
    if user.suspended_at is not None:
        await note_closed_account(context, user.id, "SUSPENDED")
        raise InvalidCredentials("This account is suspended; ask an administrator.")


def _address(person: Person) -> str | None:
    try:
        return None if person.email is None else email_address.normalise(person.email)
    except InvalidInput:
        return None


def _name(person: Person, email: str) -> str:
    try:
        return check_name(person.name, email)
    except InvalidInput:
        return check_name(None, email)
