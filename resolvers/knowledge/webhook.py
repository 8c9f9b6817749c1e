"""What an outside system sends: documents to take in, keys to delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

from models.collection import Collection
from models.document import Document
from models.ingestion import WebhookDelivery
from models.security_event import EventKind
from resolvers.context import Services
from resolvers.errors import InvalidInput
from resolvers.event_log import Origin, write
from resolvers.knowledge.deleting import Deletion
from resolvers.knowledge.documents import told
from resolvers.knowledge.submission import (
    MAX_KEY,
    Properties,
    Submission,
    find_by_key,
    lock_submissions,
    submit,
    text_submission,
)
from resolvers.text import check_text
from texts import fill

# Documents and keys to delete in one call, together.
MAX_ITEMS: Final = 100
MAX_ID: Final = 200

_FIELDS: Final = frozenset(
    {"key", "title", "content", "type", "category", "language", "source", "collectionId"}
)

# The row that an id of the API means; None if it means none.
ReadId: TypeAlias = Callable[[str], UUID | None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A call of the webhook, checked. `paths` are those of the documents in its body; keys are
    deleted in `collection_id` alone, or wherever they are if that is None."""

    documents: Sequence[Submission]
    paths: Sequence[str]
    delete: Sequence[str]
    collection_id: UUID | None = None


def read_delivery(body: object, read_id: ReadId) -> Delivery:
    """One document, or `{"documents": [...], "delete": [keys], "collectionId": …}`. The collection
    of a list is that of its documents which name none.

    Raises:
        InvalidInput: `field` is a path such as documents[3].title.
    """
    if not isinstance(body, dict):
        raise InvalidInput("body", "The body must be a JSON object.")
    if "documents" not in body and "delete" not in body:
        return Delivery([_document("", body, read_id)], [""], [])
    if unknown := body.keys() - {"documents", "delete", "collectionId"}:
        raise InvalidInput(
            _shown(unknown), "Beside documents, delete and collectionId there is nothing to say."
        )
    collection_id = _collection_id("", body, read_id)
    documents = _list(body, "documents")
    delete = _list(body, "delete")
    if not 1 <= len(documents) + len(delete) <= MAX_ITEMS:
        raise InvalidInput(
            "documents", fill("A call holds 1 to {maximum} documents and keys.", maximum=MAX_ITEMS)
        )
    keys = [_key(f"delete[{number}]", key) for number, key in enumerate(delete)]
    paths = [f"documents[{number}]." for number in range(len(documents))]
    read = [
        _document(path, one, read_id, otherwise=collection_id)
        for path, one in zip(paths, documents, strict=True)
    ]
    named = [*keys, *(one.properties.key for one in read if one.properties.key is not None)]
    if len(set(named)) != len(named):
        raise InvalidInput("documents", "A key occurs twice; each may occur once in a call.")
    return Delivery(read, paths, keys, collection_id)


async def take_delivery(
    services: Services, delivery_id: str, delivery: Delivery, origin: Origin
) -> dict[str, Any]:
    """Store a call's documents and delete what it names, all or nothing; the same id again changes
    nothing.

    Gives `{"documents": [{"key", "id"}], "deleted": [keys]}` with the ids of rows, the same for the
    same id.

    Raises:
        InvalidInput: a collection does not exist, or a document is in another one.
    """
    known = await WebhookDelivery.get_or_none(id=delivery_id)
    if known is not None:
        return known.answer
    await _check_collections(delivery)
    async with services.knowledge.deleting() as deletion:
        await services.store.lock_name(f"webhook:{delivery_id}")
        known = await WebhookDelivery.get_or_none(id=delivery_id)
        if known is not None:
            return known.answer
        await lock_submissions(services.store, delivery.documents)
        deleted = await _delete(deletion, delivery)
        for document_id in deletion.ids:
            await _note(services, EventKind.DOCUMENT_DELETED, document_id, origin)
        documents = [
            await _submit(services, path, one)
            for path, one in zip(delivery.paths, delivery.documents, strict=True)
        ]
        for document in documents:
            await _note(services, EventKind.DOCUMENT_ADDED, document.id, origin)
        answer = {
            "documents": [
                {"key": one.properties.key, "id": str(document.id)}
                for one, document in zip(delivery.documents, documents, strict=True)
            ],
            "deleted": deleted,
        }
        await WebhookDelivery.create(
            id=delivery_id, received_at=services.clock.now(), answer=answer
        )
    await told(services)
    return answer


