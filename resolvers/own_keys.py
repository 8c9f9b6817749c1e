"""A person's keys for programs."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from models.api_key import ApiKey, ApiScope
from models.login import Login
from models.security_event import EventKind
from resolvers.api_keys import MAX_KEYS, check_wish, create_key_row
from resolvers.audit import note
from resolvers.context import Context
from resolvers.errors import InvalidInput, NotFound
from resolvers.fresh_login import require_fresh_login
from resolvers.login_ends import end_logins
from texts import fill

log = logging.getLogger("groundql.accounts")


async def create_api_key(
    context: Context, *, name: str, scopes: Collection[ApiScope], expires_in_days: int
) -> tuple[str, ApiKey]:
    """Make a key; its text is returned now and never again.

    Raises:
        Unauthenticated
        Forbidden: this login was made too long ago.
        InvalidInput: name, scopes, expiresInDays, or there are too many keys.
    """
    viewer = context.require_viewer()
    services = context.services
    require_fresh_login(context)
    name = check_wish(name, scopes, expires_in_days)
    now = services.clock.now()
    async with services.store.transaction():
        await services.store.lock_name(f"api-keys {viewer.id}")
        if len(await list_api_keys(context)) >= MAX_KEYS:
            raise InvalidInput(
                "name", fill("There are {maximum} keys; revoke one first.", maximum=MAX_KEYS)
            )
        made = await create_key_row(
            viewer.id, name, scopes, now, now + timedelta(days=expires_in_days)
        )
        await note(
            context,
            EventKind.API_KEY_CREATED,
            about=("ApiKey", made[1].id),
            detail=" ".join(made[1].scopes),
        )
    log.info("User %s has made the API key %s", viewer.id, made[1].id)
    return made


async def list_api_keys(context: Context) -> list[ApiKey]:
    """The viewer's keys that can be used, with their logins, the newest first.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    return (
        await ApiKey.filter(
            user_id=viewer.id,
            login__revoked_at__isnull=True,
            login__expires_at__gt=context.services.clock.now(),
        )
        .select_related("login")
        .order_by("-id")
    )


async def revoke_api_key(context: Context, key_id: UUID | None) -> UUID:
    """End one of the viewer's keys at once, with the streams and sockets that are open with it.

    Raises:
        Unauthenticated
        NotFound: it has ended, or it is not the viewer's.
    """
    viewer = context.require_viewer()
    key = None if key_id is None else await ApiKey.get_or_none(id=key_id, user_id=viewer.id)
    if key is None:
        raise NotFound("API key")
    async with context.services.store.transaction():
        ended = await end_logins(context.services, Login.filter(id=key.login_id))
        if not ended:
            raise NotFound("API key")
        await note(context, EventKind.API_KEY_REVOKED, about=("ApiKey", key.id))
    context.services.access.end_logins(ended)
    log.info("User %s has revoked the API key %s", viewer.id, key.id)
    return key.id
