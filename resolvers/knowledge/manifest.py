"""Keeping a source in step by its list of keys and hashes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask
from models.user import EDITORS
from resolvers.collections import resolve_collection
from resolvers.context import Context
from resolvers.errors import InvalidInput
from resolvers.knowledge.documents import note_deletion
from resolvers.knowledge.submission import MAX_KEY, MAX_SOURCE
from resolvers.text import check_text
from texts import fill

MAX_ENTRIES: Final = 10_000

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a source must send, what of it is gone, and whether that was deleted."""

    wanted: list[str]
    missing: list[str]
    deleted: int


async def sync_manifest(
    context: Context,
    source: str,
    entries: Sequence[tuple[str, str]],
    *,
    collection_id: UUID | None = None,
    delete_missing: bool = False,
) -> Manifest:
    """Compare a source's full list of (key, SHA-256) with its documents.

    Wanted are keys that are new, were changed, or have failed. Missing are the keys of the source's
    documents that are not listed; they are deleted only if that is asked for. An empty list never
    deletes: it is more likely a mistake.

    With a collection, only its documents count: those of the same source in another one are neither
    missing nor deleted, and a listed key that stands there is refused, since it could not be sent.

    Raises:
        Unauthenticated, Forbidden, InvalidInput
        NotFound: the collection.
        RateLimited: too many manifests.
    """
    viewer = context.require_role(*EDITORS)
    await context.services.rates.take_manifest(viewer.id)
    source = source.strip()
    check_text("source", source, maximum=MAX_SOURCE)
    listed = _checked(entries)
    if delete_missing and not listed:
        raise InvalidInput(
            "entries", "An empty list with deleteMissing would delete all documents of the source."
        )
    there = Document.filter(source=source, key__isnull=False, deleted_at__isnull=True)
    if collection_id is not None:
        await resolve_collection(context, collection_id)
        there = there.filter(collection_id=collection_id)
        await _refuse_moved(listed, collection_id)
    documents = [
        row
        for row in await there.only("id", "key", "content_hash", "status", "folder_path")
        if row.key is not None
    ]
    known = {
        row.key: row.content_hash for row in documents if row.status is not DocumentStatus.FAILED
    }
    wanted = [key for key, hash in listed.items() if known.get(key) != hash]
    # What another source has sent meanwhile is its own, though not indexed yet.
    others = IngestionTask.filter(document__source=source, source__isnull=False)
    taken = {id for (id,) in await others.exclude(source=source).values_list("document_id")}
    gone = [r for r in documents if r.id not in taken and not _is_listed(r.key or "", listed)]
    deleted = 0
    if delete_missing:
        deleted = await context.services.knowledge.remove_all(
            gone, collection_id=collection_id, each=partial(note_deletion, context)
        )
        await context.services.knowledge.report()
    return Manifest(wanted, sorted(row.key or "" for row in gone), deleted)


async def _refuse_moved(listed: Iterable[str], collection_id: UUID) -> None:
    """
    Raises:
        InvalidInput: a key is that of a document in another collection.
    """
    elsewhere = (
        await Document.filter(key__in=list(listed), deleted_at__isnull=True)
        .exclude(collection_id=collection_id)
        .order_by("key")
        .first()
    )
    if elsewhere is not None:
        raise InvalidInput(
            "entries",
            fill(
                'The document with the key "{key}" is in another collection. Move it with '
                "moveDocuments first, or leave it out.",
                key=elsewhere.key,
            ),
        )


def _is_listed(key: str, listed: dict[str, str]) -> bool:
    """Further documents of one file are known by its key and a number."""
    return key in listed or key.rpartition("#")[0] in listed


def _checked(entries: Sequence[tuple[str, str]]) -> dict[str, str]:
    if len(entries) > MAX_ENTRIES:
        raise InvalidInput(
            "entries", fill("A manifest has at most {maximum} entries.", maximum=MAX_ENTRIES)
        )
    listed: dict[str, str] = {}
    for key, digest in entries:
        key, digest = key.strip(), digest.strip().lower()
        check_text("entries", key, maximum=MAX_KEY)
        if key in listed:
            raise InvalidInput("entries", fill('The key "{key}" is listed twice.', key=key))
        if not _SHA256.fullmatch(digest):
            raise InvalidInput(
                "entries",
                fill('The hash of "{key}" is no SHA-256 in 64 hexadecimal digits.', key=key),
            )
        listed[key] = digest
    return listed
