"""A provider says that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

import hashlib
import logging
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from models.login import Login
from models.security_event import EventKind
from models.sign_in import SignInFlow, SignInIdentity, SignInLogin, SpentLogout
from resolvers.audit import note, note_stranger
from resolvers.context import Context
from resolvers.errors import NotFound
from resolvers.login_ends import end_logins
from resolvers.sign_in.provider import Leaving, Provider, ProviderFailed

log = logging.getLogger("groundql.accounts")


class LogoutRefused(Exception):
    """The token cannot be trusted, or has come before; the message is for the provider."""


async def end_provider_logins(context: Context, provider: str, logout_token: str) -> int:
    """End the logins that a logout token is about, with their streams and sockets; how many.

    With a `sid`, those of that session at the provider, and those of the same person of which the
    session is not known; without one, all that were made by the person's identity. Logins made in
    another way, and keys for programs, go on.

    Raises:
        NotFound: there is no such provider.
        LogoutRefused: the token cannot be trusted, or has come before; nothing was ended.
    """
    services = context.services
    found = services.providers.find(provider)
    if found is None:
        raise NotFound("provider")
    try:
        leaving = await found.leaving(logout_token)
    except ProviderFailed as error:
        log.warning("A logout by %s: %s", provider, error)
        await _note_refused(context, provider)
        raise LogoutRefused("The logout token is not acceptable.") from None
    try:
        async with services.store.transaction():
            await SpentLogout.create(
                token_hash=_name(found, leaving.token_id), expires_at=leaving.expires_at
            )
            ended = await _end(context, found, leaving)
    except IntegrityError:
        log.warning("A logout by %s: its token has come before", provider)
        await _note_refused(context, provider)
        raise LogoutRefused("The logout token has come before.") from None
    services.access.end_logins(ended)
    log.info("A logout by %s: %d logins were ended", provider, len(ended))
    return len(ended)


async def _end(context: Context, provider: Provider, leaving: Leaving) -> set[UUID]:
    """In the transaction."""
    issuer = provider.settings.issuer
    known = SignInIdentity.filter(issuer=issuer)
    if leaving.subject is not None:
        known = known.filter(subject=leaving.subject)
        session = Q() if leaving.sid is None else Q(sid=leaving.sid) | Q(sid__isnull=True)
    else:
        session = Q(sid=leaving.sid)
        made = await SignInLogin.filter(session).values_list("identity_id", flat=True)
        waiting = await SignInFlow.filter(session, issuer=issuer, done_at__isnull=True)
        named = {*made, *(flow.identity_id for flow in waiting)}
        known = known.filter(id__in=[one for one in named if one is not None])
    identities = {row.id: row.user_id for row in await known}
    ended: set[UUID] = set()
    for identity_id, user_id in identities.items():
        # Who was asked for a second factor and has not answered has no login yet.
        await SignInFlow.filter(session, identity_id=identity_id, done_at__isnull=True).update(
            done_at=context.services.clock.now()
        )
        rows = await SignInLogin.filter(session, identity_id=identity_id)
        made_here = Login.filter(id__in=[row.login_id for row in rows])
        logins = await end_logins(context.services, made_here)
        for login_id in sorted(logins):
            await note(
                context,
                EventKind.PROVIDER_LOGGED_OUT,
                concerns=user_id,
                about=("Login", login_id),
                detail=provider.settings.name,
            )
        ended |= logins
    return ended


async def _note_refused(context: Context, provider: str) -> None:
    detail = f"{provider} LOGOUT_TOKEN"
    await note_stranger(context, EventKind.TOKEN_REFUSED, concerns=None, detail=detail)


def _name(provider: Provider, token_id: str) -> str:
    text = f"{provider.settings.issuer}\0{token_id}"
    return hashlib.sha256(text.encode()).hexdigest()
