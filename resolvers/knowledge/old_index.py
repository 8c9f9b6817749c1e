"""What answers while everything is embedded again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rag.embedding.service import EmbeddingService
from rag.index.knowledge import KnowledgeIndex
from resolvers.knowledge.passages import read_places


@dataclass(frozen=True, slots=True)
class OldIndex:
    """Another model and its passages."""

    embedding: EmbeddingService
    index: KnowledgeIndex

    async def follow(self) -> None:
        """Take over what another process has moved or deleted. What it has changed is found again
        with the new model."""
        places = await read_places(self.embedding.identity.key)
        await asyncio.to_thread(self._arrange, places)

    def _arrange(self, places: dict[str, str]) -> None:
        self.index.remove_documents(self.index.document_ids() - places.keys())
        for document_id, collection in places.items():
            self.index.move(document_id, collection)
