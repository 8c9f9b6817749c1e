"""Messages between the people of a session."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import strawberry
from strawberry import UNSET

from models.chat_session import AnswerMode
from resolvers import conversation
from schema.absent import given
from schema.chat import SessionId, SessionResult
from schema.chat_types import ChatMessage, ChatSession
from schema.context import Info
from schema.errors import InvalidInput, NotFound, RateLimited, answers_problems
from schema.node import row_id


@strawberry.input(description="A message to the people of a session.")
class PostMessageInput:
    session_id: strawberry.ID = strawberry.field(description="The session.")
    content: str = strawberry.field(description="The text, 1 to 8,000 characters, kept unchanged.")
    client_key: str | None = strawberry.field(
        default=UNSET,
        description="Makes posting safe to repeat, at most 200 characters: the same key sent again "
        "gives the same message and reply, never a second one.",
    )


@strawberry.type(description="A message that is stored, with its reply if there is to be one.")
class PostMessagePayload:
    session: ChatSession = strawberry.field(description="The session that it is in.")
    message: ChatMessage = strawberry.field(description="The message.")
    reply: ChatMessage | None = strawberry.field(
        description="The assistant's reply; follow it by its id. Null if the assistant was not "
        "spoken to."
    )


PostMessageResult: TypeAlias = Annotated[
    PostMessagePayload | InvalidInput | NotFound | RateLimited,
    strawberry.union("PostMessageResult", description="The outcome of posting a message."),
]


@strawberry.type
class ConversationMutation:
    @strawberry.mutation(
        description="Write to the people of a session. The assistant answers if the word "
        "@assistant stands in the message, or if the session's `answers` is ALL; such a message "
        "waits for the end of a running reply, any other may be posted meanwhile. For owners and "
        "writers."
    )
    @answers_problems
    async def post_message(
        self,
        info: Info,
        input: Annotated[PostMessageInput, strawberry.argument(description="The message.")],
    ) -> PostMessageResult:
        sent = await conversation.post_message(
            info.context.app,
            row_id("ChatSession", input.session_id),
            input.content,
            client_key=given(input.client_key),
        )
        return PostMessagePayload(
            session=ChatSession.from_row(sent.session),
            message=ChatMessage.from_row(sent.message),
            reply=None if sent.reply is None else ChatMessage.from_row(sent.reply),
        )

    @strawberry.mutation(
        description="Decide which messages of postMessage the assistant answers; sendMessage, ask "
        "and chat are always answered. Only for the session's owners."
    )
    @answers_problems
    async def set_answer_mode(
        self,
        info: Info,
        id: SessionId,
        answers: Annotated[
            AnswerMode, strawberry.argument(description="Which messages are answered.")
        ],
    ) -> SessionResult:
        key = row_id("ChatSession", id)
        return ChatSession.from_row(
            await conversation.set_answer_mode(info.context.app, key, answers)
        )
