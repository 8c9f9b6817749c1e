"""Taking in documents: checks, the same content again, and the queue's tasks.

What is answered is in the database: the document, and what its next version is made of. Everything
here runs in transactions of the caller's, under the names that are locked: first the key, then the
content. So of twenty who send the same at once one makes the document, and the others get it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import UUID

from models.collection import GENERAL_ID
from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask, TaskKind
from models.statements import insert
from models.store import Store
from rag.loading import SUFFIXES
from rag.loading.limits import MEGABYTE
from rag.types import SourceDocument
from resolvers.clock import Clock
from resolvers.errors import InvalidInput
from resolvers.knowledge.records import content_name, record_names
from resolvers.text import check_text
from texts import fill

MAX_TITLE: Final = 300
MAX_CONTENT: Final = 2_000_000
MAX_LABEL: Final = 60
MAX_SOURCE: Final = 1_000
MAX_KEY: Final = 200
MAX_STEM: Final = 170  # leaves room for a content's name, with a number
DEFAULT_TYPE: Final = "document"
DEFAULT_CATEGORY: Final = "general"

_LANGUAGE = re.compile(r"[a-z]{2}")
_WORD = re.compile(r"[^\W_]")
# What stands behind the key of a file's first document in those of the others: their own key, their
# content, or, in earlier versions of this product, their number.
_RECORD = re.compile(r"=.+|[0-9a-f]{16}(-[0-9]+)?|[1-9][0-9]{0,8}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Properties:
    """What a person says about a document; None is left open."""

    title: str | None = None
    type: str | None = None
    category: str | None = None
    language: str | None = None
    source: str | None = None
    key: str | None = None
    collection_id: UUID | None = None  # the general one


@dataclass(frozen=True, slots=True)
class Submission:
    """A document that was sent, checked. A text has no `file_name` and is valid UTF-8.

    `sent` is what `payload` was before its lines were made to end in line feeds, if that counts:
    who sends a document with a key knows it by the hash of what they sent.
    """

    properties: Properties
    payload: bytes
    file_name: str | None = None
    mapping: dict[str, Any] | None = None
    sent: bytes | None = None

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(self.payload if self.sent is None else self.sent).hexdigest()


def check_properties(properties: Properties) -> Properties:
    """The properties without surrounding blanks, the title in one line, the language in lower case.

    Raises:
        InvalidInput
    """
    checked: dict[str, Any] = {}
    for field, maximum in (
        ("title", MAX_TITLE),
        ("type", MAX_LABEL),
        ("category", MAX_LABEL),
        ("source", MAX_SOURCE),
        ("key", MAX_KEY),
    ):
        text: str | None = getattr(properties, field)
        if text is not None:
            text = " ".join(text.split()) if field == "title" else text.strip()
            check_text(field, text, maximum=maximum)
        checked[field] = text
    language = properties.language
    if language is not None:
        language = language.strip().lower()
        if not _LANGUAGE.fullmatch(language):
            raise InvalidInput(
                "language", 'language must be a two-letter code of ISO 639-1, such as "en".'
            )
    return replace(properties, **checked, language=language)


def check_content(content: str) -> str:
    """A text whose lines end in single line feeds.

    Raises:
        InvalidInput
    """
    check_text("content", content, maximum=MAX_CONTENT)
    if not _WORD.search(content):
        raise InvalidInput("content", "content is empty: there is no word to search for.")
    return content.replace("\r\n", "\n").replace("\r", "\n")


def text_submission(properties: Properties, content: str) -> Submission:
    """
    Raises:
        InvalidInput
    """
    if properties.title is None:
        raise InvalidInput("title", "title is missing.")
    checked = check_properties(properties)
    payload = check_content(content).encode()
    return Submission(checked, payload, sent=content.encode() if checked.key else None)


def file_submission(
    properties: Properties,
    name: str,
    data: bytes,
    *,
    max_mb: int,
    mapping: dict[str, Any] | None = None,
) -> Submission:
    """A file of at most `max_mb`, with its name as the source if nothing is said.

    Raises:
        InvalidInput
    """
    name = PurePosixPath(name.replace("\\", "/")).name.strip()
    check_text("file", name, maximum=MAX_TITLE)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(
            "file",
            fill(
                "{name}: files of this kind cannot be read. "
                "The name must end in one of {suffixes}.",
                name=name,
                suffixes=", ".join(sorted(SUFFIXES)),
            ),
        )
    if not data:
        raise InvalidInput("file", fill("{name}: the file is empty.", name=name))
    if len(data) > max_mb * MEGABYTE:
        raise InvalidInput(
            "file", fill("{name}: the file is larger than {maximum} MB.", name=name, maximum=max_mb)
        )
    checked = check_properties(properties)
    return Submission(replace(checked, source=checked.source or name), data, name, mapping)


async def lock_submissions(store: Store, submissions: Sequence[Submission]) -> None:
    """In a transaction: hold the names of all, in one order for everyone."""
    keys = {f"document-key:{one.properties.key}" for one in submissions if one.properties.key}
    contents = {f"document-content:{one.content_hash}" for one in submissions}
    for name in (*sorted(keys), *sorted(contents)):
        await store.lock_name(name)


async def submit(store: Store, clock: Clock, submission: Submission) -> Document:
    """Take a document in: the one that is there already, with a new version to come if anything
    differs, or a new one. Call it in a transaction, after `lock_submissions`.

    Raises:
        InvalidInput: the document with this key is in another collection than the one named.
    """
    properties = submission.properties
    document = await find_by_key(properties)
    if document is None:
        # The same text in another collection is for other people: it is another document.
        twin = Document.filter(
            content_hash=submission.content_hash,
            deleted_at__isnull=True,
            collection_id=properties.collection_id or GENERAL_ID,
        )
        if properties.key is not None:
            # One without a key, that was sent: now it gets its key.
            twin = twin.filter(key__isnull=True, folder_path__isnull=True)
        document = await twin.order_by("id").first()
        if document is None:
            return await _create(store, clock, submission)
        if properties.key is None:
            # The same content is the same document, whatever else is said of it this time.
            again = document.status is DocumentStatus.FAILED or await _reads_anew(
                document, submission
            )
            if again and document.folder_path is None:
                await put_task(
                    clock, document, _task(submission), values=_shown(document, submission)
                )
            return document
        document.key = properties.key
        await Document.filter(id=document.id).update(key=properties.key)
    if not await _is_known(document, submission):
        values = {"content_hash": submission.content_hash, **_shown(document, submission)}
        await put_task(clock, document, _task(submission), values=values)
    return document


async def find_by_key(properties: Properties) -> Document | None:
    """The document that has this key already.

    Raises:
        InvalidInput: it is in another collection than the one named.
    """
    if properties.key is None:
        return None
    document = await Document.get_or_none(key=properties.key, deleted_at__isnull=True)
    if document is not None and properties.collection_id not in (None, document.collection_id):
        raise InvalidInput(
            "collectionId",
            "The document with this key is in another collection. Leave collectionId out, or "
            "move the document with moveDocuments first.",
        )
    return document


async def put_task(
    clock: Clock,
    document: Document,
    task: IngestionTask,
    *,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Make a task the only one of its document, which is shown as PENDING, with other `values` of
    the document. In a transaction."""
    await IngestionTask.filter(document_id=document.id).delete()
    task.document_id = document.id
    task.next_attempt_at = clock.now()
    await task.save(force_create=True)
    document.status, document.failure = DocumentStatus.PENDING, None
    document.updated_at = clock.now()
    document.update_from_dict(dict(values or {}))
    await Document.filter(id=document.id).update(
        status=document.status, failure=None, updated_at=document.updated_at, **(values or {})
    )


