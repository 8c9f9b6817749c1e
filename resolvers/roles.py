"""Who may change what: the roles of people."""

from __future__ import annotations

import logging
from uuid import UUID

from models.security_event import EventKind
from models.store import Store
from models.user import Role, User
from resolvers.audit import note
from resolvers.clock import Clock
from resolvers.context import Context
from resolvers.email_address import normalise
from resolvers.errors import BadUserInput
from resolvers.event_log import Origin, write
from resolvers.password_rules import PasswordRules
from resolvers.passwords import PasswordHasher

log = logging.getLogger("groundql.accounts")

# Held while it is decided whether an ADMIN is left.
LOCK = "user-roles"


async def set_user_role(context: Context, user_id: UUID | None, role: Role) -> User | None:
    """Give a person another role; None if there is no such person.

    Rights are looked up for every operation, so it counts from their next one on.

    Raises:
        Unauthenticated, Forbidden
        BadUserInput: there would be no ADMIN left.
    """
    viewer = context.require_role(Role.ADMIN)
    store = context.services.store
    async with store.transaction():
        await store.lock_name(LOCK)
        user = None if user_id is None else await User.get_or_none(id=user_id)
        if user is None:
            return None
        if role is not Role.ADMIN:
            await require_other_admin(user)
        if user.role is not role:
            detail = f"{user.role.value} to {role.value}"
            user.role = role
            await User.filter(id=user.id).update(role=role)
            await note(context, EventKind.ROLE_CHANGED, concerns=user.id, detail=detail)
            log.info("User %s is %s now, by %s", user.id, role, viewer.id)
    return user


async def require_other_admin(user: User) -> None:
    """Before a person is no ADMIN any more: there must be another one who can log in. Hold LOCK.

    Raises:
        BadUserInput: this is the last one.
    """
    if user.role is not Role.ADMIN:
        return
    others = User.filter(role=Role.ADMIN, suspended_at__isnull=True).exclude(id=user.id)
    if not await others.exists():
        raise BadUserInput("This is the last ADMIN; make somebody else ADMIN first.")


async def make_admin(store: Store, clock: Clock, email: str, origin: Origin) -> bool:
    """Give the account with this address the role ADMIN; False if there is no such account.

    Raises:
        InvalidInput: the address.
    """
    async with store.transaction():
        user = await User.get_or_none(email=normalise(email))
        if user is None:
            return False
        await User.filter(id=user.id).update(role=Role.ADMIN)
        await write(
            clock.now(),
            EventKind.ROLE_CHANGED,
            origin,
            concerns=user.id,
            detail=f"{user.role.value} to ADMIN",
        )
    return True


async def create_admin(
    store: Store,
    clock: Clock,
    passwords: PasswordHasher,
    rules: PasswordRules,
    *,
    email: str,
    password: str,
    origin: Origin,
) -> User:
    """Make an account with the role ADMIN and a confirmed address.

    Raises:
        InvalidInput: the address or the password.
        Unavailable: the password cannot be checked.
        IntegrityError: the address has an account.
    """
    email = normalise(email)
    await rules.check(password, email)
    password_hash = await passwords.hash(password)
    async with store.transaction():
        user = await User.create(
            email=email,
            display_name=email.rpartition("@")[0][:100],
            password_hash=password_hash,
            role=Role.ADMIN,
            email_verified_at=clock.now(),
        )
        await write(clock.now(), EventKind.REGISTERED, origin, concerns=user.id, detail="as ADMIN")
    return user
