"""Keeping the knowledge base in step with KB_DIR."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.chunk import Chunk
from models.document import Document, DocumentStatus
from rag.errors import LoadingError, RagError
from rag.loading import SUFFIXES, ParseLimits
from rag.types import SourceDocument
from resolvers.knowledge.base import KnowledgeBase, sha256
from resolvers.knowledge.records import (
    file_of,
    is_record_file,
    parse_mapping,
    read_mapping,
    record_hash,
    record_path,
)

log = logging.getLogger("groundql.knowledge")

MAX_PATH = 800


@dataclass(frozen=True, slots=True)
class FolderSync:
    """What a synchronisation did, in documents."""

    indexed: int
    unchanged: int
    removed: int
    failed: int


async def sync_folder(knowledge: KnowledgeBase, folder: Path, *, prefix: str = "") -> FolderSync:
    """Index files that are new or changed, by their SHA-256, and remove those that vanished.

    `prefix` goes before the paths: "" for KB_DIR, the absolute folder with a slash for any other,
    so that each synchronisation only touches documents of its own folder.

    A file that cannot be read as a document becomes a FAILED document that says why; an earlier
    version of it stays searchable. A JSON Lines file is one document per record. A folder that does
    not exist changes nothing.
    """
    if not await asyncio.to_thread(folder.is_dir):
        log.warning("KB_DIR %s is not a folder; the knowledge base stays as it is", folder)
        return FolderSync(0, 0, 0, 0)
    files = {
        prefix + path: file
        for path, file in await asyncio.to_thread(lambda: list(_list_files(folder)))
    }
    known = {
        document.folder_path: document
        for document in await Document.filter(folder_path__isnull=False)
        if document.folder_path is not None and _owns(prefix, document.folder_path)
    }
    knowledge.folder_files = len(files)
    removed = 0
    records: defaultdict[str, dict[str, Document]] = defaultdict(dict)
    for path, document in known.items():
        if file_of(path) not in files:
            await knowledge.remove(document)
            removed += 1
        elif file_of(path) != path:
            records[file_of(path)][path] = document
    await knowledge.report()
    indexed = unchanged = failed = 0
    for path, file in files.items():
        if is_record_file(path):
            outcomes, gone = await _sync_records(
                knowledge, path, file, known.get(path), records[path]
            )
            removed += gone
        else:
            outcomes = [await _sync_file(knowledge, path, file, known.get(path))]
        indexed += outcomes.count(DocumentStatus.READY)
        failed += outcomes.count(DocumentStatus.FAILED)
        unchanged += outcomes.count(None)
        if any(outcomes):
            await knowledge.report()
    if indexed or removed or failed:
        await knowledge.refresh()
        log.info(
            "Documents in %s: %s indexed, %s unchanged, %s removed, %s failed",
            folder,
            indexed,
            unchanged,
            removed,
            failed,
        )
    return FolderSync(indexed, unchanged, removed, failed)


async def reembed_foreign(knowledge: KnowledgeBase) -> int:
    """Embed again what another model embedded; returns the number of documents."""
    foreign = (
        await Chunk.exclude(embedding_model=knowledge.model_key)
        .distinct()
        .values_list("document_id", flat=True)
    )
    for document in await Document.filter(id__in=list(foreign), deleted_at__isnull=True):
        source = SourceDocument(
            title=document.title,
            content=document.content,
            type=document.type,
            category=document.category,
            language=document.language,
            pages=tuple(document.pages or ()),
        )
        await knowledge.put(document, source, content_hash=document.content_hash)
        await knowledge.report()
    if foreign:
        log.info("Embedded %s documents again for the model %s", len(foreign), knowledge.model_key)
    return len(foreign)


async def _sync_file(
    knowledge: KnowledgeBase, path: str, file: Path, document: Document | None
) -> DocumentStatus | None:
    """The new status, or None if the file has not changed."""
    try:
        data = await asyncio.to_thread(_read, file, knowledge.parser.limits)
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error)
        # Without a hash, so that the next synchronisation tries again.
        return await _note_failure(document, path, f"{path} cannot be read: {error.strerror}.", "")
    digest = sha256(data)
    if document is not None and document.content_hash == digest:
        return None
    known = document
    try:
        [source] = await knowledge.parser.parse(path, data)
        target = known or Document(folder_path=path, source=path, content="")
        await knowledge.put(target, source, content_hash=digest)
    except LoadingError as error:
        log.warning("%s was not indexed: %s", path, error)
        return await _note_failure(known, path, str(error), digest)
    except Exception as error:
        # One file must never keep the others, and the questions, waiting.
        log.exception("%s was not indexed", path)
        reason = (
            str(error) if isinstance(error, RagError) else "it could not be indexed; see the log"
        )
        return await _note_failure(known, path, f"{path}: {reason}", "")
    return DocumentStatus.READY


async def _sync_records(
    knowledge: KnowledgeBase,
    path: str,
    file: Path,
    failure: Document | None,
    known: dict[str, Document],
) -> tuple[list[DocumentStatus | None], int]:
    """The new status of each record, None for those that have not changed, and how many vanished.

    A file that cannot be read is one FAILED document, `failure`; what its records were before stays
    searchable.
    """
    try:
        data = await asyncio.to_thread(_read, file, knowledge.parser.limits)
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error)
        reason = f"{path} cannot be read: {error.strerror}."
        return [await _note_failure(failure, path, reason, "")], 0
    mapping = await asyncio.to_thread(read_mapping, file)
    digest = sha256(data + b"\0" + (mapping or b""))
    if failure is not None and failure.content_hash == digest:
        return [None], 0
    try:
        documents = await knowledge.parser.parse(path, data, mapping=parse_mapping(path, mapping))
    except LoadingError as error:
        log.warning("%s was not indexed: %s", path, error)
        return [await _note_failure(failure, path, str(error), digest)], 0
    if failure is not None:
        await knowledge.remove(failure)
    knowledge.folder_files += len(documents) - 1
    outcomes: list[DocumentStatus | None] = []
    vanished = dict(known)
    for number, source in enumerate(documents, start=1):
        name = record_path(path, source, number)
        document = vanished.pop(name, None)
        outcome = await _put_record(knowledge, name, source, document)
        outcomes.append(outcome)
        if outcome is not None:
            await knowledge.report()
    for document in vanished.values():
        await knowledge.remove(document)
    return outcomes, len(vanished)


async def _put_record(
    knowledge: KnowledgeBase, path: str, source: SourceDocument, document: Document | None
) -> DocumentStatus | None:
    """The new status, or None if the record has not changed."""
    digest = record_hash(source)
    if document is not None and document.content_hash == digest:
        return None
    target = document or Document(folder_path=path, content="")
    target.source = source.source or path
    try:
        await knowledge.put(target, source, content_hash=digest)
    except Exception as error:
        # One record must never keep the others, and the questions, waiting.
        log.exception("%s was not indexed", path)
        reason = (
            str(error) if isinstance(error, RagError) else "it could not be indexed; see the log"
        )
        return await _note_failure(document, path, f"{path}: {reason}", "")
    return DocumentStatus.READY


async def _note_failure(
    known: Document | None, path: str, reason: str, content_hash: str
) -> DocumentStatus:
    """List a file as FAILED; its earlier version, if any, stays searchable."""
    document = known or Document(
        folder_path=path,
        source=path,
        content="",
        title=path.rpartition("/")[2][:300],
        type="document",
        category="general",
    )
    document.status = DocumentStatus.FAILED
    document.failure = reason[:500]
    document.content_hash = content_hash
    if known is None:
        await document.save(force_create=True)
    else:
        await Document.filter(id=known.id).update(
            status=document.status, failure=document.failure, content_hash=content_hash
        )
    return DocumentStatus.FAILED


def _read(file: Path, limits: ParseLimits) -> bytes:
    """The file, or enough of it for the parser to see that it is too large."""
    with file.open("rb") as opened:
        return opened.read(limits.file_mb * 1024 * 1024 + 1)


def _owns(prefix: str, path: str) -> bool:
    return path.startswith(prefix) if prefix else not path.startswith("/")


def _list_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Paths below the folder, with "/" on every system; hidden ones and links are left out."""
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if not hidden and file.suffix.lower() in SUFFIXES and file.is_file():
            path = relative.as_posix()
            if file.is_symlink():
                log.warning("%s is a link and is not followed", relative)
            elif len(path) > MAX_PATH or not path.isprintable():
                log.warning(
                    "%s is left out: its name is too long or not readable text", ascii(path)
                )
            elif file_of(path) != path:
                log.warning("%s is left out: its name is that of a record", relative)
            else:
                yield path, file
