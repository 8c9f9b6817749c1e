"""What is read of the knowledge base again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

import numpy as np

from models.chunk import Chunk
from models.document import Document
from rag.index.knowledge import IndexEntry
from rag.ingest import PreparedChunk
from rag.plain import with_table_head
from rag.types import FloatMatrix, Passage, Span, pages_of

_PROPERTIES = (
    "id",
    "document_id",
    "headings",
    "text",
    "table_head",
    "document__title",
    "document__type",
    "document__category",
    "document__language",
    "document__collection_id",
)
_DETAILS = (
    *_PROPERTIES,
    "document__source",
    "document__pages",
    "start",
    "end",
    "sentence_spans",
    "sentence_vectors",
)
Key = TypeVar("Key")
Value = TypeVar("Value")

# Rows read at once when the whole knowledge base is loaded.
_PAGE = 2_000


class _Kept(Generic[Key, Value]):
    """What was asked for last, up to a number of values."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._forgotten = 0  # how often

    def __len__(self) -> int:
        return len(self._values)

    async def get(
        self,
        keys: Sequence[Key],
        read: Callable[[Sequence[Key]], Awaitable[dict[Key, Value]]],
    ) -> dict[Key, Value]:
        """The values of these keys; `read` gives those that are not kept, if there are any."""
        values = self._values
        found = {key: values[key] for key in keys if key in values}
        for key in found:
            values.move_to_end(key)
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            forgotten = self._forgotten
            read_now = await read(missing)
            found |= read_now
            if forgotten == self._forgotten:  # else what was read may be of before the change
                values.update(read_now)
        while len(values) > self._most:
            values.popitem(last=False)
        return found

    def forget(self, keys: Iterable[Key] | None = None) -> None:
        """These values, or all."""
        self._forgotten += 1
        if keys is None:
            self._values.clear()
            return
        for key in keys:
            self._values.pop(key, None)


class PassageRows:
    """The `PassageStore` of the retrieval library on top of the chunk table.

    What was read last is kept: a chunk's row never changes, and a new version of a document has new
    ones. So only chunks that the index still has may be asked for, and whoever changes documents
    calls `forget`, lest something deleted stays in memory.
    """

    def __init__(self, documents: DocumentRows, *, keep: int = 512) -> None:
        """`keep` passages take some 10 MB."""
        self._documents = documents
        self._kept: _Kept[int, Passage] = _Kept(keep)

    async def passages(self, chunk_ids: Sequence[int]) -> dict[int, Passage]:
        """The passages of these chunks, in one query or none; chunks that are gone are left out."""

        async def read(missing: Sequence[int]) -> dict[int, Passage]:
            rows = await Chunk.filter(id__in=missing, document__deleted_at__isnull=True).values(
                *_DETAILS
            )
            return {row["id"]: _passage(row) for row in rows}

        return await self._kept.get(chunk_ids, read)

    async def contents(self, document_ids: Collection[str]) -> dict[str, str]:
        """The texts of documents; they are read for the readers of the reply anyway."""
        rows = await self._documents.documents([UUID(key) for key in document_ids])
        return {str(key): row.content for key, row in rows.items()}

    def forget(self, chunk_ids: Iterable[int] | None = None) -> None:
        """Keep nothing of what was read until now of these chunks, or of any."""
        self._kept.forget(chunk_ids)


class DocumentRows:
    """Documents by id, deleted ones included; kept and forgotten as passages are.

    Every reader of a reply is shown the documents of its sources with the first event, so reading
    them must not hold up the text that comes with it.
    """

    def __init__(self, *, keep: int = 128) -> None:
        """`keep` documents of some pages each take about 1 MB."""
        self._kept: _Kept[UUID, Document] = _Kept(keep)

    async def documents(self, ids: Sequence[UUID]) -> dict[UUID, Document]:
        """The rows of these documents, in one query or none; unknown ids are left out."""

        async def read(missing: Sequence[UUID]) -> dict[UUID, Document]:
            return {row.id: row for row in await Document.filter(id__in=missing)}

        return await self._kept.get(ids, read)

    def forget(self, ids: Iterable[UUID] | None = None) -> None:
        """Keep nothing of what was read until now of these documents, or of any."""
        self._kept.forget(ids)


