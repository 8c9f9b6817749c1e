"""Following KB_DIR while the server runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from models.document import Document
from models.store import Store
from rag.embedding.fake import FakeEmbedder
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.watching import FolderWatch
from tests.application import test_settings, write_documents
from wiring import Parts, create_knowledge, prepare_knowledge

pytestmark = pytest.mark.anyio


async def opened(store: Store, folder: Path) -> KnowledgeBase:
    settings = test_settings(folder, "sqlite://unused")
    knowledge = create_knowledge(settings, Parts(embedder=FakeEmbedder), store)
    await prepare_knowledge(knowledge, folder / "kb")
    return knowledge


async def until(knowledge: KnowledgeBase, titles: set[str]) -> None:
    """Until the database has documents of these titles, and the index as well."""
    while True:
        rows = await Document.filter(deleted_at__isnull=True)
        ids = {str(row.id) for row in rows}
        if {row.title for row in rows} == titles and knowledge.index.document_ids() == ids:
            return
        await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_changes_are_followed(store: Store, tmp_path: Path) -> None:
    """A file that is written, changed, moved or deleted, also in a new folder, without a scan."""
    folder = write_documents(tmp_path / "kb")
    for name in ("shipping.md", "urlaub.md"):
        (folder / name).unlink()
    knowledge = await opened(store, tmp_path)
    both = {"Returns", "Gooseneck kettle manual"}
    watch = FolderWatch(knowledge, folder, scan_seconds=3600)
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0.3)  # until the system watches
    (folder / "sub").mkdir()
    (folder / "sub" / "tents.md").write_text("# Tents\n\nA tent weighs two kilograms.\n")
    await until(knowledge, both | {"Tents"})
    (folder / "sub" / "tents.md").write_text("# New tents\n\nA tent weighs nine kilograms.\n")
    await until(knowledge, both | {"New tents"})
    (folder / "sub" / "tents.md").unlink()
    (folder / "kettle.md").unlink()
    await until(knowledge, {"Returns"})
    await ended(task)
    await knowledge.embedding.close()
    await knowledge.close()


async def test_a_folder_that_comes_later_is_found_by_a_scan(store: Store, tmp_path: Path) -> None:
    """Where nothing can be watched, looking through it remains; a folder that goes away again
    deletes nothing."""
    knowledge = await opened(store, tmp_path)
    watch = FolderWatch(knowledge, tmp_path / "kb", scan_seconds=0.05)
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0.1)
    write_documents(tmp_path / "other").rename(tmp_path / "kb")
    titles = {"Returns", "Shipping", "Gooseneck kettle manual", "Urlaub"}
    await until(knowledge, titles)
    (tmp_path / "kb").rename(tmp_path / "away")
    await asyncio.sleep(0.2)
    await until(knowledge, titles)
    await ended(task)
    await knowledge.embedding.close()
    await knowledge.close()
