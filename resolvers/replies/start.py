"""Accepting a question, an edit of one, or a wish for another reply: checks, idempotency, and the
one transaction that stores it with its reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from models import branches
from models.base import new_id
from models.chat_message import RUNNING, ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession, TitleSource
from models.participant import WRITERS, Participant, ParticipantRole
from models.statements import Statement, insert, update
from models.store import Store
from models.user import User
from rag.titles import question_title
from rag.types import Filter, Turn
from resolvers.clock import Clock
from resolvers.errors import Forbidden, InvalidInput, NotFound
from resolvers.replies.history import read_history
from resolvers.text import check_text

MAX_CONTENT = 8_000
MAX_CLIENT_KEY = 200
NEW_SESSION = "New conversation"
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
class Edit:
    """Another wording of a question that the person may edit: a sibling with a reply of its own."""

    original: ChatMessage
    session: ChatSession
    content: str
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class Regeneration:
    """Another reply to the question of `reply`."""

    reply: ChatMessage
    session: ChatSession
    client_key: str | None = None


Request: TypeAlias = Question | Edit | Regeneration


@dataclass(frozen=True, slots=True)
class Accepted:
    """The stored rows. `fresh` is False when the client key led to an earlier message."""

    session: ChatSession
    message: ChatMessage
    reply: ChatMessage
    fresh: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """A stored message of a person; `reply` is None if the assistant was not asked."""

    session: ChatSession
    message: ChatMessage
    reply: ChatMessage | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a reply is to be about, and where it goes.

    `session` None is a new one. `parent` is what the first new message hangs on; with `at_end` it
    must still be the end of the active branch when the transaction comes. `message` is the question
    if that is stored already.
    """

    session: ChatSession | None
    parent: ChatMessage | None
    history: tuple[Turn, ...]
    content: str
    filter: Filter
    at_end: bool = True
    message: ChatMessage | None = None


class StillRunning(InvalidInput):
    """The reply before it has not ended."""

    def __init__(self, field: str, reply_id: UUID) -> None:
        super().__init__(field, STILL_RUNNING)
        self.reply_id = reply_id


class PlaceTaken(Exception):
    """Somebody else wrote to the branch between reading and writing; look again."""


def check_request(request: Request) -> None:
    """Check what needs no database.

    Raises:
        InvalidInput
    """
    if not isinstance(request, Regeneration):
        check_text("content", request.content, maximum=MAX_CONTENT)
        if not request.content.strip():
            raise InvalidInput("content", "The message is empty.")
    if request.client_key is not None:
        check_text("clientKey", request.client_key, maximum=MAX_CLIENT_KEY)
    if isinstance(request, Question) and request.parent_id and request.session_id is None:
        raise InvalidInput("parentId", "A parent needs a sessionId: it belongs to a session.")


async def find_earlier(user: User, request: Request) -> Accepted | None:
    """What the same client key led to before.

    Raises:
        NotFound: that is in a session that the person is no longer in.
        InvalidInput: the key was used for something else.
    """
    sent = await find_sent(user, request)
    if sent is None:
        return None
    if sent.reply is None:
        raise _key_used()
    return Accepted(sent.session, sent.message, sent.reply, fresh=False)


async def find_sent(user: User, request: Request) -> Sent | None:
    """Like `find_earlier`, also for a message without a reply."""
    if request.client_key is None:
        return None
    found = await ChatMessage.get_or_none(
        Q(author_id=user.id) | Q(requested_by_id=user.id), client_key=request.client_key
    ).select_related("session")
    if found is None:
        return None
    if not await Participant.exists(session_id=found.session_id, user_id=user.id):
        raise NotFound("session")  # the person has been taken out of it since
    if not _is_same(found, request):
        raise _key_used()
    if found.role is MessageRole.ASSISTANT:
        message = await ChatMessage.get(id=found.parent_id)
        return Sent(found.session, message, found)
    reply = (
        await ChatMessage.filter(parent_id=found.id, role=MessageRole.ASSISTANT)
        .order_by("id")
        .first()
    )
    return Sent(found.session, found, reply)


def _key_used() -> InvalidInput:
    return InvalidInput(
        "clientKey", "This key was used for another message. Take a new key for a new message."
    )


def _is_same(found: ChatMessage, request: Request) -> bool:
    match request:
        case Question():
            return (
                found.role is MessageRole.USER
                and found.content == request.content
                and request.session_id in (None, found.session_id)
                and request.parent_id in (None, found.parent_id)
                and found.search_filter == filter_json(request.filter)
            )
        case Edit():
            return (
                found.role is MessageRole.USER
                and found.content == request.content
                and (found.session_id, found.parent_id)
                == (request.original.session_id, request.original.parent_id)
            )
        case Regeneration():
            return (
                found.role is MessageRole.ASSISTANT and found.parent_id == request.reply.parent_id
            )


async def find_place(user: User, request: Request) -> Place:
    """Look up session, parent and history.

    Raises:
        NotFound: the session does not exist, or the person is not in it.
        Forbidden: the person may only read it.
        InvalidInput: the parent is neither a reply nor the last message of this session.
        StillRunning
    """
    match request:
        case Question():
            return await _place_of_question(user, request)
        case Edit(original, session):
            parent = await ChatMessage.get_or_none(id=original.parent_id)
            await _check_ended(parent, "id")
            return Place(
                session,
                parent,
                await read_history(parent, user.id),
                request.content,
                read_filter(original.search_filter),
                at_end=False,
            )
        case Regeneration(reply, session):
            message = await ChatMessage.get_or_none(id=reply.parent_id)
            if message is None:
                raise NotFound("reply")
            before = await ChatMessage.get_or_none(id=message.parent_id)
            return Place(
                session,
                message,
                await read_history(before, message.author_id),
                message.content,
                read_filter(message.search_filter),
                at_end=False,
                message=message,
            )


