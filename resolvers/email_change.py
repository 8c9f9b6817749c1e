"""Another address for an account: it counts once the old and the new mailbox have confirmed it."""

from __future__ import annotations

import logging
from datetime import timedelta

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from models.email_change import EmailChange
from models.email_token import EmailToken
from models.security_event import EventKind
from models.user import User
from resolvers import email_address
from resolvers.audit import note
from resolvers.context import Context
from resolvers.errors import InvalidInput
from resolvers.password_confirmation import confirm_password
from resolvers.registration import take_mail, unusable_link
from resolvers.second_factor import require_code
from resolvers.sharing import accept_invitations, announce_participants
from resolvers.tokens import EMAIL_PREFIX, hash_opaque_token, new_opaque_token

log = logging.getLogger("groundql.accounts")

LIFETIME = timedelta(hours=48)
_MAX_LENGTH = 200


async def request_email_change(
    context: Context, *, new_email: str, password: str, code: str | None = None
) -> EmailChange:
    """Send a link to both mailboxes. A wish of before is dropped.

    The caller does not learn whether the new address has an account: its mailbox does.

    Raises:
        Unauthenticated
        InvalidCredentials: the password.
        InvalidInput: the new address.
        SecondFactorRequired: there is a second factor, and the code is missing or wrong.
        RateLimited: too many wrong passwords or codes, or mails.
    """
    viewer = context.require_viewer()
    services, user = context.services, viewer.user
    await confirm_password(context, viewer, password)
    new_email = email_address.normalise(new_email, field="newEmail")
    if new_email == user.email:
        raise InvalidInput("newEmail", "This is your address already.")
    await require_code(context, user, code)
    await take_mail(context, new_email)
    await take_mail(context, user.email)
    old_token, old_hash = new_opaque_token(EMAIL_PREFIX)
    new_token, new_hash = new_opaque_token(EMAIL_PREFIX)
    async with services.store.transaction():
        taken = await User.exists(email=new_email)
        await EmailChange.filter(user_id=user.id).delete()
        change = await EmailChange.create(
            user=user,
            old_email=user.email,
            new_email=new_email,
            old_hash=old_hash,
            new_hash=None if taken else new_hash,
            expires_at=services.clock.now() + LIFETIME,
        )
        await services.mailer.send_email_change(user.email, new_email, old_token, context.language)
        if taken:
            await services.mailer.send_account_exists(new_email, context.language)
        else:
            await services.mailer.send_email_change(
                new_email, new_email, new_token, context.language
            )
        await note(context, EventKind.EMAIL_CHANGE_REQUESTED)
    services.mailer.wake()
    return change


async def confirm_email_change(context: Context, token: str) -> EmailChange:
    """Confirm by the link of one mailbox; with the second one the address is changed. A link that
    is opened again answers the same.

    Raises:
        InvalidToken
    """
    services = context.services
    if len(token) > _MAX_LENGTH:
        raise unusable_link()
    hashed = hash_opaque_token(token.strip())
    now = services.clock.now()
    joined = []
    try:
        async with services.store.transaction():
            rows = EmailChange.filter(Q(old_hash=hashed) | Q(new_hash=hashed), expires_at__gt=now)
            if not services.store.is_sqlite:
                rows = rows.select_for_update()
            change = await rows.first()
            if change is None:
                raise unusable_link()
            if change.done_at is None:
                if change.old_hash == hashed:
                    change.old_confirmed_at = change.old_confirmed_at or now
                else:
                    change.new_confirmed_at = change.new_confirmed_at or now
                if change.old_confirmed_at and change.new_confirmed_at:
                    change.done_at = now
                    if not await User.filter(id=change.user_id, email=change.old_email).update(
                        email=change.new_email, email_verified_at=now
                    ):
                        raise unusable_link()
                    # No link that went to the old mailbox counts any more.
                    await EmailToken.filter(user_id=change.user_id).delete()
                    joined = await accept_invitations(services, await User.get(id=change.user_id))
                    await services.mailer.send_email_changed(
                        change.old_email, change.new_email, context.language
                    )
                    await note(context, EventKind.EMAIL_CHANGED, actor=change.user_id)
                    log.info("User %s has another address", change.user_id)
                await change.save()
    except IntegrityError:
        # Somebody registered the address in the meantime.
        raise unusable_link() from None
    services.mailer.wake()
    announce_participants(services, joined)
    return change