def _shown(document: Document, submission: Submission) -> dict[str, Any]:
    """What is shown of a document without any version: what was said last."""
    if document.chunk_count:
        return {}
    said = submission.properties
    values = {
        "title": said.title or submission.file_name,
        "type": said.type,
        "category": said.category,
        "language": said.language,
        "source": said.source,
    }
    return {name: value for name, value in values.items() if value is not None}


async def add_records(
    store: Store,
    clock: Clock,
    task: IngestionTask,
    document: Document,
    records: Sequence[SourceDocument],
) -> None:
    """A file that holds several documents: those after the first become documents of their own,
    known by the first one's key (or id) and their own, or else their content. In the transaction of
    the first.

    One that is there already stays in the collection that it was moved to.
    """
    known = {row.key: row for row in await _records_of(document, task.source)}
    keys = record_keys(document, records)
    others = {row.content_hash: row for key, row in known.items() if key not in keys}
    for key, record in zip(keys, records, strict=True):
        submission = Submission(
            Properties(
                title=record.title[:MAX_TITLE],
                type=record.type,
                category=record.category,
                language=record.language,
                source=task.source,
                key=key,
            ),
            record.content.encode(),
        )
        if key not in known and (row := others.pop(submission.content_hash, None)) is not None:
            # It had another name, such as its number in the file.
            await Document.filter(id=row.id).update(key=key)
            known[key] = row
        if key not in known and not await Document.exists(key=key, deleted_at__isnull=True):
            collection = replace(submission.properties, collection_id=document.collection_id)
            submission = replace(submission, properties=collection)
        await submit(store, clock, submission)