async def _place_of_question(user: User, question: Question) -> Place:
    if question.session_id is None:
        return Place(None, None, (), question.content, question.filter)
    part = await Participant.find(user.id, question.session_id)
    if part is None:
        raise NotFound("session")
    if part.role not in WRITERS:
        raise Forbidden
    session = part.session
    parent = await _find_parent(session, question.parent_id)
    await _check_ended(parent, "sessionId")
    return Place(
        session,
        parent,
        await read_history(parent, user.id),
        question.content,
        question.filter,
        at_end=question.parent_id is None or parent is None or parent.role is MessageRole.USER,
    )


async def _check_ended(last: ChatMessage | None, field: str) -> None:
    """Refuse a question while the reply before it runs, behind which people may have written."""
    while last is not None and last.role is MessageRole.USER:
        if last.active:
            replies = ChatMessage.filter(session_id=last.session_id, active=True, id__lt=last.id)
            last = await replies.filter(role=MessageRole.ASSISTANT).order_by("-id").first()
        else:
            last = await ChatMessage.get_or_none(id=last.parent_id)
    if last is not None and last.status in RUNNING:
        raise StillRunning(field, last.id)


async def _find_parent(session: ChatSession, parent_id: UUID | None) -> ChatMessage | None:
    if parent_id is not None:
        parent = await ChatMessage.get_or_none(id=parent_id, session_id=session.id)
        if parent is not None and parent.role is MessageRole.ASSISTANT:
            return parent
    end = await ChatMessage.filter(session_id=session.id, active=True).order_by("-id").first()
    if parent_id is not None and (end is None or end.id != parent_id):
        raise InvalidInput("parentId", "The parent must be a reply in the same session.")
    return end


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


async def store_request(
    store: Store, clock: Clock, user: User, request: Request, place: Place
) -> Accepted:
    """Write session (if new), question (if new) and reply in one transaction.

    Raises:
        PlaceTaken: the end of the branch has moved since `find_place`, or the same client key was
            written at the same time.
        NotFound: the session has been deleted since.
        StillRunning: another reply to the same question has not ended.
    """
    now = clock.now()
    session, message = place.session, place.message
    added: list[ChatMessage] = []
    if message is None:
        message = ChatMessage(
            id=id_after(place.parent),
            role=MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content=place.content,
            author_id=user.id,
            client_key=request.client_key,
            search_filter=filter_json(place.filter),
            parent_id=place.parent.id if place.parent else None,
            created_at=now,
        )
        added.append(message)
    again = isinstance(request, Regeneration)
    reply = ChatMessage(
        id=id_after(message),
        role=MessageRole.ASSISTANT,
        status=MessageStatus.PENDING,
        content="",
        requested_by_id=user.id if again else None,
        client_key=request.client_key if again else None,
        parent_id=message.id,
        created_at=now,
    )
    added.append(reply)
    try:
        if session is None:
            session = new_session(user, now, title=question_title(place.content))
            session.title_source = TitleSource.QUESTION
            message.session_id = reply.session_id = session.id
            first = [insert(session), insert(own_participation(session, user))]
            await store.write([*first, insert(*added)])
        else:
            message.session_id = reply.session_id = session.id
            async with store.transaction():
                await _take_place(store, session, place)
                await store.write([*touch_session(session.id, now), insert(*added)])
            session.updated_at = now
    except IntegrityError as error:
        raise PlaceTaken from error
    return Accepted(session, message, reply, fresh=True)


async def _take_place(store: Store, session: ChatSession, place: Place) -> None:
    """Lock the session and make `place.parent` the end of its active branch."""
    await lock_session(store, session.id)
    end = await ChatMessage.filter(session_id=session.id, active=True).order_by("-id").first()
    end_id, parent_id = end and end.id, place.parent and place.parent.id
    if place.at_end:
        if end_id != parent_id:
            raise PlaceTaken
        return
    if place.message is not None:
        running = await ChatMessage.filter(parent_id=place.message.id, status__in=RUNNING).first()
        if running is not None:
            raise StillRunning("id", running.id)
    if end_id != parent_id:
        await branches.end_at(store, session.id, place.parent)


async def lock_session(store: Store, session_id: UUID) -> None:
    """Keep others from changing the session's branches until the transaction ends.

    Raises:
        NotFound: it was deleted.
    """
    locked = ChatSession.filter(id=session_id)
    # SQLite has one writer at a time; PostgreSQL needs the row's lock.
    if not store.is_sqlite:
        locked = locked.select_for_update()
    if await locked.first() is None:
        raise NotFound("session")


def id_after(earlier: ChatMessage | None) -> UUID:
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
    if value.collections is not None:
        stored["collections"] = list(value.collections)
    return stored


def read_filter(stored: dict[str, list[str]] | None) -> Filter:
    """The filter that `filter_json` made."""
    if stored is None:
        return Filter()
    ids, collections = stored.get("document_ids"), stored.get("collections")
    return Filter(
        types=tuple(stored["types"]),
        categories=tuple(stored["categories"]),
        languages=tuple(stored["languages"]),
        document_ids=None if ids is None else tuple(ids),
        collections=None if collections is None else tuple(collections),
    )
