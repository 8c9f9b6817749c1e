"""Deleting an account with what belongs to it; docs/accounts.md says what stays."""

from __future__ import annotations

import logging
from uuid import UUID

from models.chat_session import ChatSession
from models.login import Login
from models.outbox_mail import OutboxMail
from models.participant import Invitation, Participant, ParticipantRole
from models.security_event import EventKind
from models.session_deletion import delete_session
from models.user import User
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.errors import NotFound
from resolvers.login_ends import end_logins
from resolvers.password_confirmation import confirm_password
from resolvers.replies.start import lock_session
from resolvers.roles import LOCK, require_other_admin
from resolvers.second_factor import require_code
from resolvers.session_bus import SessionDeleted
from resolvers.sharing import announce_participants

log = logging.getLogger("groundql.accounts")

# Sessions that come up while an account is deleted can only be few: its logins have ended.
_ROUNDS = 20


class _NotEmpty(Exception):
    """Undoes the transaction: the person is in a session again."""


async def delete_account(context: Context, password: str, code: str | None = None) -> None:
    """Delete the viewer's account. It ends all logins first; what fails afterwards can be tried
    again with a new login.

    Sessions without anybody else go with their messages. In others the person's messages stay,
    without an author, and the session gets another owner if it has none.

    Raises:
        Unauthenticated
        InvalidCredentials: the password.
        SecondFactorRequired: there is a second factor, and the code is missing or wrong.
        RateLimited: too many wrong passwords or codes.
        BadUserInput: it is the last ADMIN.
    """
    viewer = context.require_viewer()
    services, user = context.services, viewer.user
    await confirm_password(context, viewer, password)
    await require_code(context, user, code)
    async with services.store.transaction():
        await services.store.lock_name(LOCK)
        await require_other_admin(user)
        ended = await end_logins(services, Login.filter(user_id=user.id))
    services.access.end_logins(ended)
    for _ in range(_ROUNDS):
        for session_id in await _sessions(user.id):
            await _leave(services, session_id, user.id)
        try:
            async with services.store.transaction():
                await services.store.lock_name(LOCK)
                await require_other_admin(user)
                # The database's own cascade may not meet a session: see models/session_deletion.
                if await _sessions(user.id):
                    raise _NotEmpty
                await Invitation.filter(email=user.email).delete()
                await OutboxMail.filter(to=user.email).delete()
                await User.filter(id=user.id).delete()
                await services.mailer.send_account_deleted(user.email, context.language)
                await note(context, EventKind.ACCOUNT_DELETED)
        except _NotEmpty:
            continue
        break
    else:
        raise RuntimeError(f"user {user.id} cannot be deleted: new sessions come up")
    services.mailer.wake()
    log.info("User %s has deleted the account", user.id)


async def _sessions(user_id: UUID) -> list[UUID]:
    """All that the person takes part in, or that would go with the person's row."""
    parts = await Participant.filter(user_id=user_id).values_list("session_id")
    owned = await ChatSession.filter(owner_id=user_id).values_list("id")
    return sorted({id for (id,) in [*parts, *owned]})


async def _leave(services: Services, session_id: UUID, user_id: UUID) -> None:
    """Take a person out of a session; it goes if nobody else is in it."""
    try:
        async with services.store.transaction():
            await lock_session(services.store, session_id)
            others = (
                await Participant.filter(session_id=session_id)
                .exclude(user_id=user_id)
                .order_by("created_at", "id")
            )
            if others:
                heir = min(others, key=lambda part: _RANK[part.role])
                if heir.role is not ParticipantRole.OWNER:
                    was_owner = await Participant.exists(
                        session_id=session_id, user_id=user_id, role=ParticipantRole.OWNER
                    )
                    if was_owner:
                        await Participant.filter(id=heir.id).update(role=ParticipantRole.OWNER)
                await ChatSession.filter(id=session_id, owner_id=user_id).update(
                    owner_id=heir.user_id
                )
                await Participant.filter(session_id=session_id, user_id=user_id).delete()
    except NotFound:
        return
    if others:
        announce_participants(services, [session_id])
        return
    await services.replies.stop_session(session_id)
    if await delete_session(services.store, session_id):
        services.sessions.publish(session_id, SessionDeleted())


_RANK = {ParticipantRole.OWNER: 0, ParticipantRole.WRITER: 1, ParticipantRole.READER: 2}
