"""Asking whoever is logged in for their password again."""

from __future__ import annotations

from models.security_event import EventKind, EventOutcome
from resolvers.attempts import PASSWORD_TRIES, network_of
from resolvers.audit import note
from resolvers.context import Context, Viewer
from resolvers.errors import InvalidCredentials


async def confirm_password(context: Context, viewer: Viewer, password: str) -> None:
    """Ask for the password before something that a stolen device must not do. Wrong ones are
    counted by the account.

    Raises:
        InvalidCredentials, RateLimited
    """
    services = context.services
    if not viewer.user.password_hash:
        raise InvalidCredentials(
            "You have no password yet; set one first, by the link for a forgotten one."
        )
    key = f"confirm {viewer.id}"
    with services.passwords.place(network_of(context.address)):
        async with services.attempts.turn(PASSWORD_TRIES, key):
            if not await services.passwords.verify(viewer.user.password_hash, password):
                await note(context, EventKind.PASSWORD_REFUSED, outcome=EventOutcome.FAILED)
                raise InvalidCredentials("The password is wrong.")
            await services.attempts.forgive(PASSWORD_TRIES, key)
