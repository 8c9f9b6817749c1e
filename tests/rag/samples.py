"""Small passages and retrievals for tests, and a pipeline on the fake embedding model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np

from rag.chunking import chunk
from rag.embedding.fake import FakeEmbedder
from rag.embedding.service import EmbeddingService
from rag.generation.base import Generator
from rag.generation.offline import OfflineGenerator
from rag.index.faiss_flat import FaissFlatIndex
from rag.index.knowledge import KnowledgeIndex
from rag.ingest import prepare
from rag.lexical import Bm25Index
from rag.loading import load_file
from rag.passages import MemoryPassages
from rag.pipeline import Pipeline
from rag.plain import plain_sentences
from rag.types import Hit, Passage, Retrieval

EMBEDDER = FakeEmbedder()

DOCUMENTS: Mapping[str, str] = {
    "returns.md": (
        "---\ntitle: Returning goods\ntype: policy\ncategory: returns\nlanguage: en\n---\n"
        "# Returning goods\n\nYou may send goods back within 30 days of delivery.\n\n"
        "## Refund\n\nThe refund arrives within five working days.\n"
    ),
    "shipping.md": (
        "---\ntitle: Shipping\ntype: faq\ncategory: shipping\nlanguage: en\n---\n"
        "Express parcels to Austria take two days and cost nine euros.\n"
    ),
    "urlaub.md": (
        "---\ntitle: Urlaub\ntype: policy\ncategory: handbook\nlanguage: de\n---\n"
        "Jeder Mitarbeiter hat dreißig Urlaubstage im Jahr.\n"
    ),
}


def passage(
    text: str,
    *,
    chunk_id: int = 1,
    title: str = "Title",
    language: str | None = "en",
    headings: tuple[str, ...] = (),
    start: int = 100,
) -> Passage:
    """A passage of one chunk, its sentences found and embedded as `rag.ingest` does."""
    spans = tuple(
        span
        for piece in chunk(" " * start + text, count_tokens=len, max_tokens=100_000)
        for span in piece.sentences
    )
    return Passage(
        chunk_id=chunk_id,
        document_id=f"document-{chunk_id}",
        title=title,
        type="policy",
        category="returns",
        language=language,
        source=None,
        text=text,
        headings=headings,
        start=start,
        end=start + len(text),
        sentences=spans,
        sentence_vectors=EMBEDDER.embed(plain_sentences(text, start, spans)),
    )


def retrieval(
    question: str, *passages: Passage, grounded: bool = True, scores: tuple[float, ...] = ()
) -> Retrieval:
    hits = tuple(
        Hit(item, score=scores[place] if scores else 0.9 - 0.1 * place, cosine=0.5, lexical=0.5)
        for place, item in enumerate(passages)
    )
    return Retrieval(
        question=question,
        query=question,
        query_vector=EMBEDDER.embed([question])[0],
        focus_vector=EMBEDDER.embed([question])[0],
        hits=hits,
        nearest=hits[:3],
        grounded=grounded,
    )


@asynccontextmanager
async def pipeline_over(
    documents: Mapping[str, str] = DOCUMENTS, *, generator: Generator | None = None
) -> AsyncIterator[tuple[Pipeline, MemoryPassages]]:
    """A pipeline on the fake model; texts without a common word are hardly related in it."""
    embedding = EmbeddingService(lambda: EMBEDDER, cache_size=0)
    embedding.start()
    try:
        await embedding.ready()
        index = KnowledgeIndex(FaissFlatIndex(embedding.identity), Bm25Index())
        store = MemoryPassages()
        for name, text in documents.items():
            document = load_file(name, text.encode())
            store.add(name, document, await prepare(document, embedding=embedding), index)
        yield (
            Pipeline(
                embedding=embedding,
                index=index,
                passages=store,
                generator=generator or OfflineGenerator(),
            ),
            store,
        )
    finally:
        await embedding.close()


NO_VECTOR = np.zeros(64, dtype=np.float32)
