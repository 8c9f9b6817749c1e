"""Sharing a session: its people, and the addresses that are invited to it.

Whoever changes the people of a session takes the address first (a share and the registration of
the same address must not miss each other) and the session's row second (two owners who remove each
other must not both succeed).
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from models.chat_session import ChatSession
from models.participant import OWNERS, READERS, Invitation, Participant, ParticipantRole
from models.security_event import EventKind
from models.user import User
from resolvers.access import require_part
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.email_address import normalise
from resolvers.errors import InvalidInput, NotFound
from resolvers.knowledge.audiences import check_newcomer, why_not_join
from resolvers.replies.start import lock_session
from resolvers.session_bus import ParticipantsChanged
from texts import Language, fill

# Participants and open invitations of one session together.
MAX_PEOPLE = 50


async def share_session(
    context: Context, session_id: UUID | None, email: str, role: ParticipantRole
) -> ChatSession:
    """Let the owner of an address take part, or give them another role.

    An address with an account (a confirmed one, where the server asks for that) takes part at
    once; any other is invited. Both get a mail, once: sharing again with the same role changes
    nothing, and another role is no news for a mailbox, since the mail names none.

    Raises:
        Unauthenticated, NotFound, Forbidden
        InvalidInput: the address, or there are too many people, or a reply was made from a document
            that the person may not see.
    """
    viewer = context.require_viewer()
    session = (await require_part(context, session_id, OWNERS)).session
    email = normalise(email)
    if email == viewer.user.email:
        raise InvalidInput("email", "You are in this conversation already.")
    services = context.services
    async with services.store.transaction():
        await _lock_address(services, email)
        await lock_session(services.store, session.id)
        session = (await require_part(context, session.id, OWNERS)).session
        user = await _account(services, email)
        if user is None:
            changed = await _invite(services, session, email, role, context.language)
        else:
            changed = await _add(services, session, user, role, context.language_of(user))
        if changed:
            await note(
                context,
                EventKind.SESSION_SHARED,
                concerns=None if user is None else user.id,
                about=("ChatSession", session.id),
                detail=role.value if user is not None else f"{role.value} INVITED",
            )
    services.mailer.wake()
    if changed:
        announce_participants(services, [session.id])
    return session


async def unshare_session(
    context: Context, session_id: UUID | None, user_id: UUID | None
) -> Participant:
    """Take a person out of a session: an owner anyone, everyone themselves.

    What the person wrote stays. Returns the viewer's part (with the session), which is gone if the
    viewer has left.

    Raises:
        Unauthenticated, Forbidden
        NotFound: the session, or the person is not in it.
        InvalidInput: it is the last owner.
    """
    viewer = context.require_viewer()
    session = (await require_part(context, session_id)).session
    services = context.services
    async with services.store.transaction():
        await lock_session(services.store, session.id)
        part = await require_part(context, session.id, READERS if user_id == viewer.id else OWNERS)
        leaving = part
        if user_id != viewer.id:
            found = (
                None
                if user_id is None
                else await Participant.get_or_none(session_id=session.id, user_id=user_id)
            )
            if found is None:
                raise NotFound("participant")
            leaving = found
        if leaving.role is ParticipantRole.OWNER:
            await _hand_over(part.session, leaving.user_id)
        await Participant.filter(id=leaving.id).delete()
        await note(
            context,
            EventKind.SESSION_UNSHARED,
            concerns=leaving.user_id,
            about=("ChatSession", session.id),
        )
    announce_participants(services, [session.id])
    return part


async def cancel_invitation(context: Context, session_id: UUID | None, email: str) -> ChatSession:
    """Take an invitation back. The mail is out, but leads to nothing.

    Raises:
        Unauthenticated, Forbidden
        NotFound: the session, or the address is not invited.
        InvalidInput: the address.
    """
    session = (await require_part(context, session_id, OWNERS)).session
    email = normalise(email)
    async with context.services.store.transaction():
        if not await Invitation.filter(session_id=session.id, email=email).delete():
            raise NotFound("invitation")
        about = ("ChatSession", session.id)
        await note(context, EventKind.SESSION_UNSHARED, about=about, detail="INVITED")
    announce_participants(context.services, [session.id])
    return session


async def accept_invitations(services: Services, user: User) -> list[UUID]:
    """Make a person a participant wherever their address is invited.

    Call it in the transaction that makes the address theirs, and `announce_participants` with the
    result after the commit.
    """
    await _lock_address(services, user.email)
    joined: list[UUID] = []
    invited = await Invitation.filter(email=user.email).order_by("session_id")
    for session_id in [invitation.session_id for invitation in invited]:
        try:
            await lock_session(services.store, session_id)
        except NotFound:
            continue
        # It may have been taken back, or have got another role, before the session was ours.
        invitation = await Invitation.get_or_none(
            session_id=session_id, email=user.email
        ).select_related("session")
        if invitation is None:
            continue
        if not await Participant.exists(session_id=session_id, user_id=user.id):
            if await why_not_join(services.store, session_id, user) is not None:
                # It waits, for the owners to see and to share anew once they may.
                continue
            await _create_participant(services, invitation.session, user, invitation.role)
        await invitation.delete()
        joined.append(session_id)
    return joined


def announce_participants(services: Services, session_ids: Iterable[UUID]) -> None:
    """Tell everyone who follows these sessions that their people changed; after the commit."""
    for session_id in session_ids:
        services.sessions.publish(session_id, ParticipantsChanged())


async def _lock_address(services: Services, email: str) -> None:
    await services.store.lock_name(f"address {email}")


async def _account(services: Services, email: str) -> User | None:
    """The account that the address surely belongs to."""
    user = await User.get_or_none(email=email)
    if user is None or (services.require_verified_email and user.email_verified_at is None):
        return None
    return user


async def _add(
    services: Services, session: ChatSession, user: User, role: ParticipantRole, language: Language
) -> bool:
    """Make the person a participant with this role; False if they were."""
    part = await Participant.get_or_none(session_id=session.id, user_id=user.id)
    if part is None:
        await check_newcomer(services.store, session.id, user)
        # Left from a time when the server asked for confirmed addresses.
        await Invitation.filter(session_id=session.id, email=user.email).delete()
        await _check_room(session)
        await _create_participant(services, session, user, role)
        await services.mailer.send_shared(user.email, language)
        return True
    if part.role is role:
        return False
    if part.role is ParticipantRole.OWNER:
        await _hand_over(session, user.id)
    await Participant.filter(id=part.id).update(role=role)
    return True


async def _invite(
    services: Services, session: ChatSession, email: str, role: ParticipantRole, language: Language
) -> bool:
    """Invite the address with this role; False if it was."""
    invitation = await Invitation.get_or_none(session_id=session.id, email=email)
    if invitation is None:
        await check_newcomer(services.store, session.id, None)
        await _check_room(session)
        await Invitation.create(
            session_id=session.id, email=email, role=role, created_at=services.clock.now()
        )
        await services.mailer.send_invitation(email, language)
        return True
    if invitation.role is role:
        return False
    await Invitation.filter(id=invitation.id).update(role=role)
    return True


async def _create_participant(
    services: Services, session: ChatSession, user: User, role: ParticipantRole
) -> None:
    await Participant.create(
        session_id=session.id,
        user_id=user.id,
        role=role,
        created_at=services.clock.now(),
        active_at=session.updated_at,
    )


async def _check_room(session: ChatSession) -> None:
    people = await Participant.filter(session_id=session.id).count()
    invited = await Invitation.filter(session_id=session.id).count()
    if people + invited >= MAX_PEOPLE:
        raise InvalidInput(
            "email",
            fill(
                "A conversation has at most {maximum} people, with those who are invited.",
                maximum=MAX_PEOPLE,
            ),
        )


async def _hand_over(session: ChatSession, user_id: UUID) -> None:
    """Prepare for a person's not being an owner any more: another owner must be there, and the
    row, which goes with its owner's account, must be one of theirs.

    Raises:
        InvalidInput: there is no other owner.
    """
    others = Participant.filter(session_id=session.id, role=ParticipantRole.OWNER)
    heir = await others.exclude(user_id=user_id).order_by("created_at", "id").first()
    if heir is None:
        raise InvalidInput(
            "userId",
            "This is the last owner. Make someone else an owner first, or delete the conversation.",
        )
    if session.owner_id == user_id:
        session.owner_id = heir.user_id
        await session.save(update_fields=["owner_id"])
