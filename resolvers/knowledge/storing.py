"""Storing versions of documents: several in one transaction, each as a whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from tortoise.expressions import F

from models.chunk import Chunk
from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask
from models.knowledge_state import KnowledgeState
from models.statements import Statement, group, insert, insert_values, update
from models.store import Store
from rag.ingest import PreparedChunk
from rag.types import SourceDocument
from resolvers.clock import Clock
from resolvers.knowledge.passages import CHUNK_FIELDS, chunk_values

# What a source says itself, and what a document is known by when its next version comes.
_SAID: Final = ("title", "type", "category", "language", "content", "pages")
_KNOWN: Final = (*_SAID, "id", "version", "chunk_count", "collection_id", "deleted_at")


class Superseded(Exception):
    """The document was deleted or sent anew while a version of it was being made."""


class Lease(NamedTuple):
    """A task as a worker took it: its result counts only while the task is so."""

    task_id: UUID
    attempts: int


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """The next version of a document, with its passages.

    With a `lease` it is stored only if that is still held, and ends the task; without one it takes
    the place of whatever waits for the document. `properties` are other fields to set. `within`
    runs in the same transaction; what it raises undoes it.
    """

    document: Document
    source: SourceDocument
    prepared: Sequence[PreparedChunk] = field(repr=False)
    content_hash: str
    properties: Mapping[str, Any]
    lease: Lease | None = None
    within: Callable[[], Awaitable[None]] | None = None


@dataclass(slots=True, eq=False)
class Stored:
    """What a transaction has done, to be done to the index once it is committed.

    `chunk_ids` are the new passages' rows by document, `old_ids` those of all passages that went.
    `late` are versions that others hold at the moment: each has to be stored alone.
    """

    revision: int = 0
    versions: list[Version] = field(default_factory=list)
    chunk_ids: dict[UUID, list[int]] = field(default_factory=dict)
    old_ids: list[int] = field(default_factory=list)
    superseded: list[Version] = field(default_factory=list)
    late: list[Version] = field(default_factory=list)


async def store_versions(
    store: Store, clock: Clock, versions: Sequence[Version], *, model_key: str
) -> Stored:
    """Store versions of different documents, in a transaction of the caller's.

    One version alone waits for those who change its document. Several wait for nobody, or two who
    each hold what the other wants would wait for ever: what is held is `late`.
    """
    stored = Stored()
    for name in sorted(str(version.document.id) for version in versions):
        await store.lock_name(f"document:{name}")
    owned = await _owned(versions)
    known = await _known(versions)
    several = len(versions) > 1
    statements: list[Statement] = []
    for version in versions:
        row = known.get(version.document.id)
        is_lost = version.lease is not None and version.lease not in owned
        if is_lost or (row is None and version.document._saved_in_db):
            (stored.late if several else stored.superseded).append(version)
        elif row is not None and row["deleted_at"] is not None:
            stored.superseded.append(version)
        else:
            statements.append(_document(version, row, clock))
            stored.versions.append(version)
    if not stored.versions:
        return stored
    ids = [version.document.id for version in stored.versions]
    await IngestionTask.filter(document_id__in=ids).delete()
    for version in stored.versions:
        if version.within is not None:
            await version.within()
    indexed = [id for id in ids if id in known]
    if indexed:
        old = Chunk.filter(document_id__in=indexed)
        stored.old_ids = [id for (id,) in await old.values_list("id")]
    if stored.old_ids:
        await Chunk.filter(document_id__in=indexed).delete()
    statements += chunk_statements(
        [(version.document.id, version.prepared) for version in stored.versions], model_key
    )
    await store.write(group(statements))
    stored.chunk_ids = await read_new_ids(ids, model_key)
    stored.revision = await bump_revision()
    return stored


def chunk_statements(
    documents: Sequence[tuple[UUID, Sequence[PreparedChunk]]], model_key: str
) -> list[Statement]:
    """The rows of documents' passages, as one statement or none."""
    rows = [
        [id, *chunk_values(piece, position=position, model_key=model_key)]
        for id, prepared in documents
        for position, piece in enumerate(prepared)
    ]
    return [insert_values(Chunk, ("document_id", *CHUNK_FIELDS), rows)] if rows else []


async def read_new_ids(document_ids: Sequence[UUID], model_key: str) -> dict[UUID, list[int]]:
    """The ids of passages that this model has made, by document, in their order."""
    ids: dict[UUID, list[int]] = {id: [] for id in document_ids}
    rows = Chunk.filter(document_id__in=list(document_ids), embedding_model=model_key)
    for document_id, id in await rows.order_by("position").values_list("document_id", "id"):
        ids[document_id].append(id)
    return ids


async def bump_revision() -> int:
    """Count a change; call it last in the change's transaction."""
    state = KnowledgeState.filter(name="default")
    if not await state.update(revision=F("revision") + 1):
        await KnowledgeState.get_or_create(name="default")
        await state.update(revision=F("revision") + 1)
    return await read_revision()


async def read_revision() -> int:
    state = await KnowledgeState.get_or_none(name="default")
    return state.revision if state is not None else 0


async def _owned(versions: Sequence[Version]) -> set[Lease]:
    """The leases that are still held."""
    leases = [version.lease for version in versions if version.lease is not None]
    if not leases:
        return set()
    rows = IngestionTask.filter(id__in=[lease.task_id for lease in leases])
    rows = rows.select_for_update(skip_locked=len(versions) > 1, no_key=True)
    return {Lease(row.id, row.attempts) for row in await rows.only("id", "attempts")}


async def _known(versions: Sequence[Version]) -> dict[UUID, dict[str, Any]]:
    """The documents that are there, as they are; deleted ones too."""
    rows = Document.filter(id__in=[version.document.id for version in versions])
    rows = rows.select_for_update(skip_locked=len(versions) > 1, no_key=True)
    return {
        row.id: {name: getattr(row, name) for name in _KNOWN} for row in await rows.only(*_KNOWN)
    }


def _document(version: Version, row: dict[str, Any] | None, clock: Clock) -> Statement:
    """The document's row with its new version, which `version.document` gets, too."""
    document, source = version.document, version.source
    values: dict[str, Any] = {name: getattr(source, name) for name in _SAID}
    values["pages"] = list(source.pages) or None
    if row is not None:
        changed = any(row[name] != values[name] for name in _SAID)
        values["version"] = row["version"] + (changed and row["chunk_count"] > 0)
        document.collection_id = row["collection_id"]
    values |= {
        "content_hash": version.content_hash,
        "status": DocumentStatus.READY,
        "failure": None,
        "chunk_count": len(version.prepared),
        "updated_at": clock.now(),
        **version.properties,
    }
    document.update_from_dict(values)
    if row is not None:
        return update(Document, {"id": document.id}, values, expect=1)
    document.created_at = clock.now()
    return insert(document)
