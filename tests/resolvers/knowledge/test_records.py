"""Files of KB_DIR that are read in another process, and those with many documents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.chunk import Chunk
from models.document import Document, DocumentStatus
from models.store import Store
from rag.embedding.fake import FakeEmbedder
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.folder import FolderSync, sync_folder
from resolvers.knowledge.records import content_name, file_of
from tests.application import test_settings
from tests.rag.loading.writers import manual_pdf
from wiring import Parts, create_knowledge, prepare_knowledge

pytestmark = pytest.mark.anyio


@pytest.fixture
async def knowledge(tmp_path: Path, store: Store) -> AsyncIterator[KnowledgeBase]:
    """A knowledge base over an empty folder."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, "sqlite://unused")
    knowledge = create_knowledge(settings, Parts(embedder=FakeEmbedder), store)
    await prepare_knowledge(knowledge, tmp_path / "kb")
    yield knowledge
    await knowledge.embedding.close()
    await knowledge.close()


def write_lines(path: Path, *records: object) -> None:
    path.write_text("\n".join(map(json.dumps, records)))


async def titles() -> dict[str | None, str]:
    """The titles of all documents by their paths."""
    rows = await Document.filter(deleted_at__isnull=True).order_by("folder_path")
    return {row.folder_path: row.title for row in rows}


