"""The devices that a person is logged in on."""

from __future__ import annotations

from uuid import UUID

from models.login import Login
from models.security_event import EventKind
from resolvers.account import MAX_LOGINS
from resolvers.audit import note
from resolvers.context import Context
from resolvers.errors import NotFound
from resolvers.fresh_login import require_fresh_login
from resolvers.login_ends import end_logins


async def list_logins(context: Context) -> list[Login]:
    """The viewer's logins that have not ended, the last used first; at most MAX_LOGINS.

    Raises:
        Unauthenticated
    """
    viewer, services = context.require_viewer(), context.services
    return (
        await Login.filter(
            Login.alive(services.clock.now(), services.rules.login_lifetime),
            user_id=viewer.id,
            is_key=False,
        )
        .order_by("-last_used_at", "-id")
        .limit(MAX_LOGINS)
    )


async def revoke_login(context: Context, login_id: UUID | None) -> UUID:
    """End one of the viewer's logins at once, with the streams and sockets that are open with it.

    Raises:
        Unauthenticated
        Forbidden: it is another one than this, which was made too long ago.
        NotFound: it has ended, or it is not the viewer's.
    """
    viewer = context.require_viewer()
    if login_id is None:
        raise NotFound("login")
    if login_id != viewer.login.id:
        require_fresh_login(context)
    mine = Login.filter(id=login_id, user_id=viewer.id, is_key=False)
    async with context.services.store.transaction():
        ended = await end_logins(context.services, mine)
        if not ended:
            raise NotFound("login")
        await note(context, EventKind.LOGIN_REVOKED, about=("Login", login_id))
    context.services.access.end_logins(ended)
    return login_id