def record_keys(document: Document, records: Sequence[SourceDocument]) -> list[str]:
    """The keys of the further documents of the file whose first one is `document`."""
    stem = _stem(document)
    names = record_names(records)
    marked = [f"={name}" if one.key else name for one, name in zip(records, names, strict=True)]
    return [
        # A key that is too long is known by its hash, of the length of a content's.
        key if len(key := stem + name) <= MAX_KEY else stem + content_name(name)
        for name in marked
    ]


async def vanished_records(
    document: Document, source: str | None, records: Sequence[SourceDocument]
) -> list[Document]:
    """Documents that an earlier version of a file had beyond those that it has now."""
    keys = set(record_keys(document, records))
    return [row for row in await _records_of(document, source) if row.key not in keys]


async def _records_of(document: Document, source: str | None) -> list[Document]:
    stem = _stem(document)
    rows = Document.filter(key__startswith=stem, source=source, deleted_at__isnull=True)
    return [
        row
        for row in await rows.only("id", "key", "content_hash", "collection_id")
        if row.key is not None
        and row.key.startswith(stem)
        and _RECORD.fullmatch(row.key[len(stem) :])
    ]


def _stem(document: Document) -> str:
    return f"{document.key or document.id}"[-MAX_STEM:] + "#"


async def _create(store: Store, clock: Clock, submission: Submission) -> Document:
    properties = submission.properties
    document = Document(
        title=properties.title or submission.file_name or "",
        type=properties.type or DEFAULT_TYPE,
        category=properties.category or DEFAULT_CATEGORY,
        language=properties.language,
        source=properties.source,
        key=properties.key,
        collection_id=properties.collection_id or GENERAL_ID,
        # What was sent as text can be read at once; of a file it is known once it was read.
        content="" if submission.file_name else submission.payload.decode(),
        content_hash=submission.content_hash,
        status=DocumentStatus.PENDING,
    )
    task = _task(submission)
    task.document_id = document.id
    task.next_attempt_at = clock.now()
    for row in (document, task):
        row.created_at = clock.now()
    document.updated_at = clock.now()
    await store.write([insert(document), insert(task)])
    document._saved_in_db = True
    return document


def _task(submission: Submission) -> IngestionTask:
    properties = submission.properties
    is_text = submission.file_name is None
    return IngestionTask(
        kind=TaskKind.TEXT if is_text else TaskKind.FILE,
        title=properties.title,
        type=properties.type,
        category=properties.category,
        language=properties.language,
        source=properties.source,
        file_name=submission.file_name,
        mapping=submission.mapping,
        payload=submission.payload,
    )


async def _reads_anew(document: Document, submission: Submission) -> bool:
    """Whether the fields of a file are to be read as something else than what waits. What the
    version before was read with is not kept, so a mapping always counts once that is stored."""
    if submission.mapping is None:
        return False
    task = await IngestionTask.get_or_none(document_id=document.id)
    return task is None or task.mapping != submission.mapping


async def _is_known(document: Document, submission: Submission) -> bool:
    """Whether this is what was sent last, and it has not failed."""
    if document.content_hash != submission.content_hash or document.status is DocumentStatus.FAILED:
        return False
    if await _reads_anew(document, submission):
        return False
    task = await IngestionTask.get_or_none(document_id=document.id)
    for field in ("title", "type", "category", "language", "source"):
        said = getattr(submission.properties, field)
        newest = (getattr(task, field) if task else None) or getattr(document, field)
        if said not in (None, newest):
            return False
    return True
