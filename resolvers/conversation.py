"""What people write to each other in a session, and when the assistant answers it."""

from __future__ import annotations

from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import AnswerMode, ChatSession
from models.participant import OWNERS, WRITERS
from models.statements import insert
from resolvers.access import require_part
from resolvers.context import Context
from resolvers.errors import NotFound
from resolvers.replies.addressing import is_addressed
from resolvers.replies.start import (
    Question,
    Sent,
    check_request,
    find_sent,
    id_after,
    lock_session,
    touch_session,
)
from resolvers.session_bus import MessageAdded, SessionChanged


async def set_answer_mode(
    context: Context, session_id: UUID | None, answers: AnswerMode
) -> ChatSession:
    """Decide which posted messages of a session the assistant answers.

    Raises:
        Unauthenticated, NotFound, Forbidden
    """
    session = (await require_part(context, session_id, OWNERS)).session
    session.answers = answers
    await session.save(update_fields=["answers"])
    context.services.sessions.publish(session.id, SessionChanged())
    return session


async def post_message(
    context: Context, session_id: UUID | None, content: str, *, client_key: str | None = None
) -> Sent:
    """Write to the people of a session. The assistant answers if it is spoken to, or if it answers
    everything in this session.

    Without an answer the message may be written at any time, also behind a reply that runs.

    Raises:
        Unauthenticated, NotFound, Forbidden
        InvalidInput: also if an answer is wanted while a reply runs.
        RateLimited: too fast; or an answer is wanted and the server is stopping.
    """
    viewer = context.require_viewer()
    if session_id is None:
        raise NotFound("session")
    question = Question(content, session_id=session_id, client_key=client_key)
    check_request(question)
    # What was sent stays what it was, also when the session's setting has changed since.
    if (earlier := await find_sent(viewer.user, question)) is not None:
        return earlier
    part = await require_part(context, session_id, WRITERS)
    if part.session.answers is AnswerMode.ALL or is_addressed(content):
        accepted = await context.services.replies.start(
            viewer.user, question, address=context.address
        )
        return Sent(accepted.session, accepted.message, accepted.reply)
    await context.services.rates.take_message(viewer.id, context.address)
    try:
        async with context.services.sessions.in_order(session_id):
            return await _store(context, session_id, question)
    except IntegrityError:
        # The same key was written in another session at the same time.
        if (earlier := await find_sent(viewer.user, question)) is None:
            raise
        return earlier


async def _store(context: Context, session_id: UUID, question: Question) -> Sent:
    """Put the message at the end of the active branch, whatever stands there."""
    viewer = context.require_viewer()
    services = context.services
    async with services.store.transaction():
        await lock_session(services.store, session_id)
        session = (await require_part(context, session_id, WRITERS)).session
        if (earlier := await find_sent(viewer.user, question)) is not None:
            return earlier
        end = await ChatMessage.filter(session_id=session_id, active=True).order_by("-id").first()
        now = services.clock.now()
        message = ChatMessage(
            id=id_after(end),
            session_id=session_id,
            role=MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content=question.content,
            author_id=viewer.id,
            client_key=question.client_key,
            parent_id=None if end is None else end.id,
            created_at=now,
        )
        await services.store.write([*touch_session(session_id, now), insert(message)])
    session.updated_at = now
    services.sessions.publish(session_id, MessageAdded(message.id, message.author_id))
    return Sent(session, message, None)
