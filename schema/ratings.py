"""Rating replies."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import strawberry
from strawberry import UNSET

from models.message_rating import Rating
from resolvers import ratings
from schema.absent import given
from schema.chat_types import ChatMessage
from schema.context import Info
from schema.errors import NotFound, answers_problems
from schema.node import row_id

RateReplyResult: TypeAlias = Annotated[
    ChatMessage | NotFound,
    strawberry.union("RateReplyResult", description="The outcome of rating a reply."),
]


@strawberry.type
class RatingMutation:
    @strawberry.mutation(
        description="Say whether a reply helped; everyone in the session has one rating of their "
        "own, which nobody else sees. It replaces the earlier one with its comment. A reply that "
        "is still running is BAD_USER_INPUT. Needs a login."
    )
    @answers_problems
    async def rate_reply(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The reply's id.")],
        rating: Annotated[
            Rating | None, strawberry.argument(description="Null or absent takes the rating back.")
        ] = UNSET,
        comment: Annotated[
            str | None,
            strawberry.argument(description="Why, at most 2,000 characters; absent: no comment."),
        ] = UNSET,
    ) -> RateReplyResult:
        key = row_id("ChatMessage", id)
        row = await ratings.rate_reply(info.context.app, key, given(rating), given(comment))
        return ChatMessage.from_row(row)


__all__ = ["RatingMutation"]
