"""Groups of people."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import strawberry
from strawberry import UNSET

from resolvers import groups
from schema.absent import given
from schema.chat import Deleted, DeleteResult
from schema.collection_types import UserGroup
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.errors import InvalidInput, NotFound, answers_problems
from schema.node import global_id, row_id

GroupResult: TypeAlias = Annotated[
    UserGroup | InvalidInput | NotFound,
    strawberry.union("GroupResult", description="The outcome of a change of a group."),
]


@strawberry.input(description="A change of a group; what is absent stays as it is.")
class UpdateGroupInput:
    id: strawberry.ID = strawberry.field(description="The group's id.")
    name: str | None = strawberry.field(
        default=UNSET, description="Its name, 1 to 80 characters, in one line."
    )
    add_emails: list[str] | None = strawberry.field(
        default=UNSET,
        description="The addresses of people to add, at most 100, each with an account.",
    )
    remove_user_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="The ids of people to remove, at most 100."
    )


@strawberry.type
class GroupQuery:
    @strawberry.field(description="The groups of people, oldest first. For EDITOR and ADMIN.")
    async def groups(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[UserGroup]:
        page = await groups.list_groups(info.context.app, page_request(first, after, last, before))
        return connection(page, UserGroup.from_row)


@strawberry.type
class GroupMutation:
    @strawberry.mutation(description="Make a group without people. For ADMIN.")
    @answers_problems
    async def create_group(
        self,
        info: Info,
        name: Annotated[
            str, strawberry.argument(description="Its name, 1 to 80 characters, in one line.")
        ],
    ) -> GroupResult:
        return UserGroup.from_row(await groups.create_group(info.context.app, name))

    @strawberry.mutation(
        description="Rename a group, add and remove people; what they see changes with their next "
        "question. For ADMIN."
    )
    @answers_problems
    async def update_group(
        self,
        info: Info,
        input: Annotated[UpdateGroupInput, strawberry.argument(description="The change.")],
    ) -> GroupResult:
        row = await groups.update_group(
            info.context.app,
            row_id("UserGroup", input.id),
            name=given(input.name),
            add=given(input.add_emails) or (),
            remove=[row_id("User", one) for one in given(input.remove_user_ids) or ()],
        )
        return UserGroup.from_row(row)

    @strawberry.mutation(
        description="Delete a group; what its people saw through it they see no longer. For ADMIN."
    )
    @answers_problems
    async def delete_group(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The group's id.")],
    ) -> DeleteResult:
        deleted = await groups.delete_group(info.context.app, row_id("UserGroup", id))
        return Deleted(id=global_id("UserGroup", deleted))


__all__ = ["GroupMutation", "GroupQuery"]
