"""Searching one's own history."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from resolvers.message_search import search_messages
from resolvers.paging import PageRequest
from schema.absent import given
from schema.chat_types import ChatMessageConnection
from schema.connection import After, First
from schema.context import Info


@strawberry.type
class MessageSearchQuery:
    @strawberry.field(
        name="searchMessages",
        description="Messages in all sessions that the viewer is in, of every branch. First come "
        "those in which the words stand together, then near to each other, then the others, each "
        "newest first. The text of a running reply is not found before its end. Needs a login.",
    )
    async def search_messages(
        self,
        info: Info,
        query: Annotated[
            str,
            strawberry.argument(
                description="Words that must all occur, at most 2,000 characters; the last one may "
                'be the beginning of a word. Words "in quotes" must stand together. Everything '
                "else is taken as text. Case and accents do not matter. Without a word nothing is "
                "found."
            ),
        ],
        first: First = UNSET,
        after: After = UNSET,
    ) -> ChatMessageConnection:
        page = await search_messages(
            info.context.app, query, PageRequest(first=given(first), after=given(after))
        )
        return ChatMessageConnection.from_search(page)
