"""Following a session: what every participant is told, and what they tell in passing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar
from uuid import UUID

from models.chat_message import ChatMessage
from models.chat_session import ChatSession
from models.participant import WRITERS, Participant
from models.user import User
from resolvers import rows
from resolvers.access import require_message, require_part
from resolvers.access_watch import AccessEndReason, AccessLost
from resolvers.context import Context
from resolvers.errors import NotFound
from resolvers.session_bus import (
    MessageAdded,
    MessageChanged,
    ParticipantsChanged,
    PresenceChanged,
    ReadChanged,
    SessionChanged,
    SessionDeleted,
    SessionEvent,
    TypingChanged,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewMessage:
    message: ChatMessage


@dataclass(frozen=True, slots=True)
class ChangedMessage:
    message: ChatMessage


@dataclass(frozen=True, slots=True)
class NewParticipants:
    """With the person of each."""

    parts: list[Participant]


@dataclass(frozen=True, slots=True)
class ChangedSession:
    session: ChatSession


@dataclass(frozen=True, slots=True)
class Present:
    users: list[User]


@dataclass(frozen=True, slots=True)
class Typing:
    user: User
    typing: bool


@dataclass(frozen=True, slots=True)
class Read:
    user: User
    message: ChatMessage
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    reason: AccessEndReason


Told: TypeAlias = (
    NewMessage | ChangedMessage | NewParticipants | ChangedSession | Present | Typing | Read | Ended
)


async def follow_session(context: Context, session_id: UUID) -> AsyncGenerator[Told, None]:
    """What happens in a session, beginning with who is present and who is typing.

    Nothing that is committed after the first event is missed: who reads the session then and
    follows the events has everything. Ends after `Ended`, which only a lost right brings.

    Raises:
        Unauthenticated, NotFound
        RateLimited: it was read too slowly.
    """
    viewer = context.require_viewer()
    services = context.services
    with services.access.grant(viewer.id, viewer.login.id, session_id) as grant:
        try:
            with services.sessions.reader(session_id) as reader:
                await require_part(context, session_id)
                reader.add(PresenceChanged())
                for user_id in services.presence.typing(session_id):
                    reader.add(TypingChanged(user_id))
                with services.presence.enter(session_id, viewer.id):
                    while True:
                        event = await grant.next(reader)
                        told = await _tell(context, session_id, event)
                        grant.check()
                        if told is not None:
                            yield told
        except AccessLost as lost:
            reason = lost.reason
        # Outside: a reader who takes nothing any more must not look present for ever.
        yield Ended(reason)


async def _tell(context: Context, session_id: UUID, event: SessionEvent) -> Told | None:
    """The event with its rows as they are now; None if there is nothing to tell any more."""
    viewer = context.require_viewer()
    presence = context.services.presence
    match event:
        case MessageAdded(message_id):
            found = await rows.messages([message_id])
            return NewMessage(found[0]) if found else None
        case MessageChanged(message_id):
            found = await rows.messages([message_id])
            return ChangedMessage(found[0]) if found else None
        case ParticipantsChanged():
            return NewParticipants(await rows.participants([session_id]))
        case SessionChanged():
            sessions = await rows.sessions([session_id])
            return ChangedSession(sessions[0]) if sessions else None
        case PresenceChanged():
            # Who was just removed may still have a stream that is about to end.
            parts = await rows.participants([session_id])
            present = presence.present(session_id)
            return Present([part.user for part in parts if part.user_id in present])
        case TypingChanged(user_id):
            # Who left in the middle of a word has ended typing, too.
            users = [] if user_id == viewer.id else await rows.users([user_id])
            return Typing(users[0], user_id in presence.typing(session_id)) if users else None
        case ReadChanged(user_id):
            part = await Participant.get_or_none(
                session_id=session_id, user_id=user_id
            ).select_related("user")
            if part is None or part.read_message_id is None or part.read_at is None:
                return None
            found = await rows.messages([part.read_message_id])
            return Read(part.user, found[0], part.read_at) if found else None
        case SessionDeleted():
            return None  # the access watch ends the stream


async def while_allowed(
    context: Context, session_id: UUID, events: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """The events, as long as the viewer may read the session. What they tell goes on without.

    Raises:
        Unauthenticated, Forbidden: that right was lost.
    """
    viewer = context.require_viewer()
    with context.services.access.grant(viewer.id, viewer.login.id, session_id) as grant:
        async with aclosing(events):
            while True:
                try:
                    event = await grant.next(events)
                except StopAsyncIteration:
                    return
                except AccessLost as lost:
                    raise lost.as_error() from None
                yield event


async def set_typing(context: Context, session_id: UUID | None, *, typing: bool) -> None:
    """Tell the others that the viewer is writing, for a few seconds, or no longer is.

    Raises:
        Unauthenticated, NotFound, Forbidden
    """
    part = await require_part(context, session_id, WRITERS)
    context.services.presence.set_typing(part.session_id, part.user_id, typing=typing)


async def mark_read(context: Context, message_id: UUID | None) -> Participant:
    """Note that the viewer has read up to a message; earlier ones than before change nothing.

    Returns the viewer's part, with the person.

    Raises:
        Unauthenticated, NotFound
    """
    message, part = await require_message(context, message_id)
    now = context.services.clock.now()
    mark = {"read_message_id": message.id, "read_at": now}
    own = Participant.filter(id=part.id)
    # One of the two: the condition and the write are one step, so that it never goes back.
    moved = await own.filter(read_message_id__isnull=True).update(**mark) or await own.filter(
        read_message_id__lt=message.id
    ).update(**mark)
    if moved:
        context.services.sessions.publish(part.session_id, ReadChanged(part.user_id))
    part_now = await own.get_or_none().select_related("user")
    if part_now is None:
        raise NotFound("message")
    return part_now
