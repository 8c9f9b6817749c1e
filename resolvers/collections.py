"""Collections of documents: who sees them, and which documents stand in them.

Who looks after the documents (EDITOR, ADMIN) sees and changes all of them. A change of an audience
needs no more than its rows: rights are asked for at every question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.collection import GENERAL_ID, Audience, Collection, CollectionMember, UserGroup
from models.document import Document
from models.security_event import EventKind
from models.store import Store
from models.user import EDITORS, Role, User
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.email_address import normalise
from resolvers.errors import InvalidInput, NotFound
from resolvers.knowledge.audiences import readable_collections
from resolvers.paging import Page, PageRequest, id_page
from resolvers.text import check_text
from texts import fill

MAX_NAME: Final = 80
# People, and groups, that one collection names. More people go into a group.
MAX_NAMED: Final = 100
MAX_MOVED: Final = 100


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """What is to become of a collection; None stays as it is. Group ids that name nothing are None
    in the list."""

    name: str | None = None
    audience: Audience | None = None
    roles: Sequence[Role] | None = None
    emails: Sequence[str] | None = None
    group_ids: Sequence[UUID | None] | None = None


async def list_collections(context: Context, request: PageRequest) -> Page[Collection]:
    """The collections whose documents the viewer may read, oldest first.

    Raises:
        Unauthenticated, BadUserInput
    """
    viewer = context.require_viewer()
    readable = await readable_collections(context.services.store, viewer.id)
    return await id_page(Collection.filter(id__in=readable), request, newest_first=False)


async def get_collection(context: Context, collection_id: UUID) -> Collection | None:
    """A collection whose documents the viewer may read.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    if collection_id not in await readable_collections(context.services.store, viewer.id):
        return None
    return await Collection.get_or_none(id=collection_id)


async def resolve_collection(context: Context, collection_id: UUID | None) -> Collection:
    """The collection that a document is put into: the general one, if None is named.

    Raises:
        Unauthenticated, Forbidden, NotFound
    """
    context.require_role(*EDITORS)
    found = await Collection.get_or_none(id=GENERAL_ID if collection_id is None else collection_id)
    if found is None:
        raise NotFound("collection")
    return found


async def create_collection(context: Context, change: CollectionChange) -> Collection:
    """Make a collection; `name` and `audience` must be given.

    Raises:
        Unauthenticated, Forbidden
        InvalidInput: the name is taken, or the audience does not fit who is named.
        NotFound: a group.
    """
    context.require_role(*EDITORS)
    return await _store(context, Collection(roles=[]), change)


async def update_collection(
    context: Context, collection_id: UUID | None, change: CollectionChange
) -> Collection:
    """Rename a collection, or change its audience, which counts from the next question on.

    Raises:
        Unauthenticated, Forbidden
        InvalidInput: as in `create_collection`.
        NotFound: the collection, or a group.
    """
    context.require_role(*EDITORS)
    store = context.services.store
    async with store.transaction():
        collection = await _lock(store, collection_id)
        return await _store(context, collection, change)


async def delete_collection(context: Context, collection_id: UUID | None) -> UUID:
    """Delete an empty collection.

    What is left of documents that were deleted in it is seen by nobody from then on.

    Raises:
        Unauthenticated, Forbidden, NotFound
        InvalidInput: there are documents in it, or it is the general one.
    """
    context.require_role(*EDITORS)
    store = context.services.store
    async with store.transaction():
        collection = await _lock(store, collection_id)
        if collection.id == GENERAL_ID:
            raise InvalidInput("id", "The general collection is always there; rename it instead.")
        count = await Document.filter(collection_id=collection.id, deleted_at__isnull=True).count()
        if count:
            raise InvalidInput(
                "id",
                fill(
                    "There are {count} documents in this collection. Move or delete them first.",
                    count=count,
                ),
            )
        await collection.delete()
        await note(context, EventKind.COLLECTION_DELETED, about=("Collection", collection.id))
    context.services.knowledge.documents.forget()
    return collection.id


async def move_documents(
    context: Context, document_ids: Sequence[UUID | None], collection_id: UUID | None
) -> tuple[Collection, list[Document]]:
    """Put documents into a collection, all or none; from then on its audience sees them.

    Raises:
        Unauthenticated, Forbidden
        NotFound: a document, or the collection.
        InvalidInput: none or too many are named.
    """
    context.require_role(*EDITORS)
    collection = None
    if collection_id is not None:
        collection = await Collection.get_or_none(id=collection_id)
    if collection is None:
        raise NotFound("collection")
    if not 1 <= len(document_ids) <= MAX_MOVED:
        raise InvalidInput("documentIds", fill("Name 1 to {maximum} documents.", maximum=MAX_MOVED))
    wanted = dict.fromkeys(one for one in document_ids if one is not None)
    found = {
        row.id: row for row in await Document.filter(id__in=list(wanted), deleted_at__isnull=True)
    }
    if None in document_ids or len(found) != len(wanted):
        raise NotFound("document")
    away = [key for key, row in found.items() if row.collection_id != collection.id]
    if away:
        try:
            await context.services.knowledge.move(
                away, collection.id, within=partial(_note_moves, context, away)
            )
        except IntegrityError as error:
            raise NotFound("collection") from error  # it was deleted meanwhile
        found |= {row.id: row for row in await Document.filter(id__in=away)}
    return collection, [found[key] for key in wanted]


