"""Asking for a new login before what a stolen device must not do."""

from __future__ import annotations

from typing import Final

from resolvers.context import Context
from resolvers.errors import Forbidden, ForbiddenReason
from texts import translate

SIGN_IN_AGAIN: Final = "Log in again to do this: your login is too old for it."


def require_fresh_login(context: Context) -> None:
    """Let a login go on that was made a short while ago, as the operator says. The client logs in
    as for a new device and calls again with the new token; a refreshed one does not count.

    Raises:
        Unauthenticated
        Forbidden: with the reason SIGN_IN_AGAIN.
    """
    viewer, services = context.require_viewer(), context.services
    allowed = services.rules.fresh_login
    if allowed is not None and viewer.login.created_at + allowed <= services.clock.now():
        raise Forbidden(
            translate(SIGN_IN_AGAIN, context.language), reason=ForbiddenReason.SIGN_IN_AGAIN
        )
