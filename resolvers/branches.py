"""Edits, other replies, and which branch a session shows."""

from __future__ import annotations

from uuid import UUID

from models import branches
from models.chat_message import RUNNING, ChatMessage, MessageRole
from models.chat_session import ChatSession
from models.participant import WRITERS
from resolvers.access import require_message
from resolvers.context import Context
from resolvers.errors import Forbidden, InvalidInput
from resolvers.replies.start import STILL_RUNNING, Accepted, Edit, Regeneration, lock_session
from resolvers.session_bus import SessionChanged


async def edit_message(
    context: Context, message_id: UUID | None, content: str, *, client_key: str | None
) -> Accepted:
    """Ask one's question in other words: a sibling of it, with a reply of its own.

    Raises:
        Unauthenticated, NotFound, InvalidInput
        Forbidden: it is another person's message, or the viewer may only read.
    """
    viewer = context.require_viewer()
    message, part = await require_message(context, message_id, WRITERS, role=MessageRole.USER)
    if message.author_id != viewer.id:
        raise Forbidden
    edit = Edit(message, part.session, content, client_key)
    return await context.services.replies.start(viewer.user, edit, address=context.address)


async def regenerate_reply(
    context: Context, reply_id: UUID | None, *, client_key: str | None
) -> Accepted:
    """Generate another reply to the same question; works for every reply that has ended, however.

    Raises:
        Unauthenticated, NotFound, Forbidden
        InvalidInput: the reply is still being written.
    """
    viewer = context.require_viewer()
    reply, part = await require_message(context, reply_id, WRITERS, role=MessageRole.ASSISTANT)
    if reply.status in RUNNING:
        raise InvalidInput("id", STILL_RUNNING)
    wish = Regeneration(reply, part.session, client_key)
    return await context.services.replies.start(viewer.user, wish, address=context.address)


async def select_branch(context: Context, message_id: UUID | None) -> ChatSession:
    """Show the branch that goes through a message, and below it always on to the newest.

    It is the same for everyone in the session, since the next message continues it.

    Raises:
        Unauthenticated, NotFound, Forbidden
    """
    message, part = await require_message(context, message_id, WRITERS)
    store = context.services.store
    async with store.transaction():
        await lock_session(store, message.session_id)
        current = await ChatMessage.get(id=message.id)
        if not current.active:
            await branches.show(store, current)
    context.services.sessions.publish(message.session_id, SessionChanged())
    return part.session
