"""Registering, and the mails that ask to confirm an address."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from models.email_token import EmailPurpose, EmailToken
from models.participant import Invitation
from models.security_event import EventKind, EventOutcome
from models.user import User
from resolvers import email_address
from resolvers.attempts import Rule, network_of
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.display_name import check_name
from resolvers.errors import InvalidInput, InvalidToken
from resolvers.sharing import accept_invitations, announce_participants
from resolvers.tokens import EMAIL_PREFIX, MAX_OPAQUE_LENGTH, hash_opaque_token, new_opaque_token
from texts import Language

log = logging.getLogger("groundql.accounts")

VERIFICATION_LIFETIME: Final = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Registration:
    """What everyone who registers is told, whether or not the address had an account."""

    email: str
    verification_required: bool


async def register(
    context: Context, *, email: str, password: str, display_name: str | None = None
) -> Registration:
    """Create an account, or tell the mailbox that it has one.

    The caller cannot tell the two apart: the answer is the same, and the password is hashed in
    both. For an address that is registered but not confirmed, a new link is sent. Each link carries
    the password and the name of its own registration: whoever registers a stranger's address first
    keeps nothing of it once the stranger has registered, too, and opens that link.

    Raises:
        InvalidInput: email, password or displayName.
        RateLimited: too many mails to the address, or by this network; or too many people log in.
    """
    services = context.services
    email = email_address.normalise(email)
    name = check_name(display_name, email)
    await services.password_rules.check(password, email, name=name)
    with services.passwords.place(network_of(context.address)):
        await take_mail(context, email)
        password_hash = await services.passwords.hash(password)
    network = network_of(context.address)[:45]

    user = await User.get_or_none(email=email)
    joined: list[UUID] = []
    if user is None:
        try:
            async with services.store.transaction():
                user = await User.create(
                    email=email, display_name=name, password_hash=password_hash
                )
                await _send_verification(
                    services, user, context.language_of(user), password_hash, name, network
                )
                await note(context, EventKind.REGISTERED, actor=user.id)
                if not services.require_verified_email:
                    joined = await accept_invitations(services, user)
        except IntegrityError:
            # The same address was registered at the same moment, and its mail is on the way.
            if not await User.exists(email=email):
                raise
    elif user.email_verified_at is None:
        async with services.store.transaction():
            await _send_verification(
                services, user, context.language_of(user), password_hash, name, network
            )
            await note(context, EventKind.REGISTERED, concerns=user.id, detail="AGAIN")
            await _work_of_a_new_account(services, email, rows=1)
    else:
        async with services.store.transaction():
            await services.mailer.send_account_exists(email, context.language_of(user))
            await _work_of_a_new_account(services, email, rows=2)
            await note(
                context,
                EventKind.REGISTERED,
                concerns=user.id,
                detail="HAS_ACCOUNT",
                outcome=EventOutcome.REFUSED,
            )
    services.mailer.wake()
    announce_participants(services, joined)
    return Registration(email=email, verification_required=services.require_verified_email)


async def resend_verification(context: Context, email: str) -> None:
    """Send the link again, if the address waits for it; the caller does not learn whether.

    It is the link of the newest registration with the address.

    Raises:
        RateLimited: too many mails to the address, or by this network.
    """

    async def send(user: User) -> None:
        newest = (
            await EmailToken.filter(user_id=user.id, purpose=EmailPurpose.VERIFY)
            .order_by("-id")
            .first()
        )
        await _send_verification(
            context.services,
            user,
            context.language_of(user),
            None if newest is None else newest.password_hash,
            None if newest is None else newest.display_name,
            # That of the registration: whoever asks for the mail need not be who registered.
            None if newest is None else newest.network,
        )

    await mail_if_known(context, email, send, User.filter(email_verified_at__isnull=True))


async def mail_if_known(
    context: Context,
    email: str,
    send: Callable[[User], Awaitable[None]],
    people: QuerySet[User],
    *,
    event: EventKind | None = None,
) -> None:
    """Let `send` write a mail, if one of `people` has the address; the caller does not learn
    whether: as much is counted and written in both cases, and the event, if there is one, is noted.

    Raises:
        RateLimited: too many mails to the address, or by this network.
    """
    services = context.services
    try:
        email = email_address.normalise(email)
    except InvalidInput:
        return
    await take_mail(context, email)
    user = await people.get_or_none(email=email)
    async with services.store.transaction():
        if user is None:
            await services.mailer.send_nothing()
        else:
            await send(user)
        if event is not None:
            await note(context, event, concerns=None if user is None else user.id)
    services.mailer.wake()


async def take_mail(context: Context, email: str) -> None:
    """Count a mail that the caller asks for, whether or not one is sent: by the mailbox, and by the
    network that asks.

    Raises:
        RateLimited: it is one too many.
    """
    rules, hour = context.services.rules, timedelta(hours=1)
    await context.services.attempts.take_mail(
        [
            (Rule("mail to", rules.mails_per_mailbox, hour), email),
            (Rule("mail by", rules.mails_per_network, hour), network_of(context.address)),
        ]
    )


async def _send_verification(
    services: Services,
    user: User,
    language: Language,
    password_hash: str | None,
    display_name: str | None,
    network: str | None,
) -> None:
    token, token_hash = new_opaque_token(EMAIL_PREFIX)
    await EmailToken.create(
        user=user,
        purpose=EmailPurpose.VERIFY,
        email=user.email,
        token_hash=token_hash,
        expires_at=services.clock.now() + VERIFICATION_LIFETIME,
        password_hash=password_hash,
        display_name=display_name,
        network=network,
    )
    await services.mailer.send_verification(user.email, token, language)


async def _work_of_a_new_account(services: Services, email: str, *, rows: int) -> None:
    """What a new account takes besides: so many rows, and a look at invitations. Whoever measures
    the time must not learn whether there was one."""
    for _ in range(rows):
        await services.mailer.send_nothing()
    if not services.require_verified_email:
        await Invitation.exists(email=email)


async def find_email_token(token: str, purpose: EmailPurpose) -> EmailToken | None:
    """The row of a token from a mail, with its user; used and expired ones, too."""
    if len(token) > MAX_OPAQUE_LENGTH:
        return None
    return await EmailToken.get_or_none(
        token_hash=hash_opaque_token(token.strip()), purpose=purpose
    ).select_related("user")


def unusable_link() -> InvalidToken:
    """What whoever opens a link hears, whatever is wrong with it."""
    return InvalidToken("The link is invalid or has expired; ask for a new one.")
