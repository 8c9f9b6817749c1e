"""Accepting a question: message and reply are stored together, or nothing is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.base import new_id
from models.chat_message import RUNNING, ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession, TitleSource
from models.participant import WRITERS, Participant, ParticipantRole
from models.statements import Statement, insert, update
from models.store import Store
from models.user import User
from rag.types import Filter, Turn
from resolvers.clock import Clock
from resolvers.errors import Forbidden, InvalidInput, NotFound
from resolvers.text import check_text, one_line

MAX_CONTENT = 8_000
MAX_CLIENT_KEY = 200
TITLE_LENGTH = 80
NEW_SESSION = "New conversation"
# Earlier messages that are read for retrieval and prompt; the token budget cuts further.
HISTORY_MESSAGES = 20
STILL_RUNNING = (
    "The reply before this is still being written. Wait for its end, or stop it with stopReply."
)


@dataclass(frozen=True, slots=True)
class Question:
    """The input of sendMessage, ask and chat. Ids are row ids."""

    content: str
    session_id: UUID | None = None
    parent_id: UUID | None = None
    client_key: str | None = None
    filter: Filter = field(default_factory=Filter)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The stored rows. `fresh` is False when the client key led to an earlier message."""

    session: ChatSession
    message: ChatMessage
    reply: ChatMessage
    fresh: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question goes: the session (None: a new one), its parent, and the turns before it."""

    session: ChatSession | None
    parent: ChatMessage | None
    history: tuple[Turn, ...]


def check_question(question: Question) -> None:
    """Check what needs no database.

    Raises:
        InvalidInput
    """
    check_text("content", question.content, maximum=MAX_CONTENT)
    if not question.content.strip():
        raise InvalidInput("content", "The message is empty.")
    if question.client_key is not None:
        check_text("clientKey", question.client_key, maximum=MAX_CLIENT_KEY)
    if question.parent_id is not None and question.session_id is None:
        raise InvalidInput("parentId", "A parent needs a sessionId: it belongs to a session.")


async def find_earlier(user: User, question: Question) -> Accepted | None:
    """What the same client key led to before.

    Raises:
        InvalidInput: the key was used for another question.
    """
    if question.client_key is None:
        return None
    message = await ChatMessage.get_or_none(
        author_id=user.id, client_key=question.client_key
    ).select_related("session")
    if message is None:
        return None
    same = (
        message.content == question.content
        and (question.session_id is None or message.session_id == question.session_id)
        and (question.parent_id is None or message.parent_id == question.parent_id)
        and message.search_filter == filter_json(question.filter)
    )
    if not same:
        raise InvalidInput(
            "clientKey", "This key was used for another message. Take a new key for a new message."
        )
    reply = await ChatMessage.filter(parent_id=message.id).order_by("id").first()
    assert reply is not None, "a question and its reply are stored together"
    return Accepted(message.session, message, reply, fresh=False)


async def find_place(user: User, question: Question) -> Place:
    """Look up session, parent and history.

    Raises:
        NotFound: the session does not exist, or the person is not in it.
        Forbidden: the person may only read it.
        InvalidInput: the parent is not a reply of this session, or is still running.
    """
    if question.session_id is None:
        return Place(None, None, ())
    part = await Participant.find(user.id, question.session_id)
    if part is None:
        raise NotFound("session")
    if part.role not in WRITERS:
        raise Forbidden
    session = part.session
    parent = await _find_parent(session, question.parent_id)
    if parent is not None and parent.status in RUNNING:
        raise InvalidInput("sessionId", STILL_RUNNING)
    return Place(session, parent, await read_history(parent))


async def _find_parent(session: ChatSession, parent_id: UUID | None) -> ChatMessage | None:
    if parent_id is None:
        return await ChatMessage.filter(session_id=session.id, active=True).order_by("-id").first()
    parent = await ChatMessage.get_or_none(id=parent_id, session_id=session.id)
    if parent is None or parent.role is not MessageRole.ASSISTANT:
        raise InvalidInput("parentId", "The parent must be a reply in the same session.")
    return parent


async def read_history(last: ChatMessage | None) -> tuple[Turn, ...]:
    """The turns that end with `last`, oldest first, at most HISTORY_MESSAGES.

    On the active branch that is one range of the index; elsewhere the parents are followed.
    """
    if last is None:
        return ()
    if last.active:
        rows = (
            await ChatMessage.filter(session_id=last.session_id, active=True, id__lte=last.id)
            .order_by("-id")
            .limit(HISTORY_MESSAGES)
        )
    else:
        rows = [last]
        while len(rows) < HISTORY_MESSAGES and rows[-1].parent_id is not None:
            rows.append(await ChatMessage.get(id=rows[-1].parent_id))
    return tuple(
        Turn("user" if row.role is MessageRole.USER else "assistant", row.content)
        for row in reversed(rows)
        if row.content
    )


def new_session(user: User, now: datetime, *, title: str | None) -> ChatSession:
    """A session's row, not yet stored."""
    return ChatSession(
        id=new_id(),
        owner_id=user.id,
        title=NEW_SESSION if title is None else title,
        title_source=TitleSource.QUESTION if title is None else TitleSource.PERSON,
        created_at=now,
        updated_at=now,
    )


