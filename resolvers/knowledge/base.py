"""The knowledge base while the server runs: its index, and the changes that reach it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from models.chunk import Chunk
from models.document import Document, DocumentStatus
from models.knowledge_state import KnowledgeState
from models.store import Store
from rag.embedding.service import EmbeddingService
from rag.errors import IndexFileError
from rag.generation.base import Generator
from rag.index.knowledge import KnowledgeIndex
from rag.ingest import PreparedChunk, prepare, prepare_version
from rag.loading.parser import DocumentParser
from rag.pipeline import Pipeline
from rag.rerank.service import RerankService
from rag.types import SourceDocument
from resolvers.clock import Clock
from resolvers.knowledge.beside import to_its_end
from resolvers.knowledge.counting import Counting, IndexProgress, count_by_status
from resolvers.knowledge.deleting import Deletion
from resolvers.knowledge.gathering import Gathering
from resolvers.knowledge.lanes import Lanes
from resolvers.knowledge.old_index import OldIndex
from resolvers.knowledge.passages import (
    DocumentRows,
    PassageRows,
    collection_key,
    new_entries,
    new_vectors,
    read_entries,
    read_vectors,
)
from resolvers.knowledge.state import NotReady
from resolvers.knowledge.storing import (
    Lease,
    Stored,
    Version,
    bump_revision,
    chunk_statements,
    read_new_ids,
    read_revision,
    store_versions,
)

log = logging.getLogger("groundql.knowledge")

# Below both a change of the index takes about a millisecond. Passages.
_INLINE_CHANGE = 40
_INLINE_CHANGE_LIMIT = 5_000
_REMOVED_AT_ONCE = 200


class KnowledgeBase:
    """Owns the index. The database is the truth, the index follows it, its file is a cache."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        embedding: EmbeddingService,
        create_generator: Callable[[], Awaitable[Generator]],
        parser: DocumentParser,
        index_path: Path,
        load_index: Callable[[Path, int], KnowledgeIndex],
        new_index: Callable[[], KnowledgeIndex],
        reranking: RerankService | None = None,
        pipeline_options: dict[str, Any] | None = None,
    ) -> None:
        """`new_index` and `load_index` import heavy libraries: they run in a thread, once the
        embedding model is loaded."""
        self.store = store
        self.clock = clock
        self.embedding = embedding
        self.parser = parser
        self.generator: Generator | None = None
        self._create_generator = create_generator
        self._index_path = index_path
        self._load_index = load_index
        self._new_index = new_index
        self._reranking = reranking
        self._pipeline_options = pipeline_options or {}
        self._index: KnowledgeIndex | None = None
        self._old: OldIndex | None = None
        self.documents = DocumentRows()
        self._passages = PassageRows(self.documents)
        self._pipeline: asyncio.Future[Pipeline] | None = None
        self._saved_revision = -1
        self._seen_revision = 0
        self._writing = asyncio.Lock()
        self.counting = Counting(self.report)
        self.lanes = Lanes()
        self._gathering = Gathering(self._store_versions)
        self.progress = IndexProgress(0, 0, 0, 0)
        self.listeners: set[Callable[[IndexProgress], None]] = set()
        self.folder_files = 0
        self.folder_warning: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether questions can be answered now."""
        return (
            self._pipeline is not None
            and self._pipeline.done()
            and not self._pipeline.cancelled()
            and self._pipeline.exception() is None
        )

    @property
    def failure(self) -> str | None:
        """Why it will never be ready."""
        if self._pipeline is None or not self._pipeline.done() or self._pipeline.cancelled():
            return None
        error = self._pipeline.exception()
        return str(error) if error is not None else None

    async def pipeline(self) -> Pipeline:
        """The pipeline, as soon as questions can be answered.

        Raises:
            NotReady: the model or the index could not be loaded.
        """
        return await asyncio.shield(self._ready_future())

    def _ready_future(self) -> asyncio.Future[Pipeline]:
        if self._pipeline is None:
            self._pipeline = asyncio.get_running_loop().create_future()
        return self._pipeline

    def announce_ready(self) -> None:
        """Let questions through."""
        future = self._ready_future()
        if not future.done():
            future.set_result(self._new_pipeline())

    def _new_pipeline(self) -> Pipeline:
        assert self.generator is not None
        old = self._old
        return Pipeline(
            embedding=self.embedding if old is None else old.embedding,
            index=self.index if old is None else old.index,
            passages=self._passages,
            generator=self.generator,
            reranking=self._reranking,
            **self._pipeline_options,
        )

    def answer_from(self, old: OldIndex | None) -> None:
        """Let questions be answered from `old` (None: from the index itself) from now on; those
        that are being answered keep what they began with."""
        self._old = old
        if self.is_ready:
            self._pipeline = asyncio.get_running_loop().create_future()
            self._pipeline.set_result(self._new_pipeline())

    def announce_failure(self, reason: str) -> None:
        """Answer everyone who waits, now and later, that there will be no index."""
        future = self._ready_future()
        if not future.done():
            future.set_exception(NotReady(reason))
            future.exception()  # marks it as seen: there may be nobody waiting

    @property
    def index(self) -> KnowledgeIndex:
        assert self._index is not None, "open() has not finished"
        return self._index

    @property
    def model_key(self) -> str:
        return self.embedding.identity.key

    async def open(self) -> int:
        """Load the index from its file, or else from the vectors in the database; nothing is
        embedded. Returns the number of searchable chunks.

        Raises:
            EmbeddingError, RerankError: the model cannot be loaded.
            RagError: the generator cannot be made.
        """
        self.generator = await self._create_generator()
        if self._reranking is not None:
            await self._reranking.open()
        await self.embedding.ready()
        # What is moved meanwhile waits, so that the index never begins with an old collection.
        async with self._writing:
            await self._load()
        await self.report()
        return len(self.index)

    async def _load(self) -> None:
        revision = await read_revision()
        try:
            index = await asyncio.to_thread(self._load_index, self._index_path, revision)
            await asyncio.to_thread(index.restore, await read_entries(self.model_key))
            self._saved_revision = revision
        except IndexFileError as error:
            index = await asyncio.to_thread(self._new_index)
            entries, vectors = await read_vectors(self.model_key, self.embedding.identity.dimension)
            if entries:
                log.info("Rebuilding the index file from the database: %s", error)
                await asyncio.to_thread(index.add, entries, vectors)
        await asyncio.to_thread(index.refresh)
        self._index = index
        self._seen_revision = revision

    async def catch_up(self) -> bool:
        """Follow what another process (`server.py ingest`) has changed; True if there was any.

        One small query when nothing has changed.
        """
        if self._index is None or await read_revision() == self._seen_revision:
            return False
        async with self._writing:
            revision = await read_revision()
            if revision == self._seen_revision:
                return False  # it was an own change, which the index did not have yet
            if self._old is not None:
                await self._old.follow()
            entries, vectors = await read_vectors(self.model_key, self.embedding.identity.dimension)
            fresh = await asyncio.to_thread(self._new_index)
            await asyncio.to_thread(fresh.add, entries, vectors)
            await asyncio.to_thread(fresh.refresh)
            self._index = fresh
            self._forget()
            if self.is_ready and self._old is None:
                (await self.pipeline()).index = fresh
            self._seen_revision = revision
        await self.report()
        log.info("The knowledge base was changed by another process: %s passages", len(fresh))
        return True

    async def close(self) -> None:
        """Keep the index for the next start, end the processes that read files, and release the
        generator's connections."""
        await self._gathering.close()
        self.counting.close()
        await self.parser.close()
        await self.save()
        self.announce_failure("The server is stopping.")
        if self._reranking is not None:
            self._reranking.close()
        if self.generator is not None:
            await self.generator.close()

    async def save(self) -> None:
        """Write the index file if the index has changed since it was read or written."""
        if self._index is None:
            return
        async with self._writing:
            revision = self._seen_revision
            if revision == self._saved_revision:
                return
            self._index_path.parent.mkdir(parents=True, exist_ok=True)
            try:
                await asyncio.to_thread(self._index.dense.save, self._index_path, revision=revision)
            except OSError as error:
                # A cache: without it the next start takes longer, and nothing is lost.
                log.warning("The index file cannot be written: %s", error)
                return
            self._saved_revision = revision

    async def put(
        self,
        document: Document,
        source: SourceDocument,
        *,
        content_hash: str,
        properties: Mapping[str, Any] | None = None,
        lease: Lease | None = None,
        within: Callable[[], Awaitable[None]] | None = None,
    ) -> Document:
        """Store a new version of a document with its passages, and make it searchable; see
        `Version`. Those that are ready at about the same time share a transaction.

        Old passages answer until the new ones are committed; both are exchanged at once. `version`
        counts up if anything that can be read of an indexed version differs.

        Raises:
            EmbeddingError: the text could not be embedded; nothing has changed.
            Superseded: the document was deleted, or the lease lost; nothing has changed.
        """
        with self._gathering.preparing():
            source, prepared = await prepare_version(source, embedding=self.embedding)
        version = Version(document, source, prepared, content_hash, properties or {}, lease, within)
        await self._gathering.store(version)
        return document

    async def _store_versions(self, versions: Sequence[Version]) -> Stored:
        async with self._writing:
            async with self.store.transaction():
                stored = await store_versions(
                    self.store, self.clock, versions, model_key=self.model_key
                )
            if stored.versions:
                for version in stored.versions:
                    version.document._saved_in_db = True
                await self._take_over(
                    [(version.document, version.prepared) for version in stored.versions],
                    stored.chunk_ids,
                    stored.old_ids,
                )
                if self._old is not None:
                    self._old.index.remove_documents(
                        [str(version.document.id) for version in stored.versions]
                    )
                self._see(stored.revision)
        return stored

    async def embed_again(self, document: Document, source: SourceDocument) -> None:
        """Make a document's passages with the configured model beside those of another one.

        Raises:
            EmbeddingError: nothing has changed.
        """
        prepared = await prepare(source, embedding=self.embedding)
        async with self._writing:
            async with self.store.transaction():
                await self.store.lock_name(f"document:{document.id}")
                if not await Document.exists(
                    id=document.id, deleted_at__isnull=True, updated_at=document.updated_at
                ):
                    return  # it was changed or deleted, and what is new has this model's vectors
                await Chunk.filter(document_id=document.id, embedding_model=self.model_key).delete()
                await self.store.write(chunk_statements([(document.id, prepared)], self.model_key))
                new_ids = await read_new_ids([document.id], self.model_key)
                await Document.filter(id=document.id).update(chunk_count=len(prepared))
                revision = await bump_revision()
            await self._take_over([(document, prepared)], new_ids, [])
            self._see(revision)

    async def _take_over(
        self,
        documents: Sequence[tuple[Document, Sequence[PreparedChunk]]],
        new_ids: Mapping[UUID, Sequence[int]],
        old_ids: Sequence[int],
    ) -> None:
        change = (
            [
                entry
                for document, prepared in documents
                for entry in new_entries(document, prepared, new_ids[document.id])
            ],
            new_vectors(
                [piece for _, prepared in documents for piece in prepared],
                self.embedding.identity.dimension,
            ),
            old_ids,
        )
        if len(change[0]) <= _INLINE_CHANGE and len(self.index) < _INLINE_CHANGE_LIMIT:
            self.index.apply(*change)
        else:
            # A large index is locked for a while now and then; the event loop must not wait.
            await to_its_end(self.index.apply, *change)
        # The others stay as they are: who asks while documents come needs them.
        self._passages.forget(old_ids)
        self.documents.forget(document.id for document, _ in documents)

    @asynccontextmanager
    async def deleting(self) -> AsyncIterator[Deletion]:
        """A transaction in which documents are deleted, with whatever else belongs to it; after its
        commit the index follows."""
        deletion = Deletion(self.clock)
        revision = 0
        async with self._writing:
            async with self.store.transaction():
                yield deletion
                if deletion.ids:
                    revision = await bump_revision()
            if deletion.ids:
                for index in self._indexes():
                    index.remove_documents([str(id) for id in deletion.ids])
                self._see(revision)
                self._forget()

    async def remove(
        self,
        document: Document,
        *,
        keep_path: bool = False,
        collection_id: UUID | None = None,
        within: Callable[[], Awaitable[None]] | None = None,
    ) -> bool:
        """Delete a document, see `Deletion.of`; False if it was deleted before, or moved. `within`
        runs in the same transaction."""
        async with self.deleting() as deletion:
            there = await deletion.of([document], keep_path=keep_path, collection_id=collection_id)
            if there and within is not None:
                await within()
            return bool(there)

    async def remove_all(
        self,
        documents: Sequence[Document],
        *,
        keep_path: bool = False,
        collection_id: UUID | None = None,
        each: Callable[[UUID], Awaitable[None]] | None = None,
    ) -> int:
        """Delete many documents, some hundreds in a transaction; returns how many were there.
        `each` runs for every one of those, in the same transaction."""
        count = 0
        for start in range(0, len(documents), _REMOVED_AT_ONCE):
            some = documents[start : start + _REMOVED_AT_ONCE]
            async with self.deleting() as deletion:
                there = await deletion.of(some, keep_path=keep_path, collection_id=collection_id)
                if each is not None:
                    for document_id in there:
                        await each(document_id)
            count += len(there)
        return count

    def _indexes(self) -> list[KnowledgeIndex]:
        """Those that answer; before the first start has made one, there is none that could be
        wrong."""
        old = self._old.index if self._old is not None else None
        return [index for index in (self._index, old) if index is not None]

    async def move(
        self,
        document_ids: Sequence[UUID],
        collection_id: UUID,
        *,
        within: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Put documents into another collection: from now on its audience sees them. `within` runs
        in the same transaction."""
        async with self._writing:
            async with self.store.transaction():
                moved = Document.filter(id__in=list(document_ids), deleted_at__isnull=True)
                await moved.update(collection_id=collection_id, updated_at=self.clock.now())
                if within is not None:
                    await within()
                revision = await bump_revision()
            for index in self._indexes():
                for document_id in document_ids:
                    index.move(str(document_id), collection_key(collection_id))
            self._see(revision)
            self._forget()

    def _forget(self) -> None:
        self._passages.forget()
        self.documents.forget()

    async def refresh(self) -> None:
        """Do now, beside the event loop, what the next search would have to do after a change."""
        await asyncio.to_thread(self.index.refresh)

    async def report(self) -> None:
        """Count anew, and tell the listeners."""
        by_status = await count_by_status()
        self.progress = IndexProgress(
            documents=max(sum(by_status.values()), self.folder_files),
            ready=by_status.get(DocumentStatus.READY, 0),
            failed=by_status.get(DocumentStatus.FAILED, 0),
            chunks=len(self._index) if self._index is not None else 0,
            warning=self.folder_warning,
        )
        for listener in list(self.listeners):
            listener(self.progress)

    async def was_synced(self) -> bool:
        """Whether the folder has once been indexed to its end: what is there can be relied on."""
        return await KnowledgeState.exists(name="folder-synced")

    async def note_synced(self) -> None:
        await KnowledgeState.get_or_create(name="folder-synced")

    def _see(self, revision: int) -> None:
        """Note an own change, once the index has it; if others came between, or the index did not
        take it, `catch_up` still has to look."""
        if revision == self._seen_revision + 1:
            self._seen_revision = revision


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
