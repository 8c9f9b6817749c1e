"""Where passages live: the port of the store, and one in memory for tests and measurements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import numpy as np

from rag.index.knowledge import IndexEntry, KnowledgeIndex
from rag.ingest import PreparedChunk
from rag.plain import with_table_head
from rag.types import FloatMatrix, Passage, SourceDocument, pages_of


class PassageStore(Protocol):
    """Gives the pipeline the passages that a search found."""

    async def passages(self, chunk_ids: Sequence[int]) -> dict[int, Passage]:
        """The passages by id; ids that exist no more are left out."""

    async def contents(self, document_ids: Collection[str]) -> dict[str, str]:
        """The texts of documents by id, which offsets refer to; unknown ids are left out."""


class MemoryPassages:
    """A `PassageStore` in memory that numbers chunks as they come."""

    def __init__(self) -> None:
        self.by_id: dict[int, Passage] = {}
        self._contents: dict[str, str] = {}

    async def passages(self, chunk_ids: Sequence[int]) -> dict[int, Passage]:
        return {number: self.by_id[number] for number in chunk_ids if number in self.by_id}

    async def contents(self, document_ids: Collection[str]) -> dict[str, str]:
        return {key: self._contents[key] for key in document_ids if key in self._contents}

    def add(
        self,
        document_id: str,
        document: SourceDocument,
        prepared: Sequence[PreparedChunk],
        index: KnowledgeIndex,
    ) -> None:
        """Store a prepared document and enter it into the index."""
        self.add_all([(document_id, document, prepared)], index)

    def add_all(
        self,
        documents: Iterable[tuple[str, SourceDocument, Sequence[PreparedChunk]]],
        index: KnowledgeIndex,
    ) -> None:
        """Store prepared documents and enter them into the index in one step."""
        entries: list[IndexEntry] = []
        vectors: list[FloatMatrix] = []
        for document_id, document, prepared in documents:
            entries += self._enter(document_id, document, prepared)
            vectors += [piece.vector for piece in prepared]
        if entries:
            index.add(entries, np.stack(vectors))

    def _enter(
        self, document_id: str, document: SourceDocument, prepared: Sequence[PreparedChunk]
    ) -> list[IndexEntry]:
        self._contents[document_id] = document.content
        entries = []
        for piece in prepared:
            page, page_breaks = pages_of(document.pages, piece.chunk.start, piece.chunk.end)
            passage = Passage(
                chunk_id=len(self.by_id) + 1,
                document_id=document_id,
                title=document.title,
                type=document.type,
                category=document.category,
                language=document.language,
                source=document_id,
                text=piece.text,
                headings=piece.chunk.headings,
                start=piece.chunk.start,
                end=piece.chunk.end,
                sentences=piece.chunk.sentences,
                sentence_vectors=piece.sentence_vectors,
                table_head=piece.table_head,
                page=page,
                page_breaks=page_breaks,
            )
            self.by_id[passage.chunk_id] = passage
            entries.append(index_entry(passage))
        return entries


def index_entry(passage: Passage) -> IndexEntry:
    """What the index needs of a passage."""
    return IndexEntry(
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        title=passage.title,
        type=passage.type,
        category=passage.category,
        language=passage.language,
        headings=passage.headings,
        text=with_table_head(passage.table_head, passage.text),
    )
