"""Collections: who sees which documents."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import strawberry
from strawberry import UNSET

from models.collection import Audience
from models.user import Role as RoleOfTable
from resolvers import collections
from resolvers.collections import CollectionChange
from schema.absent import given
from schema.account import Role
from schema.chat import Deleted
from schema.collection_types import Collection
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.errors import InvalidInput, NotFound, answers_problems
from schema.knowledge import Document
from schema.node import global_id, row_id

_ROLES = "With the audience ROLES, and only then: which, at least one."
_EMAILS = (
    "With the audience NAMED, and only then: the addresses of the people, at most 100, each with "
    "an account; they replace those who were named."
)
_GROUPS = (
    "With the audience NAMED, and only then: the groups' ids, at most 100; they replace those that "
    "were named."
)


@strawberry.input(description="A new collection.")
class CreateCollectionInput:
    name: str = strawberry.field(description="Its name, 1 to 80 characters, in one line.")
    audience: Audience = strawberry.field(description="Who is to see its documents.")
    roles: list[Role] | None = strawberry.field(default=UNSET, description=_ROLES)
    user_emails: list[str] | None = strawberry.field(default=UNSET, description=_EMAILS)
    group_ids: list[strawberry.ID] | None = strawberry.field(default=UNSET, description=_GROUPS)


@strawberry.input(description="A change of a collection; what is absent stays as it is.")
class UpdateCollectionInput:
    id: strawberry.ID = strawberry.field(description="The collection's id.")
    name: str | None = strawberry.field(
        default=UNSET, description="Its name, 1 to 80 characters, in one line."
    )
    audience: Audience | None = strawberry.field(
        default=UNSET,
        description="Who is to see its documents. Another audience forgets roles, people and "
        "groups of the one before.",
    )
    roles: list[Role] | None = strawberry.field(default=UNSET, description=_ROLES)
    user_emails: list[str] | None = strawberry.field(default=UNSET, description=_EMAILS)
    group_ids: list[strawberry.ID] | None = strawberry.field(default=UNSET, description=_GROUPS)


@strawberry.type(description="Documents that were put into a collection.")
class MovedDocuments:
    collection: Collection = strawberry.field(description="Where they are now.")
    documents: list[Document] = strawberry.field(description="They, as they are now.")


CollectionResult: TypeAlias = Annotated[
    Collection | InvalidInput | NotFound,
    strawberry.union("CollectionResult", description="The outcome of a change of a collection."),
]
DeleteCollectionResult: TypeAlias = Annotated[
    Deleted | InvalidInput | NotFound,
    strawberry.union(
        "DeleteCollectionResult", description="The outcome of the deletion of a collection."
    ),
]
MoveDocumentsResult: TypeAlias = Annotated[
    MovedDocuments | InvalidInput | NotFound,
    strawberry.union("MoveDocumentsResult", description="The outcome of moving documents."),
]

CollectionId: TypeAlias = Annotated[
    strawberry.ID, strawberry.argument(description="The collection's id.")
]


@strawberry.type
class CollectionQuery:
    @strawberry.field(
        description="The collections whose documents the viewer may see, oldest first. EDITOR and "
        "ADMIN see all. Needs a login."
    )
    async def collections(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Collection]:
        page = await collections.list_collections(
            info.context.app, page_request(first, after, last, before)
        )
        return connection(page, Collection.from_row)

    @strawberry.field(
        description="A collection by its id; null if it does not exist or the viewer may not see "
        "its documents. Needs a login."
    )
    async def collection(self, info: Info, id: CollectionId) -> Collection | None:
        info.context.app.require_viewer()
        key = row_id("Collection", id)
        row = None if key is None else await collections.get_collection(info.context.app, key)
        return None if row is None else Collection.from_row(row)


@strawberry.type
class CollectionMutation:
    @strawberry.mutation(description="Make a collection. For EDITOR and ADMIN.")
    @answers_problems
    async def create_collection(
        self,
        info: Info,
        input: Annotated[CreateCollectionInput, strawberry.argument(description="The collection.")],
    ) -> CollectionResult:
        return Collection.from_row(
            await collections.create_collection(info.context.app, _change(input))
        )

    @strawberry.mutation(
        description="Rename a collection or change who sees it, from the next question on. For "
        "EDITOR and ADMIN."
    )
    @answers_problems
    async def update_collection(
        self,
        info: Info,
        input: Annotated[UpdateCollectionInput, strawberry.argument(description="The change.")],
    ) -> CollectionResult:
        key = row_id("Collection", input.id)
        return Collection.from_row(
            await collections.update_collection(info.context.app, key, _change(input))
        )

    @strawberry.mutation(
        description="Delete an empty collection; the general one stays. For EDITOR and ADMIN."
    )
    @answers_problems
    async def delete_collection(self, info: Info, id: CollectionId) -> DeleteCollectionResult:
        key = row_id("Collection", id)
        deleted = await collections.delete_collection(info.context.app, key)
        return Deleted(id=global_id("Collection", deleted))

    @strawberry.mutation(
        description="Put documents into a collection, all or none; from then on its audience sees "
        "them, and nobody else. For EDITOR and ADMIN."
    )
    @answers_problems
    async def move_documents(
        self,
        info: Info,
        document_ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description="The documents' ids, 1 to 100."),
        ],
        collection_id: Annotated[
            strawberry.ID, strawberry.argument(description="Where they are put.")
        ],
    ) -> MoveDocumentsResult:
        collection, documents = await collections.move_documents(
            info.context.app,
            [row_id("Document", one) for one in document_ids],
            row_id("Collection", collection_id),
        )
        return MovedDocuments(
            collection=Collection.from_row(collection),
            documents=[Document.from_row(row) for row in documents],
        )


def _change(value: CreateCollectionInput | UpdateCollectionInput) -> CollectionChange:
    roles, groups = given(value.roles), given(value.group_ids)
    return CollectionChange(
        name=given(value.name),
        audience=given(value.audience),
        roles=None if roles is None else [RoleOfTable[role.name] for role in roles],
        emails=given(value.user_emails),
        group_ids=None if groups is None else [row_id("UserGroup", one) for one in groups],
    )


__all__ = ["CollectionMutation", "CollectionQuery"]
