from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from rag.embedding.service import EmbeddingService
from rag.ingest import passage_text, prepare
from rag.loading import load_file
from rag.types import FloatMatrix, SourceDocument

pytestmark = pytest.mark.anyio


async def test_passages_and_sentences_are_embedded_in_context() -> None:
    """A passage stands under title and headings, a sentence under the title."""
    embedding = EmbeddingService(FakeEmbedder)
    embedding.start()
    document = load_file(
        "a.md", b"# Tents\n\nDry them. **Never** wash.\n\n## Poles\n\n" + b"word " * 300
    )
    done: list[tuple[int, int]] = []
    prepared = await prepare(
        document, embedding=embedding, progress=lambda *step: done.append(step)
    )
    await embedding.close()
    first = prepared[0]
    assert first.text == document.content[first.chunk.start : first.chunk.end]
    fake = FakeEmbedder()
    np.testing.assert_array_equal(
        first.vector, fake.embed([passage_text("Tents", ("Tents",), first.text)])[0]
    )
    np.testing.assert_array_equal(
        first.sentence_vectors, fake.embed(["Tents: Dry them.", "Tents: Never wash."])
    )
    total = len(prepared) + sum(len(piece.chunk.sentences) for piece in prepared)
    assert done[-1] == (total, total)


@pytest.mark.parametrize("title", ["T", "Very long title " * 60])
async def test_passage_and_prefix_fit_the_model(embedder: Embedder, title: str) -> None:
    """No text is longer than the model sees, however long title and headings are."""
    seen: list[int] = []

    class Recorder(FakeEmbedder):
        """Counts as the real model does and records the length of what it embeds."""

        def count_tokens(self, text: str) -> int:
            return embedder.count_tokens(text)

        def embed(self, texts: Sequence[str]) -> FloatMatrix:
            seen.extend(embedder.count_tokens(text) for text in texts)
            return super().embed(texts)

    embedding = EmbeddingService(lambda: Recorder(max_tokens=embedder.max_tokens))
    embedding.start()
    headings = "".join(f"{'#' * level} {'Abschnitt ' * 15}\n" for level in range(1, 6))
    document = SourceDocument(title, headings + "Donaudampfschifffahrt und Größe. " * 200)
    prepared = await prepare(document, embedding=embedding)
    await embedding.close()
    assert len(prepared) > 2
    assert max(seen) <= embedder.max_tokens


async def test_rows_are_embedded_under_the_head_of_their_table() -> None:
    """Title, headings, head and rows are one text; the sentences name their columns."""
    rows = "".join(f"| S{number} | {number} EUR |\n" for number in range(400))
    document = load_file("a.md", f"# Prices\n\n| Size | Price |\n|---|---|\n{rows}".encode())
    embedding = EmbeddingService(FakeEmbedder)
    embedding.start()
    prepared = await prepare(document, embedding=embedding)
    await embedding.close()
    second = prepared[1]
    assert prepared[0].table_head == ""
    assert second.table_head == "| Size | Price |"
    assert second.text == document.content[second.chunk.start : second.chunk.end]
    number = int(second.text.split()[1].removeprefix("S"))
    fake = FakeEmbedder()
    under = f"{second.table_head}\n{second.text}"
    np.testing.assert_array_equal(
        second.vector, fake.embed([passage_text("Prices", ("Prices",), under)])[0]
    )
    np.testing.assert_array_equal(
        second.sentence_vectors[0],
        fake.embed([f"Prices: S{number}: Price {number} EUR"])[0],
    )
