"""Pins and tags."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers import organising
from schema.chat import SessionId, SessionResult
from schema.chat_types import ChatSession
from schema.context import Info
from schema.errors import answers_problems
from schema.node import row_id


@strawberry.type(description="One of the viewer's own tags.")
class SessionTag:
    name: str = strawberry.field(description="The tag, as it was first spelt.")
    count: int = strawberry.field(
        description="How many of the viewer's sessions have it, archived ones too."
    )


@strawberry.type
class OrganisingQuery:
    @strawberry.field(
        description="The tags of the viewer's sessions, in alphabetical order. Needs a login."
    )
    async def session_tags(self, info: Info) -> list[SessionTag]:
        found = await organising.list_tags(info.context.app)
        return [SessionTag(name=tag.name, count=tag.count) for tag in found]


@strawberry.type
class OrganisingMutation:
    @strawberry.mutation(
        description="Pin a session, or let it go, for the viewer alone. Needs a login."
    )
    @answers_problems
    async def pin_session(
        self,
        info: Info,
        id: SessionId,
        pinned: Annotated[bool | None, strawberry.argument(description="False lets it go.")] = True,
    ) -> SessionResult:
        key = row_id("ChatSession", id)
        return ChatSession.from_row(
            await organising.pin_session(info.context.app, key, pinned=pinned is not False)
        )

    @strawberry.mutation(
        description="Replace the viewer's own tags of a session; nobody else sees them. "
        "Needs a login."
    )
    @answers_problems
    async def tag_session(
        self,
        info: Info,
        id: SessionId,
        tags: Annotated[
            list[str],
            strawberry.argument(
                description="At most 20 of 1 to 40 characters; white space is collapsed. Case does "
                "not distinguish them; a tag that another session has is spelt as there."
            ),
        ],
    ) -> SessionResult:
        key = row_id("ChatSession", id)
        return ChatSession.from_row(await organising.tag_session(info.context.app, key, tags))


__all__ = ["OrganisingMutation", "OrganisingQuery"]
