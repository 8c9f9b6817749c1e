"""Sharing a session with other people."""

from __future__ import annotations

from typing import Annotated

import strawberry

from models.participant import ParticipantRole
from resolvers import sharing
from schema.chat import SessionId, SessionResult
from schema.chat_types import ChatSession
from schema.context import Info
from schema.errors import answers_problems
from schema.node import row_id


@strawberry.type
class SharingMutation:
    @strawberry.mutation(
        description="Let another person take part in a session, or change what they may do. An "
        "address without an account is invited, and takes part once it has one; with "
        "REQUIRE_VERIFIED_EMAIL, once it is confirmed. The address gets a mail the first time. At "
        "most 50 people with those who are invited. Only for its owners."
    )
    @answers_problems
    async def share_session(
        self,
        info: Info,
        id: SessionId,
        email: Annotated[
            str, strawberry.argument(description="The person's address; case does not matter.")
        ],
        role: Annotated[
            ParticipantRole, strawberry.argument(description="What the person may do.")
        ],
    ) -> SessionResult:
        key = row_id("ChatSession", id)
        return ChatSession.from_row(await sharing.share_session(info.context.app, key, email, role))

    @strawberry.mutation(
        description="Take a person out of a session; what they wrote stays. Its owners may remove "
        "anyone, everyone themselves; the last owner cannot go. Who leaves gets the session once "
        "more, as they had it. Needs a login."
    )
    @answers_problems
    async def unshare_session(
        self,
        info: Info,
        id: SessionId,
        user_id: Annotated[strawberry.ID, strawberry.argument(description="The person's id.")],
    ) -> SessionResult:
        part = await sharing.unshare_session(
            info.context.app, row_id("ChatSession", id), row_id("User", user_id)
        )
        return ChatSession.from_row(part.session, former_part=part)

    @strawberry.mutation(
        description="Take back the invitation of an address without an account. Only for the "
        "session's owners."
    )
    @answers_problems
    async def cancel_invitation(
        self,
        info: Info,
        id: SessionId,
        email: Annotated[str, strawberry.argument(description="The invited address.")],
    ) -> SessionResult:
        key = row_id("ChatSession", id)
        return ChatSession.from_row(await sharing.cancel_invitation(info.context.app, key, email))
