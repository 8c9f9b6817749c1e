"""Following a session, and telling the others that one writes or has read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from resolvers import session_events
from resolvers.access_watch import AccessEndReason
from resolvers.session_events import (
    ChangedMessage,
    ChangedSession,
    Ended,
    NewMessage,
    NewParticipants,
    Present,
    Read,
    Told,
    Typing,
)
from schema.account import Acknowledged, User
from schema.chat_types import ChatMessage, ChatSession, Participant
from schema.context import Info
from schema.enums import describe_enum
from schema.errors import NotFound, answers_problems
from schema.node import require_row_id, row_id

describe_enum(
    AccessEndReason,
    "Why a person may not follow a session any longer.",
    {
        "REMOVED": "The person was taken out of the session, or left it.",
        "LOGGED_OUT": "The login that the stream was opened with was ended or has expired.",
        "SESSION_DELETED": "The session was deleted.",
        "ACCOUNT_CLOSED": "The person's account was deleted.",
    },
)


@strawberry.interface(
    description="Something that happened in a session. Each event shows its objects as they are "
    "when it is sent; several changes of the same object may come as one event."
)
class SessionEvent:
    session_id: strawberry.ID = strawberry.field(description="The session's id.")


@strawberry.type(description="A question or a reply was stored. In the order of the commits.")
class MessageAdded(SessionEvent):
    message: ChatMessage = strawberry.field(description="The message as it is now.")


@strawberry.type(description="A message was changed, or a reply has ended.")
class MessageChanged(SessionEvent):
    message: ChatMessage = strawberry.field(description="The message as it is now.")


@strawberry.type(description="Somebody joined, left, or got another role.")
class ParticipantsChanged(SessionEvent):
    participants: list[Participant] = strawberry.field(
        description="Everyone who is in the session now."
    )


@strawberry.type(
    description="What all share was changed: the title, the branch that is shown, or a setting."
)
class SessionChanged(SessionEvent):
    session: ChatSession = strawberry.field(description="The session as it is now.")


@strawberry.type(
    description="Who is present: has sessionEvents open. Always the first event, and sent whenever "
    "it changes. A person with several devices counts once."
)
class PresenceChanged(SessionEvent):
    present: list[User] = strawberry.field(
        description="Everyone who is present now, oneself included."
    )


@strawberry.type(
    description="Somebody else began or ended writing. It ends with their message, with their "
    "leaving, and by itself 6 seconds after the last setTyping."
)
class TypingChanged(SessionEvent):
    user: User = strawberry.field(description="Who; never oneself.")
    typing: bool = strawberry.field(description="Whether they are writing now.")


@strawberry.type(description="Somebody, perhaps oneself on another device, has read further.")
class ReadChanged(SessionEvent):
    user: User = strawberry.field(description="Who.")
    message: ChatMessage = strawberry.field(description="The last message that they have read.")
    read_at: datetime = strawberry.field(description="When they read it.")


@strawberry.type(
    description="The viewer may not follow the session any longer. Always the last event; the "
    "stream completes after it."
)
class AccessEnded(SessionEvent):
    reason: AccessEndReason = strawberry.field(description="Why.")


SESSION_EVENTS = [
    MessageAdded,
    MessageChanged,
    ParticipantsChanged,
    SessionChanged,
    PresenceChanged,
    TypingChanged,
    ReadChanged,
    AccessEnded,
]

SetTypingResult: TypeAlias = Annotated[
    Acknowledged | NotFound,
    strawberry.union("SetTypingResult", description="The outcome of telling that one writes."),
]
MarkReadResult: TypeAlias = Annotated[
    Participant | NotFound,
    strawberry.union("MarkReadResult", description="The outcome of noting what was read."),
]


@strawberry.type
class SessionEventsMutation:
    @strawberry.mutation(
        description="Tell the others in a session that the viewer is writing. It ends by itself "
        "after 6 seconds: send it again every few seconds. For owners and writers; needs a login."
    )
    @answers_problems
    async def set_typing(
        self,
        info: Info,
        session_id: Annotated[strawberry.ID, strawberry.argument(description="The session's id.")],
        typing: Annotated[bool, strawberry.argument(description="False ends it at once.")],
    ) -> SetTypingResult:
        key = row_id("ChatSession", session_id)
        await session_events.set_typing(info.context.app, key, typing=typing)
        return Acknowledged(ok=True)

    @strawberry.mutation(
        description="Note that the viewer has read up to a message, for all participants to see. "
        "It never goes back: an earlier message than before changes nothing. Needs a login."
    )
    @answers_problems
    async def mark_read(
        self,
        info: Info,
        message_id: Annotated[
            strawberry.ID, strawberry.argument(description="The last message that was read.")
        ],
    ) -> MarkReadResult:
        key = row_id("ChatMessage", message_id)
        return Participant.from_row(await session_events.mark_read(info.context.app, key))


@strawberry.type
class SessionEventsSubscription:
    @strawberry.subscription(
        description="What happens in a session, for everyone who is in it. Begins with "
        "PresenceChanged: who reads the session after that, and follows, has missed nothing. Ends "
        "with AccessEnded within 5 seconds after the viewer lost the right to it. Needs a login."
    )
    async def session_events(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The session's id.")],
    ) -> AsyncGenerator[SessionEvent, None]:
        info.context.app.require_viewer()
        key = require_row_id("ChatSession", id, "id")
        async with aclosing(session_events.follow_session(info.context.app, key)) as events:
            async for told in events:
                yield _event(id, told)


def _event(session_id: strawberry.ID, told: Told) -> SessionEvent:
    match told:
        case NewMessage(message):
            return MessageAdded(session_id=session_id, message=ChatMessage.from_row(message))
        case ChangedMessage(message):
            return MessageChanged(session_id=session_id, message=ChatMessage.from_row(message))
        case NewParticipants(parts):
            participants = [Participant.from_row(part) for part in parts]
            return ParticipantsChanged(session_id=session_id, participants=participants)
        case ChangedSession(session):
            return SessionChanged(session_id=session_id, session=ChatSession.from_row(session))
        case Present(users):
            present = [User.from_row(user) for user in users]
            return PresenceChanged(session_id=session_id, present=present)
        case Typing(user, typing):
            return TypingChanged(session_id=session_id, user=User.from_row(user), typing=typing)
        case Read(user, message, at):
            return ReadChanged(
                session_id=session_id,
                user=User.from_row(user),
                message=ChatMessage.from_row(message),
                read_at=at,
            )
        case Ended(reason):
            return AccessEnded(session_id=session_id, reason=reason)
