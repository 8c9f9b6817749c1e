"""Collections of documents and groups of people as GraphQL types."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry import UNSET

from models.collection import Audience
from models.collection import Collection as CollectionRow
from models.collection import UserGroup as GroupRow
from models.user import EDITORS
from resolvers import groups
from schema.account import Role, User
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.enums import describe_enum
from schema.node import Node, global_id

describe_enum(
    Audience,
    "Who sees the documents of a collection: in lists, in searches and in answers.",
    {
        "PUBLIC": "Everyone with an account.",
        "ROLES": "People with one of the collection's roles.",
        "NAMED": "The people, and the people of the groups, that the collection names.",
    },
)


@strawberry.type(description="People whom collections name together. EDITOR and ADMIN see it.")
class UserGroup(Node):
    row: strawberry.Private[GroupRow]
    name: str = strawberry.field(description="Its name, at most 80 characters; no two share one.")
    created_at: datetime = strawberry.field(description="When it was made.")

    @strawberry.field(description="The people in it, in the order of their adding.")
    async def members(
        self,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[User]:
        page = await groups.list_members(self.row, page_request(first, after, last, before))
        return connection(page, lambda member: User.from_row(member.user))

    @classmethod
    def from_row(cls, row: GroupRow) -> UserGroup:
        return cls(
            row=row, id=global_id("UserGroup", row.id), name=row.name, created_at=row.created_at
        )


@strawberry.type(
    description="Documents that the same people may see. A document is in exactly one collection."
)
class Collection(Node):
    row: strawberry.Private[CollectionRow]
    name: str = strawberry.field(description="Its name, at most 80 characters; no two share one.")
    audience: Audience = strawberry.field(description="Who sees its documents.")
    created_at: datetime = strawberry.field(description="When it was made.")

    @strawberry.field(
        description="With the audience ROLES: which. Only EDITOR and ADMIN see them, for others "
        "the list is empty."
    )
    async def roles(self, info: Info) -> list[Role]:
        return [Role(name) for name in self.row.roles] if _is_keeper(info) else []

    @strawberry.field(
        description="With the audience NAMED: the people, at most 100. Only EDITOR and ADMIN see "
        "them, for others the list is empty."
    )
    async def users(self, info: Info) -> list[User]:
        if not _is_keeper(info):
            return []
        found = await info.context.loaders.collection_members.load(self.row.id)
        return [User.from_row(member.user) for member in found if member.user is not None]

    @strawberry.field(
        description="With the audience NAMED: the groups, at most 100. Only EDITOR and ADMIN see "
        "them, for others the list is empty."
    )
    async def groups(self, info: Info) -> list[UserGroup]:
        if not _is_keeper(info):
            return []
        found = await info.context.loaders.collection_members.load(self.row.id)
        return [UserGroup.from_row(member.group) for member in found if member.group is not None]

    @strawberry.field(description="How many documents are in it.")
    async def document_count(self, info: Info) -> int:
        return await info.context.loaders.document_counts.load(self.row.id)

    @classmethod
    def from_row(cls, row: CollectionRow) -> Collection:
        return cls(
            row=row,
            id=global_id("Collection", row.id),
            name=row.name,
            audience=row.audience,
            created_at=row.created_at,
        )


def _is_keeper(info: Info) -> bool:
    return info.context.app.require_viewer().user.role in EDITORS