def _passage(row: dict[str, Any]) -> Passage:
    spans = row["sentence_spans"]
    vectors = np.frombuffer(row["sentence_vectors"], dtype="<f2").astype(np.float32)
    page, page_breaks = pages_of(row["document__pages"] or (), row["start"], row["end"])
    return Passage(
        chunk_id=row["id"],
        document_id=str(row["document_id"]),
        title=row["document__title"],
        type=row["document__type"],
        category=row["document__category"],
        language=row["document__language"],
        source=row["document__source"],
        text=row["text"],
        headings=tuple(row["headings"]),
        start=row["start"],
        end=row["end"],
        sentences=tuple(Span(a, b) for a, b in zip(spans[::2], spans[1::2], strict=True)),
        sentence_vectors=vectors.reshape(len(spans) // 2, -1) if spans else vectors.reshape(0, 0),
        table_head=row["table_head"] or "",
        page=page,
        page_breaks=page_breaks,
    )


# What of a passage's row is known before it is stored, but for its document.
CHUNK_FIELDS = (
    "position",
    "start",
    "end",
    "headings",
    "text",
    "table_head",
    "sentence_spans",
    "vector",
    "sentence_vectors",
    "embedding_model",
)


def chunk_values(prepared: PreparedChunk, *, position: int, model_key: str) -> list[Any]:
    """The values of `CHUNK_FIELDS` of a prepared chunk."""
    chunk = prepared.chunk
    return [
        position,
        chunk.start,
        chunk.end,
        list(chunk.headings),
        prepared.text,
        prepared.table_head or None,
        [offset for span in chunk.sentences for offset in (span.start, span.end)],
        prepared.vector.astype("<f4").tobytes(),
        prepared.sentence_vectors.astype("<f2").tobytes(),
        model_key,
    ]


async def read_entries(model_key: str) -> list[IndexEntry]:
    """The searchable properties of all chunks that this model embedded."""
    return [_entry(row) async for row in _all_chunks(model_key, _PROPERTIES)]


async def read_vectors(model_key: str, dimension: int) -> tuple[list[IndexEntry], FloatMatrix]:
    """Like `read_entries`, with the vectors, shape (number of chunks, dimension)."""
    entries: list[IndexEntry] = []
    parts: list[bytes] = []
    async for row in _all_chunks(model_key, (*_PROPERTIES, "vector")):
        entries.append(_entry(row))
        parts.append(row["vector"])
    vectors = np.frombuffer(b"".join(parts), dtype="<f4").astype(np.float32)
    return entries, vectors.reshape(len(entries), dimension)


async def read_places(model_key: str) -> dict[str, str]:
    """The collections, as the index names them, of all documents with passages of this model."""
    rows = Chunk.filter(embedding_model=model_key, document__deleted_at__isnull=True).distinct()
    return {
        str(id): collection_key(collection)
        for id, collection in await rows.values_list("document_id", "document__collection_id")
    }


async def _all_chunks(model_key: str, columns: tuple[str, ...]) -> Any:
    last = 0
    while True:
        rows = (
            await Chunk.filter(
                id__gt=last,
                embedding_model=model_key,
                document__deleted_at__isnull=True,
            )
            .order_by("id")
            .limit(_PAGE)
            .values(*columns)
        )
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        last = rows[-1]["id"]


def _entry(row: dict[str, Any]) -> IndexEntry:
    return IndexEntry(
        chunk_id=row["id"],
        document_id=str(row["document_id"]),
        title=row["document__title"],
        type=row["document__type"],
        category=row["document__category"],
        language=row["document__language"],
        headings=tuple(row["headings"]),
        text=with_table_head(row["table_head"] or "", row["text"]),
        collection=collection_key(row["document__collection_id"]),
    )


def collection_key(collection_id: UUID | None) -> str:
    """How the index names a collection; "" for none, which nobody may see."""
    return "" if collection_id is None else str(collection_id)


def new_entries(
    document: Document, prepared: Sequence[PreparedChunk], chunk_ids: Sequence[int]
) -> list[IndexEntry]:
    """What the index needs of passages that were just made; `chunk_ids` are their rows'."""
    return [
        IndexEntry(
            chunk_id=chunk_id,
            document_id=str(document.id),
            title=document.title,
            type=document.type,
            category=document.category,
            language=document.language,
            headings=piece.chunk.headings,
            text=with_table_head(piece.table_head, piece.text),
            collection=collection_key(document.collection_id),
        )
        for chunk_id, piece in zip(chunk_ids, prepared, strict=True)
    ]


def new_vectors(prepared: Sequence[PreparedChunk], dimension: int) -> FloatMatrix:
    """Their vectors, shape (number of chunks, dimension)."""
    vectors = np.zeros((len(prepared), dimension), dtype=np.float32)
    for row, piece in enumerate(prepared):
        vectors[row] = piece.vector
    return vectors
