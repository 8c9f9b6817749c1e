"""Who may do what in a session: the one place where that is decided."""

from __future__ import annotations

from uuid import UUID

from models.chat_message import ChatMessage, MessageRole
from models.participant import READERS, Participant, ParticipantRole
from resolvers.context import Context
from resolvers.errors import Forbidden, NotFound


async def require_part(
    context: Context, session_id: UUID | None, roles: tuple[ParticipantRole, ...] = READERS
) -> Participant:
    """The viewer's part in a session (with the session), if their role is one of `roles`.

    Raises:
        Unauthenticated
        NotFound: there is no such session for the viewer.
        Forbidden: the viewer sees it and may not do this.
    """
    viewer = context.require_viewer()
    part = None if session_id is None else await Participant.find(viewer.id, session_id)
    if part is None:
        raise NotFound("session")
    if part.role not in roles:
        raise Forbidden
    return part


async def find_message(context: Context, message_id: UUID) -> ChatMessage | None:
    """A message of a session that the viewer is in.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    return await ChatMessage.get_or_none(id=message_id, session__participants__user_id=viewer.id)


async def require_message(
    context: Context,
    message_id: UUID | None,
    roles: tuple[ParticipantRole, ...] = READERS,
    *,
    role: MessageRole | None = None,
) -> tuple[ChatMessage, Participant]:
    """A message (from this side) and the viewer's part in its session (with the session).

    Raises:
        Unauthenticated, Forbidden
        NotFound: there is no such message for the viewer.
    """
    viewer = context.require_viewer()
    message = None if message_id is None else await ChatMessage.get_or_none(id=message_id)
    part = None if message is None else await Participant.find(viewer.id, message.session_id)
    if message is None or part is None or role not in (None, message.role):
        raise NotFound("reply" if role is MessageRole.ASSISTANT else "message")
    if part.role not in roles:
        raise Forbidden
    return message, part