async def _note(services: Services, kind: EventKind, document_id: UUID, origin: Origin) -> None:
    """No person has done it: whoever has the secret."""
    about = ("Document", document_id)
    await write(services.clock.now(), kind, origin, about=about, detail="WEBHOOK")


async def _delete(deletion: Deletion, delivery: Delivery) -> list[str]:
    """The keys of those that were there."""
    found = await Document.filter(key__in=list(delivery.delete), deleted_at__isnull=True)
    keys = {row.key: row.id for row in found}
    there = await deletion.of(found, collection_id=delivery.collection_id)
    return [key for key in delivery.delete if keys.get(key) in there]


async def _check_collections(delivery: Delivery) -> None:
    """Find out what can be refused before anybody has to wait for it.

    Raises:
        InvalidInput
    """
    named = {one.properties.collection_id for one in delivery.documents} | {delivery.collection_id}
    ids = [key for key in named if key is not None]
    known = {row.id for row in await Collection.filter(id__in=ids)} if ids else set()
    if delivery.collection_id is not None and delivery.collection_id not in known:
        raise InvalidInput("collectionId", "There is no such collection.")
    for path, one in zip(delivery.paths, delivery.documents, strict=True):
        collection_id = one.properties.collection_id
        if collection_id is None:
            continue
        if collection_id not in known:
            raise InvalidInput(f"{path}collectionId", "There is no such collection.")
        with _below(path):
            await find_by_key(one.properties)


async def _submit(services: Services, path: str, submission: Submission) -> Document:
    with _below(path):
        return await submit(services.store, services.clock, submission)


@contextmanager
def _below(path: str) -> Iterator[None]:
    """Put a document's path in front of the field that is refused."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(path + error.field, error.message) from None


def _document(
    path: str, value: object, read_id: ReadId, *, otherwise: UUID | None = None
) -> Submission:
    if not isinstance(value, dict):
        raise InvalidInput(path.rstrip(".") or "body", "A document must be a JSON object.")
    if unknown := value.keys() - _FIELDS:
        raise InvalidInput(
            path + _shown(unknown),
            fill("A document has the fields {fields}.", fields=", ".join(sorted(_FIELDS))),
        )
    for field, text in value.items():
        if text is not None and not isinstance(text, str):
            raise InvalidInput(path + field, fill("{field} must be a text.", field=field))
    for field in ("key", "title", "content"):
        if value.get(field) is None:
            raise InvalidInput(path + field, fill("{field} is missing.", field=field))
    collection_id = _collection_id(path, value, read_id) or otherwise
    properties = {field: value.get(field) for field in _FIELDS - {"content", "collectionId"}}
    with _below(path):
        return text_submission(
            Properties(**properties, collection_id=collection_id), value["content"]
        )


def _collection_id(path: str, body: dict[str, Any], read_id: ReadId) -> UUID | None:
    value = body.get("collectionId")
    if value is None:
        return None
    field = "collectionId"
    if not isinstance(value, str):
        raise InvalidInput(path + field, fill("{field} must be a text.", field=field))
    found = read_id(value)
    if found is None:
        raise InvalidInput(path + field, "There is no such collection.")
    return found


def _list(body: dict[str, Any], field: str) -> list[Any]:
    value = body.get(field, [])
    if not isinstance(value, list):
        raise InvalidInput(field, fill("{field} must be a list.", field=field))
    return value


def _key(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(path, "A key must be a text.")
    key = value.strip()
    check_text(path, key, maximum=MAX_KEY)
    return key


def _shown(names: set[str]) -> str:
    """A name that somebody sent, short enough to be repeated."""
    return min(names)[:60]
