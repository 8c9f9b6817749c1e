"""What a person thinks of a reply."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.chat_message import RUNNING, ChatMessage, MessageRole
from models.message_rating import MessageRating, Rating
from resolvers.access import require_message
from resolvers.context import Context
from resolvers.errors import BadUserInput, InvalidInput, NotFound
from resolvers.text import check_text

MAX_COMMENT = 2_000


async def rate_reply(
    context: Context, reply_id: UUID | None, rating: Rating | None, comment: str | None
) -> ChatMessage:
    """Replace the viewer's rating of a reply, comment and all; None takes it back.

    Whoever may read a reply may rate it.

    Raises:
        Unauthenticated, NotFound
        BadUserInput: the reply is still running, or the comment is too long.
    """
    viewer = context.require_viewer()
    reply, _ = await require_message(context, reply_id, role=MessageRole.ASSISTANT)
    if reply.status in RUNNING:
        raise BadUserInput("The reply is still being written; rate it when it has ended.")
    comment = (comment or "").strip() or None
    if comment is not None:
        try:
            check_text("comment", comment, maximum=MAX_COMMENT)
        except InvalidInput as error:
            # The result union has no member for it.
            raise BadUserInput(error.message) from None
    own = MessageRating.filter(message_id=reply.id, user_id=viewer.id)
    if rating is None:
        await own.delete()
        return reply
    changes: dict[str, Any] = {
        "rating": rating,
        "comment": comment,
        "updated_at": context.services.clock.now(),
    }
    if not await own.update(**changes):
        try:
            await MessageRating.create(message_id=reply.id, user_id=viewer.id, **changes)
        except IntegrityError:
            # The same person on another device was faster, or the reply is gone.
            if not await own.update(**changes):
                raise NotFound("reply") from None
    return reply
