"""Sessions and their messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from models import session_deletion
from models.chat_message import ChatMessage, MessageRole
from models.chat_session import ChatSession, TitleSource
from models.citation import Citation
from models.history import read_messages
from models.participant import OWNERS, READERS, WRITERS, Participant, ParticipantRole
from models.reading import Table
from models.statements import insert
from models.user import User
from resolvers.access import find_message, require_message, require_part
from resolvers.context import Context
from resolvers.errors import BadUserInput, NotFound
from resolvers.organising import tagged
from resolvers.paging import Page, PageRequest, activity_page, check_page, encode_id_cursors
from resolvers.replies.events import Event
from resolvers.replies.start import Accepted, Question, new_session, own_participation
from resolvers.session_bus import SessionChanged, SessionDeleted
from resolvers.text import check_text

MAX_TITLE = 200


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which of a person's sessions are listed; None does not restrict."""

    archived: bool | None = None
    pinned: bool | None = None
    tag: str | None = None


async def list_sessions(
    context: Context, request: PageRequest, filter: SessionFilter
) -> Page[Participant]:
    """The viewer's part in each of their sessions (with the session), newest activity first.

    Raises:
        Unauthenticated, BadUserInput
    """
    viewer = context.require_viewer()
    query = Participant.filter(user_id=viewer.id).select_related("session")
    if filter.archived is not None:
        query = query.filter(archived=filter.archived)
    if filter.pinned is not None:
        query = query.filter(pinned=filter.pinned)
    if filter.tag is not None:
        query = query.filter(id__in=await tagged(viewer.id, filter.tag))
    return await activity_page(query, request)


async def get_session(context: Context, session_id: UUID) -> ChatSession | None:
    """A session that the viewer is in; None if there is none.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    part = await Participant.find(viewer.id, session_id)
    return None if part is None else part.session


async def get_message(context: Context, message_id: UUID) -> ChatMessage | None:
    """A message in one of the viewer's sessions.

    Raises:
        Unauthenticated
    """
    return await find_message(context, message_id)


async def require_reply(
    context: Context, reply_id: UUID | None, roles: tuple[ParticipantRole, ...] = READERS
) -> ChatMessage:
    """A reply in one of the viewer's sessions.

    Raises:
        Unauthenticated, NotFound, Forbidden
    """
    message, _ = await require_message(context, reply_id, roles, role=MessageRole.ASSISTANT)
    return message


@dataclass(frozen=True, slots=True)
class History:
    """A page of messages; see `MessageRows`."""

    page: Page[ChatMessage]
    citations: Table[Citation] | None
    authors: Table[User] | None


async def list_messages(
    session: ChatSession,
    request: PageRequest,
    *,
    brief: bool = False,
    with_citations: bool = False,
    with_authors: bool = False,
) -> History:
    """The messages of the session's active branch, oldest first, and at will what belongs to them;
    `brief` ones have some of their fields only (see `read_messages`).

    Raises:
        BadUserInput
    """
    window = check_page(request)
    rows = await read_messages(
        session.id,
        after=window.after_id(),
        before=window.before_id(),
        newest_first=window.backward,
        limit=window.size + 1,
        brief=brief,
        with_citations=with_citations,
        with_authors=with_authors,
    )
    cursors = encode_id_cursors(rows.messages.raw("id"))
    return History(window.page(rows.messages, cursors), rows.citations, rows.authors)


async def create_session(context: Context, title: str | None) -> ChatSession:
    """Make an empty session.

    Raises:
        Unauthenticated, InvalidInput
    """
    viewer = context.require_viewer()
    session = new_session(
        viewer.user,
        context.services.clock.now(),
        title=None if title is None else check_title(title),
    )
    await context.services.store.write(
        [insert(session), insert(own_participation(session, viewer.user))]
    )
    return session


async def rename_session(context: Context, session_id: UUID | None, title: str) -> ChatSession:
    """Give a session another title; that is no activity, its place in the list stays.

    Raises:
        Unauthenticated, NotFound, Forbidden, InvalidInput
    """
    session = (await require_part(context, session_id, OWNERS)).session
    session.title, session.title_source = check_title(title), TitleSource.PERSON
    await session.save(update_fields=["title", "title_source"])
    context.services.sessions.publish(session.id, SessionChanged())
    return session


async def archive_session(
    context: Context, session_id: UUID | None, *, archived: bool
) -> ChatSession:
    """Put a session away, or take it out again; for the viewer alone.

    Raises:
        Unauthenticated, NotFound
    """
    part = await require_part(context, session_id)
    await Participant.filter(id=part.id).update(archived=archived)
    return part.session


async def delete_session(context: Context, session_id: UUID | None) -> UUID:
    """Delete a session with all its messages; a running reply is stopped first.

    Raises:
        Unauthenticated, NotFound, Forbidden
    """
    session = (await require_part(context, session_id, OWNERS)).session
    await context.services.replies.stop_session(session.id)
    if not await session_deletion.delete_session(context.services.store, session.id):
        raise NotFound("session")
    context.services.sessions.publish(session.id, SessionDeleted())
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
    return await context.services.replies.start(viewer.user, question, address=context.address)


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
    reply = await require_reply(context, reply_id, WRITERS)
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
