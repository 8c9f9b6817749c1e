"""Adding, changing and deleting documents: for EDITOR and ADMIN."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask, TaskKind
from models.security_event import EventKind
from models.user import EDITORS
from rag.loading.limits import MEGABYTE
from resolvers.audit import note
from resolvers.collections import resolve_collection
from resolvers.context import Context, Services
from resolvers.errors import InvalidInput, NotFound
from resolvers.knowledge.base import sha256
from resolvers.knowledge.counting import IndexProgress
from resolvers.knowledge.field_mapping import Names, check_mapping
from resolvers.knowledge.submission import (
    Properties,
    Submission,
    check_content,
    check_properties,
    file_submission,
    lock_submissions,
    put_task,
    submit,
    text_submission,
)

_PAGE: Final = 1_000


async def add_document(context: Context, properties: Properties, content: str) -> Document:
    """Take a text in; it is indexed next. The same content, or the same key, is the same document.

    Raises:
        Unauthenticated, Forbidden, InvalidInput
        NotFound: the collection.
    """
    viewer = context.require_role(*EDITORS)
    await context.services.rates.take_upload(viewer.id)
    submission = text_submission(properties, content)
    await resolve_collection(context, properties.collection_id)
    (document,) = await take_in(context, [submission])
    return document


def max_file_bytes(context: Context) -> int:
    """The largest file that is taken."""
    return context.services.knowledge.parser.limits.file_mb * MEGABYTE


async def upload_document(
    context: Context,
    properties: Properties,
    name: str,
    data: bytes,
    *,
    mapping: Names | None = None,
) -> Document:
    """Take a file in; it is read and indexed next. `mapping` is for JSON Lines alone.

    Raises:
        Unauthenticated, Forbidden, InvalidInput
        NotFound: the collection.
    """
    viewer = context.require_role(*EDITORS)
    await context.services.rates.take_upload(viewer.id)
    max_mb = context.services.knowledge.parser.limits.file_mb
    submission = file_submission(
        properties, name, data, max_mb=max_mb, mapping=check_mapping(mapping, name)
    )
    await resolve_collection(context, properties.collection_id)
    (document,) = await take_in(context, [submission])
    return document


async def take_in(context: Context, submissions: Sequence[Submission]) -> list[Document]:
    """Store what was sent, all or nothing, and have it indexed."""
    services = context.services
    async with services.store.transaction():
        await lock_submissions(services.store, submissions)
        documents = [await submit(services.store, services.clock, one) for one in submissions]
        for document in documents:
            await note(context, EventKind.DOCUMENT_ADDED, about=("Document", document.id))
    await told(services)
    return documents


async def told(services: Services) -> None:
    """After the commit: those who work, and those who watch."""
    services.knowledge.documents.forget()
    services.ingestion.wake()
    await services.knowledge.report()


async def update_document(
    context: Context, document_id: UUID | None, properties: Properties, content: str | None = None
) -> Document:
    """Change what is given; the version before answers until the new one is indexed.

    Raises:
        Unauthenticated, Forbidden, NotFound, InvalidInput
    """
    viewer = context.require_role(*EDITORS)
    await context.services.rates.take_upload(viewer.id)
    properties = check_properties(properties)
    text = None if content is None else check_content(content).encode()
    services = context.services
    async with services.store.transaction():
        if document_id is not None:
            await services.store.lock_name(f"document:{document_id}")
        document = await find_document(document_id)
        task = await _next_version(document, properties, text)
        if task is None:
            return document
        values = {} if text is None else {"content_hash": sha256(text)}
        await put_task(services.clock, document, task, values=values)
        await note(context, EventKind.DOCUMENT_CHANGED, about=("Document", document.id))
    await told(services)
    return document


async def _next_version(
    document: Document, properties: Properties, text: bytes | None
) -> IngestionTask | None:
    """The task that changes what is given, on top of what waits already; None if it is all so."""
    waiting = await IngestionTask.get_or_none(document_id=document.id)
    if waiting is None and document.chunk_count == 0 and text is None:
        raise InvalidInput("content", "The document has no text that could be kept; send content.")
    task = IngestionTask(kind=TaskKind.STORED)
    if waiting is not None:
        for field in ("kind", "file_name", "mapping", "payload", "source"):
            setattr(task, field, getattr(waiting, field))
    changed = waiting is not None and waiting.next_attempt_at is None
    for field in ("title", "type", "category", "language"):
        said = getattr(properties, field)
        newest = (getattr(waiting, field) if waiting else None) or getattr(document, field)
        changed = changed or said not in (None, newest)
        setattr(task, field, said or (getattr(waiting, field) if waiting else None))
    if text is not None:
        held = waiting.payload if waiting is not None else document.content.encode()
        changed = changed or text != held
        task.kind, task.payload, task.file_name, task.mapping = TaskKind.TEXT, text, None, None
    return task if changed else None


async def delete_document(context: Context, document_id: UUID | None) -> UUID:
    """Delete a document; it is found by nothing from now on. Replies keep what they quoted.

    A file of KB_DIR stays where it is, and is indexed anew only once it changes.

    Raises:
        Unauthenticated, Forbidden, NotFound
    """
    context.require_role(*EDITORS)
    document = await find_document(document_id)
    services = context.services
    if not await services.knowledge.remove(
        document,
        keep_path=document.folder_path is not None,
        within=partial(note_deletion, context, document.id),
    ):
        raise NotFound("document")
    await services.knowledge.report()
    return document.id


async def note_deletion(context: Context, document_id: UUID) -> None:
    await note(context, EventKind.DOCUMENT_DELETED, about=("Document", document_id))


async def find_document(document_id: UUID | None) -> Document:
    """
    Raises:
        NotFound: there is none, or it was deleted.
    """
    found = (
        None
        if document_id is None
        else await Document.get_or_none(id=document_id, deleted_at__isnull=True)
    )
    if found is None:
        raise NotFound("document")
    return found


async def reindex(context: Context) -> IndexProgress:
    """Cut and embed every document again, and try again what has failed. Versions do not change,
    and each document's passages answer until its new ones are there. Files of the folder that could
    not be read are read again when the folder is looked through next.

    Raises:
        Unauthenticated, Forbidden
    """
    context.require_role(*EDITORS)
    services = context.services
    now = services.clock.now()
    failed = IngestionTask.filter(next_attempt_at__isnull=True)
    ids = [id for (id,) in await failed.values_list("document_id")]
    for start in range(0, len(ids), _PAGE):
        some = ids[start : start + _PAGE]
        async with services.store.transaction():
            await IngestionTask.filter(document_id__in=some, next_attempt_at__isnull=True).update(
                next_attempt_at=now, attempts=0
            )
            await Document.filter(id__in=some).update(status=DocumentStatus.PENDING, failure=None)
    unread = Document.filter(folder_path__isnull=False, deleted_at__isnull=True)
    await unread.filter(status=DocumentStatus.FAILED).update(folder_hash="")
    last: UUID | None = None
    while page := await _without_task(last):
        async with services.store.transaction():
            # In the transaction: a task that an editor's change has made meanwhile stays.
            busy = await IngestionTask.filter(document_id__in=page).values_list("document_id")
            free = set(page) - {id for (id,) in busy}
            await IngestionTask.bulk_create(
                [
                    IngestionTask(document_id=id, kind=TaskKind.STORED, next_attempt_at=now)
                    for id in free
                ],
                ignore_conflicts=True,
            )
            await Document.filter(id__in=free).update(status=DocumentStatus.PENDING)
        last = page[-1]
    await told(services)
    return services.knowledge.progress


async def _without_task(after: UUID | None) -> list[UUID]:
    rows = Document.filter(
        deleted_at__isnull=True, chunk_count__gt=0, status=DocumentStatus.READY
    ).order_by("id")
    if after is not None:
        rows = rows.filter(id__gt=after)
    return [id for (id,) in await rows.limit(_PAGE).values_list("id")]
