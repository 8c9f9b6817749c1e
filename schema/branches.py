"""Branches of a conversation."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import strawberry
from strawberry import UNSET

from resolvers import branches
from schema.absent import given
from schema.chat import SendMessageResult, SessionResult, payload
from schema.chat_types import ChatSession
from schema.context import Info
from schema.errors import answers_problems
from schema.node import row_id

ClientKey: TypeAlias = Annotated[
    str | None,
    strawberry.argument(
        description="Makes the call safe to repeat, as in SendMessageInput: the same key gives the "
        "same message and reply."
    ),
]


@strawberry.type
class BranchMutation:
    @strawberry.mutation(
        description="Ask one of the viewer's questions in other words. The edit becomes a sibling "
        "of the question, with a reply of its own, and the session shows that branch; the old one "
        "stays. Needs a login."
    )
    @answers_problems
    async def edit_message(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The question's id.")],
        content: Annotated[
            str, strawberry.argument(description="The new text, 1 to 8,000 characters.")
        ],
        client_key: ClientKey = UNSET,
    ) -> SendMessageResult:
        accepted = await branches.edit_message(
            info.context.app, row_id("ChatMessage", id), content, client_key=given(client_key)
        )
        return payload(accepted)

    @strawberry.mutation(
        description="Generate another reply to the same question. It becomes a sibling of the "
        "reply, and the session shows that branch; the old one stays. The reply must have ended, "
        "in whatever way. Needs a login."
    )
    @answers_problems
    async def regenerate_reply(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The reply's id.")],
        client_key: ClientKey = UNSET,
    ) -> SendMessageResult:
        accepted = await branches.regenerate_reply(
            info.context.app, row_id("ChatMessage", id), client_key=given(client_key)
        )
        return payload(accepted)

    @strawberry.mutation(
        description="Show the branch that goes through a message, and below it always on to the "
        "newest. Everyone in the session sees that branch, and the next message continues it. "
        "Needs a login."
    )
    @answers_problems
    async def select_branch(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The message's id.")],
    ) -> SessionResult:
        row = await branches.select_branch(info.context.app, row_id("ChatMessage", id))
        return ChatSession.from_row(row)
