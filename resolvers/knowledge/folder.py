"""Keeping the knowledge base in step with KB_DIR."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask
from rag.errors import LoadingError, RagError
from resolvers.knowledge.base import KnowledgeBase, sha256
from resolvers.knowledge.parsing import MAX_FILE, SUFFIXES, Parser, ThreadParser

log = logging.getLogger("groundql.knowledge")

MAX_PATH = 800
# A file that was changed so short a time before it was read may change again with the same time
# stamp. Nanoseconds.
_SETTLED = 2_000_000_000

# Size, time of the last change and number of a file as it was when it was synchronised.
Stamp: TypeAlias = tuple[int, int, int]


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
    parser: Parser | None = None,
    stamps: dict[str, Stamp] | None = None,
) -> FolderSync:
    """Index files that are new or changed, by their SHA-256, and remove those that vanished.

    `prefix` goes before the paths: "" for KB_DIR, the absolute folder with a slash for any other,
    so that each synchronisation only touches documents of its own folder. Files that look as
    `stamps` says are not read again; it is kept up to date.

    A file that cannot be read as a document becomes a FAILED document that says why; an earlier
    version of it stays searchable. A folder that does not exist changes nothing.
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
        for document in await Document.filter(folder_path__isnull=False).only(
            "id", "folder_path", "folder_hash", "deleted_at"
        )
        if document.folder_path is not None and _owns(prefix, document.folder_path)
    }
    knowledge.folder_files = len(files)
    removed = 0
    for path, document in known.items():
        if path not in files:
            removed += await _remove(knowledge, document)
    await knowledge.report()
    indexed = unchanged = failed = 0
    stamps = {} if stamps is None else stamps
    for gone in stamps.keys() - files.keys():
        del stamps[gone]
    sync = _Sync(knowledge, parser or ThreadParser(), stamps)
    for path, file in files.items():
        outcome = await sync.file(path, file, known.get(path))
        indexed += outcome is DocumentStatus.READY
        failed += outcome is DocumentStatus.FAILED
        unchanged += outcome is None
        if outcome is not None:
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
    if document.deleted_at is None:
        return await knowledge.remove(document)
    # Deleted by hand before: without the file there is nothing to remember.
    await Document.filter(id=document.id).update(folder_path=None, folder_hash=None)
    return False


@dataclass(frozen=True, slots=True)
class _Sync:
    """One run over a folder."""

    knowledge: KnowledgeBase
    parser: Parser
    stamps: dict[str, Stamp]

    async def file(self, path: str, file: Path, document: Document | None) -> DocumentStatus | None:
        """The new status, or None if the file has not changed."""
        try:
            stamp = await asyncio.to_thread(_stamp, file)
            if document is not None and self.stamps.get(path) == stamp:
                return None
            self.stamps.pop(path, None)
            data = await asyncio.to_thread(_read, file)
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error)
            # Without a hash, so that the next synchronisation tries again.
            return await _note_failure(
                document, path, f"{path} cannot be read: {error.strerror}.", ""
            )
        digest = sha256(data)
        if document is None or document.folder_hash != digest:
            if document is not None and document.deleted_at is not None:
                await _remove(self.knowledge, document)
                document = None
            status = await self._index(path, data, digest, document)
        else:
            status = None
        if stamp[1] + _SETTLED < time.time_ns():
            self.stamps[path] = stamp
        return status

    async def _index(
        self, path: str, data: bytes, digest: str, document: Document | None
    ) -> DocumentStatus:
        try:
            (source, *_) = await self.parser.parse(path, data)
            target = document or Document(folder_path=path, source=path, content="")
            await self.knowledge.put(
                target,
                source,
                content_hash=digest,
                properties={"folder_hash": digest},
                within=partial(_drop_task, target),
            )
        except LoadingError as error:
            log.warning("%s was not indexed: %s", path, error)
            return await _note_failure(document, path, str(error), digest)
        except Exception as error:
            # One file must never keep the others, and the questions, waiting.
            log.exception("%s was not indexed", path)
            reason = (
                str(error)
                if isinstance(error, RagError)
                else "it could not be indexed; see the log"
            )
            return await _note_failure(document, path, f"{path}: {reason}", "")
        return DocumentStatus.READY


async def _drop_task(document: Document) -> None:
    """What an editor has sent before the file changed is older than the file."""
    await IngestionTask.filter(document_id=document.id).delete()


async def _note_failure(
    known: Document | None, path: str, reason: str, folder_hash: str
) -> DocumentStatus:
    """List a file as FAILED; its earlier version, if any, stays searchable."""
    if known is not None:
        await Document.filter(id=known.id, deleted_at__isnull=True).update(
            status=DocumentStatus.FAILED, failure=reason[:500], folder_hash=folder_hash
        )
        return DocumentStatus.FAILED
    document = Document(
        folder_path=path,
        source=path,
        content="",
        content_hash=folder_hash,
        folder_hash=folder_hash,
        title=path.rpartition("/")[2][:300],
        type="document",
        category="general",
        status=DocumentStatus.FAILED,
        failure=reason[:500],
    )
    await document.save(force_create=True)
    return DocumentStatus.FAILED


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_FILE + 1)


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
            else:
                yield path, file
