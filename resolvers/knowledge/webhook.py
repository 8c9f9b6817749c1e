"""What an outside system sends: documents to take in, keys to delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from models.document import Document
from models.ingestion import WebhookDelivery
from resolvers.context import Services
from resolvers.errors import InvalidInput
from resolvers.knowledge.documents import told
from resolvers.knowledge.submission import (
    MAX_KEY,
    Properties,
    Submission,
    lock_submissions,
    submit,
    text_submission,
)
from resolvers.text import check_text

# Documents and keys to delete in one call, together.
MAX_ITEMS: Final = 100
MAX_ID: Final = 200

_FIELDS: Final = frozenset({"key", "title", "content", "type", "category", "language", "source"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A call of the webhook, checked."""

    documents: Sequence[Submission]
    delete: Sequence[str]


def read_delivery(body: object) -> Delivery:
    """One document, or `{"documents": [...], "delete": [keys]}`.

    Raises:
        InvalidInput: `field` is a path such as documents[3].title.
    """
    if not isinstance(body, dict):
        raise InvalidInput("body", "The body must be a JSON object.")
    if "documents" not in body and "delete" not in body:
        return Delivery([_document("", body)], [])
    if unknown := body.keys() - {"documents", "delete"}:
        raise InvalidInput(_shown(unknown), "Beside documents and delete there is nothing to say.")
    documents = _list(body, "documents")
    delete = _list(body, "delete")
    if not 1 <= len(documents) + len(delete) <= MAX_ITEMS:
        raise InvalidInput("documents", f"A call holds 1 to {MAX_ITEMS} documents and keys.")
    keys = [_key(f"delete[{number}]", key) for number, key in enumerate(delete)]
    read = [_document(f"documents[{number}].", one) for number, one in enumerate(documents)]
    named = [*keys, *(one.properties.key for one in read if one.properties.key is not None)]
    if len(set(named)) != len(named):
        raise InvalidInput("documents", "A key occurs twice; each may occur once in a call.")
    return Delivery(read, keys)


async def take_delivery(services: Services, delivery_id: str, delivery: Delivery) -> dict[str, Any]:
    """Store a call's documents and delete what it names; the same id again changes nothing.

    Gives `{"documents": [{"key", "id"}], "deleted": [keys]}` with the ids of rows, the same for the
    same id.
    """
    known = await WebhookDelivery.get_or_none(id=delivery_id)
    if known is not None:
        return known.answer
    # Before the call is noted: after a crash between the two it is sent again, and this done again.
    deleted = []
    for key in delivery.delete:
        document = await Document.get_or_none(key=key, deleted_at__isnull=True)
        if document is not None and await services.knowledge.remove(document):
            deleted.append(key)
    async with services.store.transaction():
        await services.store.lock_name(f"webhook:{delivery_id}")
        known = await WebhookDelivery.get_or_none(id=delivery_id)
        if known is not None:
            return known.answer
        await lock_submissions(services.store, delivery.documents)
        documents = [await submit(services.clock, one) for one in delivery.documents]
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


def _document(path: str, value: object) -> Submission:
    if not isinstance(value, dict):
        raise InvalidInput(path.rstrip(".") or "body", "A document must be a JSON object.")
    if unknown := value.keys() - _FIELDS:
        raise InvalidInput(
            path + _shown(unknown), f"A document has the fields {', '.join(sorted(_FIELDS))}."
        )
    for field, text in value.items():
        if text is not None and not isinstance(text, str):
            raise InvalidInput(path + field, f"{field} must be a text.")
    for field in ("key", "title", "content"):
        if value.get(field) is None:
            raise InvalidInput(path + field, f"{field} is missing.")
    properties = {field: value.get(field) for field in _FIELDS - {"content"}}
    try:
        return text_submission(Properties(**properties), value["content"])
    except InvalidInput as error:
        raise InvalidInput(path + error.field, error.message) from None


def _list(body: dict[str, Any], field: str) -> list[Any]:
    value = body.get(field, [])
    if not isinstance(value, list):
        raise InvalidInput(field, f"{field} must be a list.")
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
