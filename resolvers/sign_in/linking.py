"""The identities at providers that a person signs in with."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.login import Login
from models.security_event import EventKind
from models.sign_in import SignInIdentity
from models.user import User
from resolvers.audit import note
from resolvers.context import Context
from resolvers.errors import EmailNotVerified, InvalidInput, NotFound
from resolvers.fresh_login import require_fresh_login
from resolvers.login_ends import end_logins
from resolvers.password_confirmation import confirm_password
from resolvers.second_factor import require_code
from resolvers.sign_in.flow import Arrival, FlowStart, begin_flow, end_flow
from resolvers.sign_in.signing_in import add_identity, tell_linked
from texts import fill

log = logging.getLogger("groundql.accounts")

MAX_IDENTITIES: Final = 20


async def list_identities(context: Context) -> list[SignInIdentity]:
    """The viewer's, the first linked first; at most MAX_IDENTITIES.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    return await SignInIdentity.filter(user_id=viewer.id).order_by("id").limit(MAX_IDENTITIES)


async def link_sign_in(
    context: Context,
    *,
    provider: str,
    redirect_uri: str,
    password: str | None,
    code: str | None = None,
) -> FlowStart:
    """Where to send the viewer to link another identity. Who has a password gives it, and a code of
    the second factor: a stolen access token must not become a way in that stays.

    Raises:
        Unauthenticated
        EmailNotVerified: an account whose address is not confirmed may be a stranger's, who would
            keep the link once the address's owner has come.
        InvalidCredentials, SecondFactorRequired, InvalidInput, RateLimited, SignInFailed
    """
    viewer = context.require_viewer()
    if viewer.user.email_verified_at is None:
        raise EmailNotVerified
    if viewer.user.password_hash:
        await confirm_password(context, viewer, password or "")
    await require_code(context, viewer.user, code)
    return await begin_flow(
        context, provider=provider, redirect_uri=redirect_uri, linking=viewer.user
    )


async def complete_link(context: Context, arrival: Arrival) -> SignInIdentity:
    """Link the identity that the viewer has shown. Only who has begun can end it: somebody who is
    lured to come back with another's flow links nothing.

    Raises:
        Unauthenticated, InvalidToken, SignInFailed, EmailNotVerified
        InvalidInput: the identity is linked to another account, or the viewer has too many.
    """
    viewer = context.require_viewer()
    services = context.services
    _, provider, person = await end_flow(context, arrival, linking=viewer.user)
    try:
        async with services.store.transaction():
            await services.store.lock_name(f"identities {viewer.id}")
            user = await User.get_or_none(id=viewer.id)
            if user is None or user.email_verified_at is None:
                raise EmailNotVerified
            found = await SignInIdentity.get_or_none(
                issuer=provider.settings.issuer, subject=person.subject
            )
            if found is None:
                if await SignInIdentity.filter(user_id=viewer.id).count() >= MAX_IDENTITIES:
                    raise InvalidInput(
                        "provider",
                        fill(
                            "At most {maximum} identities can be linked; unlink one first.",
                            maximum=MAX_IDENTITIES,
                        ),
                    )
                found = await add_identity(context, user, provider, person, used=False)
                await tell_linked(context, user, provider.settings.label)
                log.info("User %s has linked %s", viewer.id, provider.settings.name)
    except IntegrityError:
        raise _taken() from None
    if found.user_id != viewer.id:
        raise _taken()
    services.mailer.wake()
    return found


async def unlink_sign_in(context: Context, identity_id: UUID | None) -> UUID:
    """Take an identity away; it signs in no more, and the logins that it has made end, even the
    viewer's own. A mail tells the person.

    Raises:
        Unauthenticated
        Forbidden: this login was made too long ago.
        NotFound: there is none, or it is not the viewer's.
        InvalidInput: nothing else would be left to sign in with.
    """
    viewer = context.require_viewer()
    services = context.services
    require_fresh_login(context)
    async with services.store.transaction():
        # Two at once must not take away the last two.
        await services.store.lock_name(f"identities {viewer.id}")
        rows = await SignInIdentity.filter(user_id=viewer.id)
        if identity_id is None or identity_id not in {row.id for row in rows}:
            raise NotFound("identity")
        user = await User.get(id=viewer.id)
        issuers = services.providers.issuers
        others = [row for row in rows if row.id != identity_id and row.issuer in issuers]
        if not user.password_hash and not others:
            raise InvalidInput(
                "id",
                "It is your only way to sign in; set a password first, by the link for a "
                "forgotten one.",
            )
        made = Login.filter(sign_in__identity_id=identity_id).values_list("id", flat=True)
        ended = await end_logins(services, Login.filter(id__in=await made))
        await SignInIdentity.filter(id=identity_id).delete()
        (gone,) = [row for row in rows if row.id == identity_id]
        known = services.providers.find(gone.provider)
        await services.mailer.send_identity_unlinked(
            user.email,
            gone.provider if known is None else known.settings.label,
            context.language_of(user),
        )
        about = ("SignInIdentity", identity_id)
        await note(context, EventKind.IDENTITY_UNLINKED, about=about)
    services.access.end_logins(ended)
    services.mailer.wake()
    log.info("User %s has unlinked an identity", viewer.id)
    return identity_id


def _taken() -> InvalidInput:
    return InvalidInput("provider", "This identity belongs to another account here.")
