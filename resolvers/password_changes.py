"""Other passwords: forgotten ones, and changes by whoever knows the present one."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from models.email_change import EmailChange
from models.email_token import EmailPurpose, EmailToken
from models.login import Login, RefreshToken
from models.security_event import EventKind
from models.user import User
from resolvers.account import AuthTokensData, issue_tokens, new_refresh_token
from resolvers.attempts import network_of
from resolvers.audit import note
from resolvers.context import Context
from resolvers.email_verification import forget_former_holder
from resolvers.errors import InvalidCredentials
from resolvers.login_ends import end_logins
from resolvers.password_confirmation import confirm_password
from resolvers.registration import find_email_token, mail_if_known, unusable_link
from resolvers.second_factor import require_code
from resolvers.sharing import accept_invitations, announce_participants
from resolvers.tokens import EMAIL_PREFIX, new_opaque_token

log = logging.getLogger("groundql.accounts")

RESET_LIFETIME = timedelta(hours=1)


async def request_password_reset(context: Context, email: str) -> None:
    """Send a link to set a new password, if the address has an account; the caller does not learn
    whether: the same is written in both cases.

    Raises:
        RateLimited: too many mails to the address, or by this network.
    """

    async def send(user: User) -> None:
        services = context.services
        token, token_hash = new_opaque_token(EMAIL_PREFIX)
        await EmailToken.create(
            user=user,
            purpose=EmailPurpose.RESET,
            email=user.email,
            token_hash=token_hash,
            expires_at=services.clock.now() + RESET_LIFETIME,
        )
        await services.mailer.send_password_reset(user.email, token, context.language_of(user))

    event = EventKind.PASSWORD_RESET_REQUESTED
    await mail_if_known(context, email, send, User.all(), event=event)


async def reset_password(context: Context, token: str, new_password: str) -> None:
    """Set the password of whoever got the mail. All logins end. The mail also proves the address,
    so an account that a stranger registered belongs to the mailbox's owner from here on.

    A refused password does not use the token up.

    Raises:
        InvalidToken, InvalidInput
        RateLimited: too many people log in now.
    """
    services = context.services
    row = await find_email_token(token, EmailPurpose.RESET)
    if (
        row is None
        or row.used_at is not None
        or row.expires_at <= services.clock.now()
        or row.email != row.user.email
    ):
        raise unusable_link()
    user = row.user
    await services.password_rules.check(
        new_password, user.email, name=user.display_name, field="newPassword"
    )
    with services.passwords.place(network_of(context.address)):
        password_hash = await services.passwords.hash(new_password)
    now = services.clock.now()
    joined: list[UUID] = []
    async with services.store.transaction():
        # The write comes first: of several only one finds the token unused.
        if not await EmailToken.filter(id=row.id, used_at__isnull=True).update(used_at=now):
            raise unusable_link()
        if not await User.filter(id=user.id, email=row.email).update(password_hash=password_hash):
            raise unusable_link()
        if await User.filter(id=user.id, email_verified_at__isnull=True).update(
            email_verified_at=now
        ):
            await forget_former_holder(user.id)
            joined = await accept_invitations(services, user)
        await _forget_links(user.id)
        ended = await end_logins(services, Login.filter(user_id=user.id))
        await services.mailer.send_password_changed(user.email, context.language_of(user))
        await note(context, EventKind.PASSWORD_RESET, actor=user.id)
    services.mailer.wake()
    services.access.end_logins(ended)
    announce_participants(services, joined)
    log.info("User %s has a new password, by a link", user.id)


async def change_password(
    context: Context, *, current_password: str, new_password: str, code: str | None = None
) -> AuthTokensData:
    """Set another password. All other logins of the person end, and this one gets new tokens. Keys
    for programs go on; a reset ends them, too.

    Raises:
        Unauthenticated
        InvalidCredentials: the present password is another one.
        InvalidInput: the new one cannot be accepted.
        SecondFactorRequired: there is a second factor, and the code is missing or wrong.
        RateLimited: too many wrong passwords or codes.
    """
    viewer = context.require_viewer()
    services, user = context.services, viewer.user
    await confirm_password(context, viewer, current_password)
    await services.password_rules.check(
        new_password, user.email, name=user.display_name, field="newPassword"
    )
    # Last, as a code counts once.
    await require_code(context, user, code)
    with services.passwords.place(network_of(context.address)):
        password_hash = await services.passwords.hash(new_password)
    async with services.store.transaction():
        # Another change, or the end of this login, may have come first.
        if not await User.filter(id=user.id, password_hash=user.password_hash).update(
            password_hash=password_hash
        ):
            raise InvalidCredentials
        row = await Login.get_or_none(id=viewer.login.id, revoked_at__isnull=True)
        if row is None:
            raise InvalidCredentials
        # A link to confirm the address that carries the old password carries the new one now.
        await EmailToken.filter(user_id=user.id, password_hash=user.password_hash).update(
            password_hash=password_hash
        )
        await EmailToken.filter(user_id=user.id, purpose=EmailPurpose.RESET).delete()
        await EmailChange.filter(user_id=user.id, done_at__isnull=True).delete()
        ended = await end_logins(
            services, Login.filter(user_id=user.id, is_key=False).exclude(id=row.id)
        )
        await RefreshToken.filter(login_id=row.id).delete()
        refresh_token = await new_refresh_token(row)
        await services.mailer.send_password_changed(user.email, context.language)
        await note(context, EventKind.PASSWORD_CHANGED)
    services.mailer.wake()
    services.access.end_logins(ended)
    log.info("User %s has changed the password", user.id)
    return issue_tokens(services, user, row, refresh_token)


async def _forget_links(user_id: UUID) -> None:
    """No other link of before sets or carries a password, or changes the address."""
    await EmailToken.filter(
        user_id=user_id, purpose=EmailPurpose.RESET, used_at__isnull=True
    ).delete()
    await EmailToken.filter(user_id=user_id).update(password_hash=None, display_name=None)
    await EmailChange.filter(user_id=user_id, done_at__isnull=True).delete()
