"""Keeping the knowledge base in step with KB_DIR."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from models.collection import GENERAL_ID
from models.document import Document, DocumentStatus
from models.errors import is_unavailable
from models.ingestion import IngestionTask
from rag.errors import LoadingError, RagError
from rag.loading import SUFFIXES
from rag.types import SourceDocument
from resolvers.knowledge.base import KnowledgeBase, sha256
from resolvers.knowledge.records import (
    MAPPING_SUFFIX,
    file_of,
    is_record_file,
    open_itself,
    parse_mapping,
    read_mapping,
    record_hash,
    record_path,
)

log = logging.getLogger("groundql.knowledge")

MAX_PATH = 800
# A file of this name in a folder without documents says that they are gone indeed.
EMPTY: Final = ".empty"
# A file that was changed so short a time before it was read may change again with the same time
# stamp. Nanoseconds.
_SETTLED = 2_000_000_000

_COLUMNS: Final = ("id", "folder_path", "folder_hash", "deleted_at", "collection_id")

# Size, time of the last change and number of a file (and of the mapping beside it) as it was when
# it was synchronised.
Stamp: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FolderSync:
    """What a synchronisation did, in documents."""

    indexed: int
    unchanged: int
    removed: int
    failed: int


async def sync_folder(
    knowledge: KnowledgeBase,
    folder: Path,
    *,
    prefix: str = "",
    stamps: dict[str, Stamp] | None = None,
) -> FolderSync:
    """Index files that are new or changed, by their SHA-256, and remove those that vanished.

    `prefix` goes before the paths: "" for KB_DIR, the absolute folder with a slash for any other,
    so that each synchronisation only touches documents of its own folder. Files that look as
    `stamps` says are not read again; it is kept up to date.

    A file that cannot be read as a document becomes a FAILED document that says why; an earlier
    version of it stays searchable. A JSON Lines file is one document per record.

    Documents are removed only where the folder can be relied on: one that does not exist changes
    nothing, nor does one without any document (a drive that is not mounted looks like that) unless
    it holds a file named `EMPTY`, and what lies below a folder that cannot be listed stays.
    """
    if not await asyncio.to_thread(folder.is_dir):
        log.warning("KB_DIR %s is not a folder; the knowledge base stays as it is", folder)
        return FolderSync(0, 0, 0, 0)
    listing = await asyncio.to_thread(_list_files, folder)
    files = {prefix + path: file for path, file in listing.files.items()}
    known = {
        document.folder_path: document
        # Without the texts, which may take more memory than all else.
        for document in await Document.filter(folder_path__isnull=False).only(*_COLUMNS)
        if document.folder_path is not None and _owns(prefix, document.folder_path)
    }
    there = sum(document.deleted_at is None for document in known.values())
    if there and not files and not listing.is_empty_on_purpose:
        log.warning(
            "There is no document in %s, and %s came from it: is it mounted? They stay. To remove "
            "them, put a file named %s into it",
            folder,
            there,
            EMPTY,
        )
        return FolderSync(0, there, 0, 0)
    knowledge.folder_files = len(files)
    removed = 0
    records: defaultdict[str, dict[str, Document]] = defaultdict(dict)
    for path, document in known.items():
        if file_of(path) not in files:
            if listing.is_hidden(path.removeprefix(prefix)):
                continue
            removed += await _remove(knowledge, document)
        elif file_of(path) != path:
            records[file_of(path)][path] = document
    await knowledge.report()
    indexed = unchanged = failed = 0
    stamps = {} if stamps is None else stamps
    for gone in stamps.keys() - files.keys():
        del stamps[gone]
    sync = _Sync(knowledge, stamps)
    for path, file in files.items():
        if is_record_file(path):
            outcomes, vanished = await sync.records(path, file, known.get(path), records[path])
            removed += vanished
        else:
            outcomes = [await sync.file(path, file, known.get(path))]
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


async def _remove(knowledge: KnowledgeBase, document: Document) -> bool:
    """Remove a document whose file is gone. If it was not for everyone, the tombstone keeps the
    path: should the file come back, only those see it who saw it before."""
    kept = document.collection_id not in (None, GENERAL_ID)
    removed = document.deleted_at is None and await knowledge.remove(document, keep_path=kept)
    if kept:
        await Document.filter(id=document.id).update(folder_hash="")
    elif not removed:
        # Deleted by hand before: without the file there is nothing to remember.
        await _forget_path(document)
    return removed


async def _forget_path(document: Document) -> None:
    await Document.filter(id=document.id).update(folder_path=None, folder_hash=None)


@dataclass(frozen=True, slots=True)
class _Sync:
    """One run over a folder."""

    knowledge: KnowledgeBase
    stamps: dict[str, Stamp]

    async def file(self, path: str, file: Path, document: Document | None) -> DocumentStatus | None:
        """The new status, or None if the file has not changed."""
        try:
            stamp = await asyncio.to_thread(_stamp, file)
            known = document is not None and document.folder_hash
            if known and self.stamps.get(path) == stamp:
                return None
            self.stamps.pop(path, None)
            data = await asyncio.to_thread(self._read, file)
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error)
            # Without a hash, so that the next synchronisation tries again.
            reason = f"{path} cannot be read: {error.strerror}."
            return await _note_failure(document or Document(folder_path=path), reason, "")
        digest = sha256(data)
        status = None
        if document is None or document.folder_hash != digest:
            target = await _target(path, document)
            try:
                (source,) = await self.knowledge.parser.parse(path, data)
            except LoadingError as error:
                log.warning("%s was not indexed: %s", path, error)
                status = await _note_failure(target, str(error), digest)
            else:
                status = await self._put(path, source, digest, target, source_name=path)
        self._note_stamp(path, stamp)
        return status

    async def records(
        self, path: str, file: Path, failure: Document | None, known: dict[str, Document]
    ) -> tuple[list[DocumentStatus | None], int]:
        """The new status of each record, None for those that have not changed, and how many
        vanished.

        A file that cannot be read is one FAILED document, `failure`; what its records were before
        stays searchable.
        """
        failed = failure or Document(folder_path=path)
        try:
            stamp = await asyncio.to_thread(_stamp, file)
            again = failure is not None and not failure.folder_hash
            if (known or failure) and not again and self.stamps.get(path) == stamp:
                self.knowledge.folder_files += max(len(known), 1) - 1
                return [None] * max(len(known), 1), 0
            self.stamps.pop(path, None)
            data = await asyncio.to_thread(self._read, file)
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error)
            reason = f"{path} cannot be read: {error.strerror}."
            return [await _note_failure(failed, reason, "")], 0
        mapping = await asyncio.to_thread(read_mapping, file)
        digest = sha256(data + b"\0" + (mapping or b""))
        if failure is not None and failure.folder_hash == digest:
            self._note_stamp(path, stamp)
            return [None], 0
        try:
            found = await self.knowledge.parser.parse(
                path, data, mapping=parse_mapping(path, mapping)
            )
        except LoadingError as error:
            log.warning("%s was not indexed: %s", path, error)
            self._note_stamp(path, stamp)
            return [await _note_failure(failed, str(error), digest)], 0
        if failure is not None:
            await _remove(self.knowledge, failure)
        self.knowledge.folder_files += len(found) - 1
        outcomes: list[DocumentStatus | None] = []
        vanished = dict(known)
        for number, source in enumerate(found, start=1):
            name = record_path(path, source, number)
            outcomes.append(await self._record(name, source, vanished.pop(name, None)))
            if outcomes[-1] is not None:
                await self.knowledge.report()
        removed = 0
        for document in vanished.values():
            removed += await _remove(self.knowledge, document)
        self._note_stamp(path, stamp)
        return outcomes, removed

    async def _record(
        self, path: str, source: SourceDocument, document: Document | None
    ) -> DocumentStatus | None:
        """The new status, or None if the record has not changed."""
        digest = record_hash(source)
        if document is not None and document.folder_hash == digest:
            return None
        target = await _target(path, document)
        return await self._put(path, source, digest, target, source_name=source.source or path)

    async def _put(
        self,
        path: str,
        source: SourceDocument,
        digest: str,
        target: Document,
        *,
        source_name: str,
    ) -> DocumentStatus:
        try:
            await self.knowledge.put(
                target,
                source,
                content_hash=digest,
                properties={"folder_hash": digest, "source": source_name},
                within=partial(_drop_task, target),
            )
        except Exception as error:
            if is_unavailable(error):
                raise  # it is no fault of the file's
            # One file must never keep the others, and the questions, waiting.
            log.exception("%s was not indexed", path)
            reason = (
                str(error)
                if isinstance(error, RagError)
                else "it could not be indexed; see the log"
            )
            return await _note_failure(target, f"{path}: {reason}", "")
        return DocumentStatus.READY

    def _note_stamp(self, path: str, stamp: Stamp) -> None:
        if stamp[1] + _SETTLED < time.time_ns():
            self.stamps[path] = stamp

    def _read(self, file: Path) -> bytes:
        """The file, or enough of it for the parser to see that it is too large."""
        with open_itself(file) as opened:
            return opened.read(self.knowledge.parser.limits.file_mb * 1024 * 1024 + 1)


async def _drop_task(document: Document) -> None:
    """What an editor has sent before the file changed is older than the file."""
    await IngestionTask.filter(document_id=document.id).delete()


async def _target(path: str, document: Document | None) -> Document:
    """The row that a file's next version goes into: the one that is there, or a new one if there is
    none or it was deleted. A new one takes the place of a deleted one in its collection."""
    if document is None:
        return Document(folder_path=path)
    if document.deleted_at is None:
        return document
    await _forget_path(document)
    return Document(folder_path=path, collection_id=document.collection_id or GENERAL_ID)


async def _note_failure(target: Document, reason: str, folder_hash: str) -> DocumentStatus:
    """List a file as FAILED; its earlier version, if any, stays searchable."""
    status, reason = DocumentStatus.FAILED, reason[:500]
    path = target.folder_path or ""
    there = Document.filter(id=target.id)
    if await there.exists():
        await there.filter(deleted_at__isnull=True).update(
            status=status, failure=reason, folder_hash=folder_hash
        )
        return status
    document = Document(
        folder_path=path,
        source=path,
        content="",
        content_hash=folder_hash,
        folder_hash=folder_hash,
        title=path.rpartition("/")[2][:300],
        type="document",
        category="general",
        status=status,
        failure=reason,
        collection_id=target.collection_id,
    )
    await document.save(force_create=True)
    return status


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    stamp: Stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
    if not is_record_file(file.name):
        return stamp
    try:
        mapping = file.with_name(file.name + MAPPING_SUFFIX).stat()
    except OSError:
        return stamp
    return (*stamp, mapping.st_size, mapping.st_mtime_ns, mapping.st_ino)


def _owns(prefix: str, path: str) -> bool:
    return path.startswith(prefix) if prefix else not path.startswith("/")


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a folder holds. Paths are below it, with "/" on every system."""

    files: dict[str, Path]
    unlisted: tuple[str, ...]  # folders that could not be listed, "" for the folder itself
    is_empty_on_purpose: bool

    def is_hidden(self, path: str) -> bool:
        """Whether a file that was not found may be in a folder that could not be listed."""
        return any(not folder or path.startswith(f"{folder}/") for folder in self.unlisted)


def _list_files(folder: Path) -> _Listing:
    """Hidden files and links are left out."""
    files: dict[str, Path] = {}
    unlisted: list[str] = []

    def note(error: OSError) -> None:
        where = Path(error.filename or folder).relative_to(folder).as_posix()
        log.warning("%s cannot be listed: %s", error.filename, error.strerror)
        unlisted.append("" if where == "." else where)

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if not name.startswith(".") and file.suffix.lower() in SUFFIXES:
                path = file.relative_to(folder).as_posix()
                if _is_wanted(path, file):
                    files[path] = file
    return _Listing(files, tuple(unlisted), (folder / EMPTY).exists())


def _is_wanted(path: str, file: Path) -> bool:
    if file.is_symlink():
        log.warning("%s is a link and is not followed", path)
    elif len(path) > MAX_PATH or not path.isprintable():
        log.warning("%s is left out: its name is too long or not readable text", ascii(path))
    elif file_of(path) != path:
        log.warning("%s is left out: its name is that of a record", path)
    else:
        with suppress(PermissionError):  # it is listed as FAILED, with the reason
            return file.is_file()
        return True
    return False
