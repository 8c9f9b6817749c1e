"""Sessions and their messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from models import session_deletion
from models.base import new_id
from models.chat_message import ChatMessage, MessageRole
from models.chat_session import ChatSession
from resolvers.context import Context
from resolvers.errors import BadUserInput, NotFound
from resolvers.paging import Page, PageRequest, activity_page, id_page
from resolvers.replies.events import Event
from resolvers.replies.start import Accepted, Question
from resolvers.text import check_text

MAX_TITLE = 200
NEW_SESSION = "New conversation"


async def list_sessions(
    context: Context, request: PageRequest, *, archived: bool | None
) -> Page[ChatSession]:
    """The viewer's sessions, newest activity first; `archived` None for both kinds.

    Raises:
        Unauthenticated, BadUserInput
    """
    viewer = context.require_viewer()
    query = ChatSession.filter(owner_id=viewer.id)
    if archived is not None:
        query = query.filter(archived=archived)
    return await activity_page(query, request)


async def get_session(context: Context, session_id: UUID) -> ChatSession | None:
    """A session of the viewer; None if there is none, or it is somebody else's.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    return await ChatSession.get_or_none(id=session_id, owner_id=viewer.id)


async def require_session(context: Context, session_id: UUID | None) -> ChatSession:
    """Like `get_session`.

    Raises:
        Unauthenticated, NotFound
    """
    context.require_viewer()
    session = None if session_id is None else await get_session(context, session_id)
    if session is None:
        raise NotFound("session")
    return session


async def get_message(context: Context, message_id: UUID) -> ChatMessage | None:
    """A message in one of the viewer's sessions.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    return await ChatMessage.get_or_none(id=message_id, session__owner_id=viewer.id)


async def require_reply(context: Context, reply_id: UUID | None) -> ChatMessage:
    """A reply in one of the viewer's sessions.

    Raises:
        Unauthenticated, NotFound
    """
    context.require_viewer()
    message = None if reply_id is None else await get_message(context, reply_id)
    if message is None or message.role is not MessageRole.ASSISTANT:
        raise NotFound("reply")
    return message


async def list_messages(session: ChatSession, request: PageRequest) -> Page[ChatMessage]:
    """The messages of the session's active branch, oldest first.

    Raises:
        BadUserInput
    """
    query = ChatMessage.filter(session_id=session.id, active=True)
    return await id_page(query, request, newest_first=False)


async def create_session(context: Context, title: str | None) -> ChatSession:
    """Make an empty session.

    Raises:
        Unauthenticated, InvalidInput
    """
    viewer = context.require_viewer()
    now = context.services.clock.now()
    return await ChatSession.create(
        id=new_id(),
        owner_id=viewer.id,
        title=NEW_SESSION if title is None else check_title(title),
        created_at=now,
        updated_at=now,
    )


async def rename_session(context: Context, session_id: UUID | None, title: str) -> ChatSession:
    """Give a session another title; that is no activity, its place in the list stays.

    Raises:
        Unauthenticated, NotFound, InvalidInput
    """
    session = await require_session(context, session_id)
    session.title = check_title(title)
    if not await ChatSession.filter(id=session.id).update(title=session.title):
        raise NotFound("session")
    return session


async def archive_session(
    context: Context, session_id: UUID | None, *, archived: bool
) -> ChatSession:
    """Put a session away, or take it out again.

    Raises:
        Unauthenticated, NotFound
    """
    session = await require_session(context, session_id)
    session.archived = archived
    if not await ChatSession.filter(id=session.id).update(archived=archived):
        raise NotFound("session")
    return session


async def delete_session(context: Context, session_id: UUID | None) -> UUID:
    """Delete a session with all its messages; a running reply is stopped first.

    Raises:
        Unauthenticated, NotFound
    """
    session = await require_session(context, session_id)
    await context.services.replies.stop_session(session.id)
    if not await session_deletion.delete_session(context.services.store, session.id):
        raise NotFound("session")
    return session.id


def check_title(title: str) -> str:
    """A title in one line.

    Raises:
        InvalidInput
    """
    title = " ".join(title.split())
    check_text("title", title, maximum=MAX_TITLE)
    return title


async def send_message(context: Context, question: Question) -> Accepted:
    """Store a question and begin its reply.

    Raises:
        Unauthenticated, InvalidInput, NotFound
    """
    viewer = context.require_viewer()
    return await context.services.replies.start(viewer.user, question)


async def ask(context: Context, question: Question) -> Accepted:
    """Like `send_message`, and return when the reply has ended.

    Raises:
        Unauthenticated, InvalidInput
        NotFound: the session, or it was deleted meanwhile.
    """
    accepted = await send_message(context, question)
    await context.services.replies.wait(accepted.reply.id)
    reply = await ChatMessage.get_or_none(id=accepted.reply.id)
    session = await ChatSession.get_or_none(id=accepted.session.id)
    if reply is None or session is None:
        raise NotFound("session")
    return Accepted(session, accepted.message, reply, fresh=accepted.fresh)


async def stop_reply(context: Context, reply_id: UUID | None) -> ChatMessage:
    """End a running reply; what was generated stays. An ended one is returned as it is.

    Raises:
        Unauthenticated, NotFound
    """
    reply = await require_reply(context, reply_id)
    await context.services.replies.stop(reply.id)
    return await require_reply(context, reply.id)


async def follow_reply(context: Context, reply_id: UUID, after: int) -> AsyncGenerator[Event, None]:
    """The events of a reply after seq `after`.

    Raises:
        Unauthenticated
        BadUserInput: `after` is negative.
        NotFound
    """
    if after < 0:
        raise BadUserInput("after must not be negative; 0 gives all events.")
    reply = await require_reply(context, reply_id)
    return context.services.replies.follow(reply.id, after)
