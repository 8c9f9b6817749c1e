"""Indexing documents to be measured as documents to be served are."""

from __future__ import annotations

import pytest

from rag.embedding.fake import FakeEmbedder
from rag.evaluate.cache import CachedEmbedder
from rag.evaluate.running import Workbench
from rag.types import SourceDocument

pytestmark = pytest.mark.anyio

ITALIAN = (
    "Il bollitore deve essere decalcificato una volta al mese con acido citrico; dopo il "
    "trattamento va risciacquato due volte con acqua fresca."
)


class Silent:
    def begin(self, step: str, total: int) -> None:
        pass

    def advance(self) -> None:
        pass


async def test_documents_get_their_language_as_where_they_are_stored() -> None:
    """What a document says counts; else one of all languages that the server tells apart."""
    documents = {
        "it": SourceDocument(title="Bollitore", content=ITALIAN),
        "de": SourceDocument(title="", content="Der Antrag wird schriftlich gestellt."),
        "said": SourceDocument(title="", content=ITALIAN, language="fr"),
    }
    async with Workbench(FakeEmbedder, cache=lambda model: CachedEmbedder(model, None)) as bench:
        indexed = await bench.index(documents, Silent())
    languages = {one.document_id: one.language for one in indexed.passages.by_id.values()}
    assert languages == {"it": "it", "de": "de", "said": "fr"}
