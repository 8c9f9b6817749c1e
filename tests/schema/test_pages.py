"""Pages of PDFs in hits and citations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rag.embedding.base import Embedder
from tests.application import running_app, test_settings, write_documents
from tests.rag.loading.writers import manual_pdf

pytestmark = pytest.mark.anyio

SEARCH = """{ searchKnowledge(query: "How long is the warranty of the Firn?", first: 3) {
  text page startOffset document { title content } } }"""
CHAT = """subscription($i: SendMessageInput!) { chat(input: $i) { __typename
  ... on SourcesFound { hits { text page } }
  ... on ReplyEnded { reply { id citations { title quote page } } } } }"""


async def test_a_citation_of_a_pdf_names_its_page(
    sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """The quote's page, which is not always that on which its passage begins."""
    folder = write_documents(tmp_path / "kb")
    (folder / "manual.pdf").write_bytes(manual_pdf())
    async with running_app(test_settings(tmp_path, sqlite_url), embedder=embedder) as app:
        token = await app.login()
        await app.services.knowledge.pipeline()
        while app.services.knowledge.progress.ready < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        hits = (await app.data(SEARCH, token=token))["searchKnowledge"]
        assert hits[0]["document"]["title"] == "Firn 2 Manual"
        assert hits[0]["page"] == 1
        assert {hit["page"] for hit in hits if hit["document"]["title"] != "Firn 2 Manual"} <= {
            None
        }
        events = [
            payload["data"]["chat"]
            async for payload in app.subscribe(
                CHAT, {"i": {"content": "How long is the warranty of the Firn?"}}, token
            )
        ]
        sources = next(one for one in events if one["__typename"] == "SourcesFound")
        assert sources["hits"][0]["page"] == 1
        [ended] = [one for one in events if one["__typename"] == "ReplyEnded"]
        cited = {one["quote"]: one["page"] for one in ended["reply"]["citations"]}
        assert cited == {"The warranty is five years.": 3}
