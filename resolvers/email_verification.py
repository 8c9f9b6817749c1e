"""Confirming the address of an account, by the link in a mail.

Whoever opens the link need not be who registered: a stranger may have given the address, and would
have a confirmed account then with a password of theirs. So whoever confirms must show to be who
registered, too: by the password, or by being where the registration came from.
"""

from __future__ import annotations

import logging
from uuid import UUID

from models.email_change import EmailChange
from models.email_token import EmailPurpose, EmailToken
from models.login import Login
from models.second_factor import RecoveryCode, SecondFactor
from models.security_event import EventKind
from models.user import User
from resolvers.attempts import network_of
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.errors import InvalidInput
from resolvers.login_ends import end_logins
from resolvers.registration import find_email_token, unusable_link
from resolvers.sharing import accept_invitations, announce_participants

log = logging.getLogger("groundql.accounts")


async def verify_email(context: Context, token: str, password: str | None = None) -> User:
    """Confirm the address that the token was sent to, for whoever has registered with it: with the
    password of the registration, or without one from the network that it came from or with a login
    of the account.

    A token counts once. Opened again within its lifetime, it answers the same as the first time
    as long as it changes nothing: mail scanners and double clicks open links twice, and the person
    should not see a failure after a success.

    Raises:
        InvalidToken
        InvalidInput: the password is another one, or missing. The token is not used up.
        RateLimited: too many passwords are checked now.
    """
    services = context.services
    row = await find_email_token(token, EmailPurpose.VERIFY)
    now = services.clock.now()
    if row is None or row.expires_at <= now or row.email != row.user.email:
        raise unusable_link()
    await _check_registrant(context, row, password)
    joined: list[UUID] = []
    ended: set[UUID] = set()
    async with services.store.transaction():
        if await EmailToken.filter(id=row.id, used_at__isnull=True).update(used_at=now):
            if await User.filter(
                id=row.user_id, email=row.email, email_verified_at__isnull=True
            ).update(email_verified_at=now):
                ended = await _take_registration(services, row)
                await note(context, EventKind.EMAIL_VERIFIED, actor=row.user_id)
            joined = await accept_invitations(services, row.user)
    services.access.end_logins(ended)
    announce_participants(services, joined)
    user = await User.get_or_none(id=row.user_id, email=row.email)
    if user is None or user.email_verified_at is None:
        # The account or its address changed after the token was used, or just now.
        raise unusable_link()
    return user


async def _check_registrant(context: Context, row: EmailToken, password: str | None) -> None:
    """
    Raises:
        InvalidInput, RateLimited
    """
    if password is not None:
        registered = row.password_hash or row.user.password_hash
        passwords = context.services.passwords
        with passwords.place(network_of(context.address)):
            right = await passwords.verify(registered, password)
        if not right:
            raise InvalidInput(
                "password",
                "This is not the password of the registration. If you did not register, set a new "
                'one with "forgotten password".',
            )
    elif row.used_at is None and row.user.email_verified_at is None:
        here = row.network is not None and row.network == network_of(context.address)[:45]
        if not here and (context.viewer is None or context.viewer.id != row.user_id):
            raise InvalidInput(
                "password",
                "You registered from another place: give the password of your registration, too.",
            )


async def _take_registration(services: Services, row: EmailToken) -> set[UUID]:
    """Give the account the password and the name of the registration whose link was opened. What
    was set up with another password goes; the logins that ended are returned."""
    user = await User.get(id=row.user_id)
    ended: set[UUID] = set()
    if row.password_hash is not None and row.password_hash != user.password_hash:
        await User.filter(id=user.id).update(
            password_hash=row.password_hash, display_name=row.display_name or user.display_name
        )
        ended = await end_logins(services, Login.filter(user_id=user.id))
        await forget_former_holder(user.id)
        log.warning("User %s: the address was confirmed with another registration", user.id)
    await EmailToken.filter(user_id=user.id).update(password_hash=None, display_name=None)
    return ended


async def forget_former_holder(user_id: UUID) -> None:
    """In a transaction: drop what somebody may have set up who never proved the mailbox."""
    await SecondFactor.filter(user_id=user_id).delete()
    await RecoveryCode.filter(user_id=user_id).delete()
    await EmailChange.filter(user_id=user_id, done_at__isnull=True).delete()
