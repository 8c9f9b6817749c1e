"""Shutting people out, and letting them in again."""

from __future__ import annotations

import logging
from uuid import UUID

from models.login import Login
from models.security_event import EventKind
from models.user import Role, User
from resolvers.audit import note
from resolvers.context import Context
from resolvers.errors import BadUserInput
from resolvers.login_ends import end_logins
from resolvers.roles import LOCK, require_other_admin

log = logging.getLogger("groundql.accounts")


async def suspend_user(context: Context, user_id: UUID | None) -> User | None:
    """Shut a person out: their logins end, with the streams and sockets that are open with them,
    and no new one is given. Nothing of theirs is deleted. None if there is no such person.

    Raises:
        Unauthenticated, Forbidden
        BadUserInput: it is the viewer.
    """
    viewer = context.require_role(Role.ADMIN)
    services = context.services
    if user_id == viewer.id:
        raise BadUserInput("You cannot suspend yourself; another ADMIN can.")
    async with services.store.transaction():
        await services.store.lock_name(LOCK)
        user = None if user_id is None else await User.get_or_none(id=user_id)
        if user is None:
            return None
        await require_other_admin(user)
        if user.suspended_at is None:
            user.suspended_at = services.clock.now()
            await User.filter(id=user.id).update(suspended_at=user.suspended_at)
            await note(context, EventKind.USER_SUSPENDED, concerns=user.id)
        ended = await end_logins(services, Login.filter(user_id=user.id))
    services.access.end_logins(ended)
    log.info("User %s was suspended, by %s", user.id, viewer.id)
    return user


async def lift_suspension(context: Context, user_id: UUID | None) -> User | None:
    """Let a person log in again. None if there is no such person.

    Raises:
        Unauthenticated, Forbidden
    """
    viewer = context.require_role(Role.ADMIN)
    user = None if user_id is None else await User.get_or_none(id=user_id)
    if user is None:
        return None
    user.suspended_at = None
    async with context.services.store.transaction():
        lifted = User.filter(id=user.id, suspended_at__isnull=False)
        if await lifted.update(suspended_at=None):
            await note(context, EventKind.SUSPENSION_LIFTED, concerns=user.id)
    log.info("The suspension of user %s was lifted, by %s", user.id, viewer.id)
    return user