async def test_each_line_is_a_document_that_follows_its_record(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    """New, changed and vanished records are noticed one by one."""
    folder = tmp_path / "kb"
    file = folder / "a.jsonl"
    write_lines(
        file,
        {"id": "x", "title": "X", "text": "Tents.", "url": "https://a.example/x"},
        {"id": "y", "title": "Y", "text": "Kettles."},
        {"title": "Third", "text": "Boots."},
    )
    assert await sync_folder(knowledge, folder) == FolderSync(3, 0, 0, 0)
    third = f"a.jsonl#{content_name('Boots.')}"
    assert await titles() == {third: "Third", "a.jsonl#x": "X", "a.jsonl#y": "Y"}
    assert (knowledge.progress.documents, knowledge.progress.ready) == (3, 3)
    sources = {row.source for row in await Document.all()}
    assert sources == {third, "https://a.example/x", "a.jsonl#y"}
    assert await sync_folder(knowledge, folder) == FolderSync(0, 3, 0, 0)
    write_lines(
        file,
        {"id": "x", "title": "X", "text": "Tents."},
        {"id": "y", "title": "Y", "text": "Kettles and pots."},
    )
    assert await sync_folder(knowledge, folder) == FolderSync(2, 0, 1, 0)
    assert (await Document.get(folder_path="a.jsonl#y")).version == 2
    assert (await Document.get(folder_path="a.jsonl#x")).source == "a.jsonl#x"
    file.unlink()
    (folder / ".empty").touch()
    assert await sync_folder(knowledge, folder) == FolderSync(0, 0, 2, 0)
    assert await titles() == {}


async def test_a_record_without_a_key_stays_the_same_document(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    """Wherever it stands: a line that is put before others embeds only itself, and what was cited
    is where it was. Equal records are told apart by their number."""
    folder = tmp_path / "kb"
    texts = ["Tents weigh two kilograms.", "Boots.", "Boots."]
    write_lines(folder / "a.jsonl", *({"text": text} for text in texts))
    assert await sync_folder(knowledge, folder) == FolderSync(3, 0, 0, 0)
    before = {row.id: row.folder_path for row in await Document.all()}
    boots = f"a.jsonl#{content_name('Boots.')}"
    assert {boots, f"{boots}-2"} < set(before.values())
    chunks = await Chunk.all().order_by("id").values_list("id", flat=True)
    write_lines(folder / "a.jsonl", {"text": "New."}, *({"text": text} for text in texts))
    assert await sync_folder(knowledge, folder) == FolderSync(1, 3, 0, 0)
    after = {row.id: row.folder_path for row in await Document.all()}
    assert before.items() < after.items()
    assert (await Chunk.all().order_by("id").values_list("id", flat=True))[:3] == chunks
    assert (await Document.get(content=texts[0])).title == texts[0]


async def test_a_record_that_was_known_by_its_line_keeps_its_document(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    """As earlier versions have named it: it gets its new name, and nothing is embedded."""
    folder = tmp_path / "kb"
    write_lines(
        folder / "a.jsonl", {"title": "A", "text": "Tents."}, {"title": "B", "text": "Ski."}
    )
    await sync_folder(knowledge, folder)
    documents = await Document.all().order_by("title")
    for number, document in enumerate(documents, start=1):
        await Document.filter(id=document.id).update(folder_path=f"a.jsonl#{number}")
    assert await sync_folder(knowledge, folder) == FolderSync(0, 2, 0, 0)
    assert await titles() == {document.folder_path: document.title for document in documents}
    assert [row.id for row in await Document.all().order_by("title")] == [
        document.id for document in documents
    ]


async def test_a_mapping_beside_the_file_names_its_fields(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    """A changed mapping reads the file anew; a wrong one is told and removes nothing."""
    folder = tmp_path / "kb"
    write_lines(folder / "faq.jsonl", {"id": 1, "question": "Why?", "answer": "So."})
    result = await sync_folder(knowledge, folder)
    assert result == FolderSync(0, 0, 0, 1)
    failed = await Document.get(folder_path="faq.jsonl")
    assert failed.status is DocumentStatus.FAILED
    assert failed.failure == (
        'faq.jsonl: line 1: no text in "content" or "text" or "body"; name the right field in the '
        "field mapping."
    )
    assert await sync_folder(knowledge, folder) == FolderSync(0, 1, 0, 0)
    mapping = folder / "faq.jsonl.fields.json"
    mapping.write_text('{"title": "question", "content": "answer"}')
    assert await sync_folder(knowledge, folder) == FolderSync(1, 0, 0, 0)
    assert await titles() == {"faq.jsonl#1": "Why?"}
    for wrong, reason in (("{", "this is not JSON."), ("[]", "a field mapping must be an object")):
        mapping.write_text(wrong)
        assert await sync_folder(knowledge, folder) == FolderSync(0, 0, 0, 1)
        failed = await Document.get(folder_path="faq.jsonl")
        assert failed.failure is not None
        assert failed.failure.startswith(f"faq.jsonl.fields.json: {reason}")
        assert (await Document.get(folder_path="faq.jsonl#1")).status is DocumentStatus.READY
    mapping.write_text('{"title": "question", "content": ["question", "answer"]}')
    assert await sync_folder(knowledge, folder) == FolderSync(1, 0, 0, 0)
    assert (await Document.get(folder_path="faq.jsonl#1")).content == "Why?\n\nSo."


async def test_a_pdf_keeps_its_pages_and_a_damaged_one_its_old_version(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    """The reason is listed; what was indexed before goes on answering."""
    folder = tmp_path / "kb"
    file = folder / "manual.pdf"
    file.write_bytes(manual_pdf())
    assert await sync_folder(knowledge, folder) == FolderSync(1, 0, 0, 0)
    document = await Document.get(folder_path="manual.pdf")
    assert document.pages is not None
    assert [document.content[start:][:6] for start in document.pages] == [
        "# Pitc",
        "# Care",
        "# Warr",
    ]
    pipeline = await knowledge.pipeline()
    hits = (await pipeline.retrieve("How long is the warranty?")).nearest
    pages = {
        hit.passage.page_at(hit.passage.text.index("five years") + hit.passage.start)
        for hit in hits
        if "five years" in hit.passage.text
    }
    assert pages == {3}
    file.write_bytes(b"%PDF-1.7 nothing")
    assert await sync_folder(knowledge, folder) == FolderSync(0, 0, 0, 1)
    damaged = await Document.get(folder_path="manual.pdf")
    assert damaged.failure == "manual.pdf: the PDF is damaged; save it anew."
    assert (damaged.content, damaged.pages) == (document.content, document.pages)


def test_a_record_belongs_to_its_file() -> None:
    """The key may hold anything."""
    assert file_of("a/b.JSONL#c#d.jsonl#e") == "a/b.JSONL"
    assert file_of("a#b.md") == "a#b.md"
