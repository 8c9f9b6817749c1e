"""Why a question found what it found."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from models.chat_message import ChatMessage, MessageRole
from models.user import EDITORS
from rag.errors import RagError
from rag.explain import Explanation
from rag.types import NO_FILTER, Filter, Turn
from resolvers.access import find_message
from resolvers.context import Context, Viewer
from resolvers.errors import BadUserInput, InvalidInput, Unavailable
from resolvers.knowledge import audiences
from resolvers.knowledge.search import MAX_QUERY
from resolvers.knowledge.state import NotReady
from resolvers.replies.addressing import without_address
from resolvers.replies.history import read_history
from resolvers.replies.start import read_filter
from resolvers.text import check_text


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    history: tuple[Turn, ...] = ()
    filter: Filter = NO_FILTER


async def explain_question(context: Context, question: str, filter: Filter) -> Explanation:
    """How a question of the viewer's would be answered that begins a conversation.

    Raises:
        Unauthenticated, Forbidden
        BadUserInput: the question is empty or too long.
        Unavailable: nothing can be searched.
    """
    viewer = _require_editor(context)
    try:
        check_text("question", question.strip(), maximum=MAX_QUERY)
    except InvalidInput as error:
        raise BadUserInput(error.message) from error
    visible = await audiences.visible_collections(context.services.store, [viewer.id])
    return await _explain(context, _Asked(question, filter=audiences.narrowed(filter, visible)))


async def explain_message(context: Context, message_id: UUID | None) -> Explanation | None:
    """How a question that was asked, or the one behind a reply, would be answered now: with the
    turns before it, with its filter, and with what all people of the session may see. None if there
    is no such message for the viewer.

    Raises:
        Unauthenticated, Forbidden
        Unavailable: nothing can be searched.
    """
    viewer = _require_editor(context)
    message = None if message_id is None else await find_message(context, message_id)
    if message is not None and message.role is MessageRole.ASSISTANT:
        message = await ChatMessage.get_or_none(id=message.parent_id)
    if message is None:
        return None
    before = await ChatMessage.get_or_none(id=message.parent_id)
    visible = await audiences.visible_in_session(
        context.services.store, viewer.id, message.session_id
    )
    return await _explain(
        context,
        _Asked(
            without_address(message.content),
            await read_history(before, message.author_id),
            audiences.narrowed(read_filter(message.search_filter), visible),
        ),
    )


def _require_editor(context: Context) -> Viewer:
    """Who may explain may read all documents, so what a right removed can be shown."""
    return context.require_role(*EDITORS)


async def _explain(context: Context, asked: _Asked) -> Explanation:
    try:
        pipeline = await context.services.knowledge.pipeline()
        return await pipeline.explain(asked.question, history=asked.history, filter=asked.filter)
    except (NotReady, RagError) as error:
        raise Unavailable from error
