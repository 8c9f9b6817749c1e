"""Keeping the knowledge base in step with KB_DIR."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from models.collection import GENERAL_ID
from models.document import Document, DocumentStatus
from models.errors import is_unavailable
from rag.errors import LoadingError, RagError
from rag.loading import SUFFIXES
from rag.types import SourceDocument
from resolvers.knowledge.base import KnowledgeBase, sha256
from resolvers.knowledge.lanes import Lane, in_parallel
from resolvers.knowledge.records import (
    MAPPING_SUFFIX,
    MatchedRecord,
    file_of,
    is_record_file,
    match_records,
    open_itself,
    parse_mapping,
    read_mapping,
)
from resolvers.knowledge.vanished import held_back

log = logging.getLogger("groundql.knowledge")

MAX_PATH = 800
_PAGE: Final = 500  # rows that are changed by one statement
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
    it holds a file named `EMPTY`. What lies below a folder that cannot be listed stays, and so does
    everything that is missing if that is more than half: see `held_back`. Files that were only
    moved are not missing.
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
    gone = []
    records: defaultdict[str, dict[str, Document]] = defaultdict(dict)
    for path, document in known.items():
        if file_of(path) not in files:
            if not listing.is_hidden(path.removeprefix(prefix)):
                gone.append(document)
        elif file_of(path) != path:
            records[file_of(path)][path] = document
    await knowledge.report()
    sync = _Sync(knowledge, {} if stamps is None else stamps)
    for path in sync.stamps.keys() - files.keys():
        del sync.stamps[path]

    async def bring_in(path: str) -> None:
        await sync.file(path, files[path], known.get(path))

    await in_parallel(bring_in, [path for path in files if not is_record_file(path)])
    for path in filter(is_record_file, files):  # one after another: each may hold very many
        await sync.records(path, files[path], known.get(path), records[path])
    # At last, so that what was moved is there all the time.
    removed = sync.removed + await _remove_gone(knowledge, folder, there, gone, sync.hashes)
    done = FolderSync(sync.indexed, sync.unchanged, removed, sync.failed)
    if done.indexed or done.removed or done.failed:
        await knowledge.refresh()
        log.info(
            "Documents in %s: %s indexed, %s unchanged, %s removed, %s failed",
            folder,
            done.indexed,
            done.unchanged,
            done.removed,
            done.failed,
        )
    await knowledge.report()
    return done


async def _remove_gone(
    knowledge: KnowledgeBase,
    folder: Path,
    there: int,
    gone: Sequence[Document],
    hashes: AbstractSet[str],
) -> int:
    """Remove the documents whose files are gone, unless that looks like a mistake. `hashes` are
    those of files that came in anew."""
    missing = [
        document
        for document in gone
        if document.deleted_at is None and document.folder_hash not in hashes
    ]
    warning = await asyncio.to_thread(held_back, folder, there, missing)
    if warning is not None and warning != knowledge.folder_warning:
        log.warning("%s: %s", folder, warning)
    knowledge.folder_warning = warning
    if warning is not None:
        held = {document.id for document in missing}
        gone = [document for document in gone if document.id not in held]
    return await _remove(knowledge, gone)


async def _remove(knowledge: KnowledgeBase, documents: Sequence[Document]) -> int:
    """Remove documents whose files are gone. Where one was not for everyone, the tombstone keeps
    the path: should the file come back, only those see it who saw it before."""
    kept = [one for one in documents if one.collection_id not in (None, GENERAL_ID)]
    others = [one for one in documents if one.collection_id in (None, GENERAL_ID)]
    removed = await knowledge.remove_all(_alive(kept), keep_path=True)
    removed += await knowledge.remove_all(_alive(others))
    for start in range(0, len(kept), _PAGE):
        ids = [document.id for document in kept[start : start + _PAGE]]
        await Document.filter(id__in=ids).update(folder_hash="")
    # Deleted by hand before: without the files there is nothing to remember.
    await _forget_paths([one for one in others if one.deleted_at is not None])
    return removed


def _alive(documents: Sequence[Document]) -> list[Document]:
    return [document for document in documents if document.deleted_at is None]


async def _forget_paths(documents: Sequence[Document]) -> None:
    for start in range(0, len(documents), _PAGE):
        ids = [document.id for document in documents[start : start + _PAGE]]
        await Document.filter(id__in=ids).update(folder_path=None, folder_hash=None)


@dataclass(slots=True)
class _Sync:
    """One run over a folder, and what it did. `hashes` are those of what came in anew."""

    knowledge: KnowledgeBase
    stamps: dict[str, Stamp]
    indexed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    hashes: set[str] = field(default_factory=set)

    async def file(self, path: str, file: Path, document: Document | None) -> None:
        try:
            stamp = await asyncio.to_thread(_stamp, file)
            known = document is not None and document.folder_hash
            if known and self.stamps.get(path) == stamp:
                self.unchanged += 1
                return
            self.stamps.pop(path, None)
            async with self.knowledge.lanes.lane(stamp[0]) as lane:
                data, digest = await asyncio.to_thread(self._read, file)
                if document is not None and document.folder_hash == digest:
                    self.unchanged += 1
                else:
                    await self._file(path, data, digest, document, lane)
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error)
            # Without a hash, so that the next synchronisation tries again.
            reason = f"{path} cannot be read: {error.strerror}."
            await self._fail(document or Document(folder_path=path), reason, "")
            return
        self._note_stamp(path, stamp)

    async def _file(
        self, path: str, data: bytes, digest: str, document: Document | None, lane: Lane
    ) -> None:
        self.hashes.add(digest)
        target = await _target(path, document)
        try:
            (source,) = await self.knowledge.parser.parse(path, data)
        except LoadingError as error:
            log.warning("%s was not indexed: %s", path, error)
            await self._fail(target, str(error), digest)
            return
        await lane.widen(len(source.content))
        await self._put(path, source, digest, target, source_name=path)

    async def records(
        self, path: str, file: Path, failure: Document | None, known: dict[str, Document]
    ) -> None:
        """Each record of a file.

        A file that cannot be read is one FAILED document, `failure`; what its records were before
        stays searchable.
        """
        failed = failure or Document(folder_path=path)
        try:
            stamp = await asyncio.to_thread(_stamp, file)
            again = failure is not None and not failure.folder_hash
            if (known or failure) and not again and self.stamps.get(path) == stamp:
                self.knowledge.folder_files += max(len(known), 1) - 1
                self.unchanged += max(len(known), 1)
                return
            self.stamps.pop(path, None)
            data, _ = await asyncio.to_thread(self._read, file)
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error)
            await self._fail(failed, f"{path} cannot be read: {error.strerror}.", "")
            return
        mapping = await asyncio.to_thread(read_mapping, file)
        digest = sha256(data + b"\0" + (mapping or b""))
        if failure is not None and failure.folder_hash == digest:
            self._note_stamp(path, stamp)
            self.unchanged += 1
            return
        try:
            found = await self.knowledge.parser.parse(
                path, data, mapping=parse_mapping(path, mapping)
            )
        except LoadingError as error:
            log.warning("%s was not indexed: %s", path, error)
            self._note_stamp(path, stamp)
            await self._fail(failed, str(error), digest)
            return
        if failure is not None:
            await _remove(self.knowledge, [failure])
        self.knowledge.folder_files += len(found) - 1
        matched, vanished = match_records(path, found, known)

        async def bring_in(record: MatchedRecord) -> None:
            async with self.knowledge.lanes.lane(len(record.source.content)):
                await self._record(record)

        await in_parallel(bring_in, matched)
        self.removed += await _remove(self.knowledge, vanished)
        self._note_stamp(path, stamp)

    async def _record(self, record: MatchedRecord) -> None:
        document = record.document
        if document is not None and document.folder_path != record.path:
            # It is known by another name than before: nothing else about it has changed.
            await Document.filter(id=document.id).update(folder_path=record.path)
            document.folder_path = record.path
        if document is not None and document.folder_hash == record.digest:
            self.unchanged += 1
            return
        self.hashes.add(record.digest)
        target = await _target(record.path, document)
        source_name = record.source.source or record.path
        await self._put(record.path, record.source, record.digest, target, source_name=source_name)

    async def _put(
        self,
        path: str,
        source: SourceDocument,
        digest: str,
        target: Document,
        *,
        source_name: str,
    ) -> None:
        try:
            # What an editor has sent before the file changed is older than the file: it goes.
            await self.knowledge.put(
                target,
                source,
                content_hash=digest,
                properties={"folder_hash": digest, "source": source_name},
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
            await self._fail(target, f"{path}: {reason}", "")
            return
        self.indexed += 1
        self.knowledge.counting.soon()

    async def _fail(self, target: Document, reason: str, folder_hash: str) -> None:
        await _note_failure(target, reason, folder_hash)
        self.failed += 1
        self.knowledge.counting.soon()

    def _note_stamp(self, path: str, stamp: Stamp) -> None:
        if stamp[1] + _SETTLED < time.time_ns():
            self.stamps[path] = stamp

    def _read(self, file: Path) -> tuple[bytes, str]:
        """The file, or enough of it for the parser to see that it is too large, and its hash."""
        with open_itself(file) as opened:
            data = opened.read(self.knowledge.parser.limits.file_mb * 1024 * 1024 + 1)
        return data, sha256(data)


async def _target(path: str, document: Document | None) -> Document:
    """The row that a file's next version goes into: the one that is there, or a new one if there is
    none or it was deleted. A new one takes the place of a deleted one in its collection."""
    if document is None:
        return Document(folder_path=path)
    if document.deleted_at is None:
        return document
    await _forget_paths([document])
    return Document(folder_path=path, collection_id=document.collection_id or GENERAL_ID)


async def _note_failure(target: Document, reason: str, folder_hash: str) -> None:
    """List a file as FAILED; its earlier version, if any, stays searchable."""
    status, reason = DocumentStatus.FAILED, reason[:500]
    path = target.folder_path or ""
    there = Document.filter(id=target.id)
    if await there.exists():
        await there.filter(deleted_at__isnull=True).update(
            status=status, failure=reason, folder_hash=folder_hash
        )
        return
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