def own_participation(session: ChatSession, user: User) -> Participant:
    """The part that whoever begins a session has in it; not yet stored."""
    return Participant(
        session_id=session.id,
        user_id=user.id,
        role=ParticipantRole.OWNER,
        created_at=session.created_at,
        active_at=session.updated_at,
    )


def touch_session(session_id: UUID, now: datetime) -> list[Statement]:
    """Note an activity: lists and retention go by it."""
    return [
        update(ChatSession, {"id": session_id}, {"updated_at": now}),
        update(Participant, {"session_id": session_id}, {"active_at": now}),
    ]


class PlaceTaken(Exception):
    """Somebody else wrote to the branch between reading and writing; look again."""


async def store_question(
    store: Store, clock: Clock, user: User, question: Question, place: Place
) -> Accepted:
    """Write session (if new), question and reply in one transaction.

    Raises:
        PlaceTaken: the end of the branch has moved since `find_place`, or the same client key was
            written at the same time.
        NotFound: the session has been deleted since.
    """
    now = clock.now()
    session, parent = place.session, place.parent
    message = ChatMessage(
        id=_id_after(parent),
        role=MessageRole.USER,
        status=MessageStatus.COMPLETE,
        content=question.content,
        author_id=user.id,
        client_key=question.client_key,
        search_filter=filter_json(question.filter),
        parent_id=parent.id if parent else None,
        created_at=now,
    )
    reply = ChatMessage(
        id=_id_after(message),
        role=MessageRole.ASSISTANT,
        status=MessageStatus.PENDING,
        content="",
        parent_id=message.id,
        created_at=now,
    )
    try:
        if session is None:
            session = new_session(user, now, title=one_line(question.content, TITLE_LENGTH))
            session.title_source = TitleSource.QUESTION
            message.session_id = reply.session_id = session.id
            await store.write(
                [
                    insert(session),
                    insert(own_participation(session, user)),
                    insert(message, reply),
                ]
            )
        else:
            message.session_id = reply.session_id = session.id
            async with store.transaction():
                await _take_place(store, session, parent, question)
                await store.write([*touch_session(session.id, now), insert(message, reply)])
            session.updated_at = now
    except IntegrityError as error:
        raise PlaceTaken from error
    return Accepted(session, message, reply, fresh=True)


async def _take_place(
    store: Store,
    session: ChatSession,
    parent: ChatMessage | None,
    question: Question,
) -> None:
    """Lock the session and make `parent` the end of its active branch."""
    locked = ChatSession.filter(id=session.id)
    # SQLite has one writer at a time; PostgreSQL needs the row's lock.
    if not store.is_sqlite:
        locked = locked.select_for_update()
    if await locked.first() is None:
        raise NotFound("session")
    end = await ChatMessage.filter(session_id=session.id, active=True).order_by("-id").first()
    if question.parent_id is None:
        if (end and end.id) != (parent and parent.id):
            raise PlaceTaken
        return
    assert parent is not None
    if end is None or end.id != parent.id:
        await activate_branch(parent)


async def activate_branch(end: ChatMessage) -> None:
    """Make the path from the root to `end` the session's active one. Call it in a transaction."""
    path: list[UUID] = []
    current: ChatMessage | None = end
    while current is not None and not current.active:
        path.append(current.id)
        current = (
            await ChatMessage.get(id=current.parent_id) if current.parent_id is not None else None
        )
    fork = current.id if current is not None else None
    behind = ChatMessage.filter(session_id=end.session_id, active=True)
    if fork is not None:
        behind = behind.filter(id__gt=fork)
    await behind.update(active=False)
    if path:
        await ChatMessage.filter(id__in=path).update(active=True)


def _id_after(earlier: ChatMessage | None) -> UUID:
    """A new id that sorts behind `earlier`, also when the machine's clock was set back."""
    fresh = new_id()
    if earlier is not None and fresh <= earlier.id:
        return UUID(int=earlier.id.int + 1)
    return fresh


def filter_json(value: Filter) -> dict[str, list[str]] | None:
    """The form in which a filter is stored with its message; None for no restriction."""
    if value.is_empty():
        return None
    stored = {
        "types": list(value.types),
        "categories": list(value.categories),
        "languages": list(value.languages),
    }
    if value.document_ids is not None:
        stored["document_ids"] = list(value.document_ids)
    return stored