async def _note_moves(context: Context, document_ids: Sequence[UUID]) -> None:
    for document_id in document_ids:
        await note(context, EventKind.DOCUMENT_MOVED, about=("Document", document_id))


async def _lock(store: Store, collection_id: UUID | None) -> Collection:
    """The collection, which nobody else changes or fills until the transaction ends."""
    if collection_id is not None:
        query = Collection.filter(id=collection_id)
        # SQLite has one writer at a time; PostgreSQL needs the row's lock.
        found = await (query if store.is_sqlite else query.select_for_update()).first()
        if found is not None:
            return found
    raise NotFound("collection")


async def _store(context: Context, collection: Collection, change: CollectionChange) -> Collection:
    """Check and write a change; a collection that is not stored yet is made."""
    services = context.services
    if change.name is not None:
        collection.name = check_name(change.name)
    if change.audience is not None:
        collection.audience = change.audience
    _check_audience(collection, change)
    if collection.audience is not Audience.ROLES:
        collection.roles = []
    elif change.roles is not None:
        collection.roles = sorted({role.value for role in change.roles})
    people = (
        None if change.emails is None else await find_people(services, "userEmails", change.emails)
    )
    groups = None if change.group_ids is None else await _groups(change.group_ids)
    try:
        async with services.store.transaction():
            await collection.save()
            await _name(collection, people, groups)
            await note(
                context,
                EventKind.COLLECTION_CHANGED,
                about=("Collection", collection.id),
                detail=" ".join([collection.audience.value, *collection.roles]),
            )
    except IntegrityError as error:
        raise InvalidInput("name", "There is a collection with this name already.") from error
    return collection


def _check_audience(collection: Collection, change: CollectionChange) -> None:
    """Refuse what would open a collection to others than was meant."""
    audience = collection.audience
    if change.roles and audience is not Audience.ROLES:
        raise InvalidInput("roles", "Roles count only with the audience ROLES; choose that, too.")
    for field, named in (("userEmails", change.emails), ("groupIds", change.group_ids)):
        if named and audience is not Audience.NAMED:
            raise InvalidInput(
                field, "People and groups count only with the audience NAMED; choose that, too."
            )
        if len(named or ()) > MAX_NAMED:
            raise InvalidInput(
                field,
                fill("At most {maximum} can be named; make a group of them.", maximum=MAX_NAMED),
            )
    if audience is Audience.ROLES and not (
        collection.roles if change.roles is None else change.roles
    ):
        raise InvalidInput("roles", "Name at least one role that sees the collection.")


async def _name(
    collection: Collection, people: Sequence[User] | None, groups: Sequence[UserGroup] | None
) -> None:
    """Replace whom the collection names, as far as that is given."""
    named = CollectionMember.filter(collection_id=collection.id)
    if collection.audience is not Audience.NAMED:
        await named.delete()
        return
    added: list[CollectionMember] = []
    if people is not None:
        await named.filter(user_id__isnull=False).delete()
        added += [CollectionMember(collection_id=collection.id, user_id=one.id) for one in people]
    if groups is not None:
        await named.filter(group_id__isnull=False).delete()
        added += [CollectionMember(collection_id=collection.id, group_id=one.id) for one in groups]
    await CollectionMember.bulk_create(added)


async def find_people(services: Services, field: str, emails: Sequence[str]) -> list[User]:
    """The accounts that surely belong to these addresses, each once.

    Raises:
        InvalidInput: an address is malformed, or has no (confirmed, where that is asked) account;
            names `field`.
    """
    wanted = list(dict.fromkeys(normalise(email, field=field) for email in emails))
    found = {user.email: user for user in await User.filter(email__in=wanted)}
    for email in wanted:
        user = found.get(email)
        if user is None or (services.require_verified_email and user.email_verified_at is None):
            raise InvalidInput(
                field, fill("There is no confirmed account with {email}.", email=email)
            )
    return [found[email] for email in wanted]


async def _groups(ids: Sequence[UUID | None]) -> list[UserGroup]:
    wanted = {one for one in ids if one is not None}
    found = await UserGroup.filter(id__in=wanted)
    if None in ids or len(found) != len(wanted):
        raise NotFound("group")
    return found


def check_name(name: str) -> str:
    """A name in one line.

    Raises:
        InvalidInput
    """
    name = " ".join(name.split())
    check_text("name", name, maximum=MAX_NAME)
    return name
