"""Deleting documents: their passages and texts go, tombstones stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from models.chunk import Chunk
from models.document import Document
from models.ingestion import IngestionTask
from resolvers.clock import Clock


class Deletion:
    """What a transaction deletes; `ids` are the documents that were there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ids: list[UUID] = []

    async def of(
        self,
        documents: Sequence[Document],
        *,
        keep_path: bool = False,
        collection_id: UUID | None = None,
    ) -> set[UUID]:
        """Delete documents; the ids of those that had not been deleted before.

        With `keep_path`, the folder's synchronisation leaves their files alone until they change.
        With `collection_id`, only those that are there now.
        """
        # Whoever indexes a document holds its task first and then its row: the other way round, the
        # two would wait for each other.
        waiting = IngestionTask.filter(document_id__in=[document.id for document in documents])
        await waiting.order_by("id").select_for_update().only("id")
        found = Document.filter(
            id__in=[document.id for document in documents], deleted_at__isnull=True
        )
        if collection_id is not None:
            found = found.filter(collection_id=collection_id)
        there = {
            row.id for row in await found.order_by("id").select_for_update(no_key=True).only("id")
        }
        if not there:
            return there
        values: dict[str, Any] = {
            "deleted_at": self._clock.now(),
            "content": "",
            "content_hash": "",
            "chunk_count": 0,
            "key": None,
        }
        if not keep_path:
            values |= {"folder_path": None, "folder_hash": None}
        await Document.filter(id__in=list(there)).update(**values)
        await IngestionTask.filter(document_id__in=list(there)).delete()
        await Chunk.filter(document_id__in=list(there)).delete()
        self.ids += there
        return there
