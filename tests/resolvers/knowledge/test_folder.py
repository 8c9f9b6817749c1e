"""Keeping the index in step with KB_DIR."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from models.chunk import Chunk
from models.collection import Audience, Collection
from models.document import Document, DocumentStatus
from models.errors import StoreUnavailable
from models.knowledge_state import KnowledgeState
from models.store import Store
from rag.embedding.fake import FakeEmbedder
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.folder import FolderSync, Stamp, sync_folder
from resolvers.knowledge.records import open_itself
from resolvers.knowledge.state import NotReady
from tests.application import test_settings, write_documents
from wiring import Parts, create_knowledge, prepare_knowledge

pytestmark = pytest.mark.anyio


class CountingEmbedder(FakeEmbedder):
    """Counts the texts that were embedded."""

    @property
    def embedded(self) -> int:
        return sum(self.batches)


class World:
    """A store, a folder and an embedder; knowledge bases come and go."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = write_documents(folder / "kb")
        self.store = store
        self.settings = test_settings(folder, "sqlite://unused")
        self.embedder = CountingEmbedder()

    async def start(self) -> KnowledgeBase:
        knowledge = create_knowledge(
            self.settings, Parts(embedder=lambda: self.embedder), self.store
        )
        await prepare_knowledge(knowledge, self.folder)
        return knowledge

    async def stop(self, knowledge: KnowledgeBase) -> None:
        await knowledge.embedding.close()
        await knowledge.close()


@pytest.fixture
async def world(tmp_path: Path, store: Store) -> World:
    return World(tmp_path, store)


async def test_a_second_start_embeds_nothing(world: World) -> None:
    """Unchanged files are recognised by their content; the index comes from its file."""
    first = await world.start()
    chunks = len(first.index)
    assert chunks == await Chunk.all().count() >= 4
    await world.stop(first)
    embedded = world.embedder.embedded
    second = await world.start()
    assert world.embedder.embedded == embedded
    assert len(second.index) == chunks
    assert second.is_ready
    await world.stop(second)


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "stale"])
async def test_an_unusable_index_file_is_made_again_from_the_database(
    world: World, damage: str
) -> None:
    """A missing, damaged or stale file costs no embedding, and no passage is lost."""
    first = await world.start()
    expected = first.index.document_ids()
    await world.stop(first)
    path = world.settings.data_dir / "index" / "chunks.faiss"
    data = path.read_bytes()
    match damage:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
        case "stale":
            await KnowledgeState.filter(name="default").update(revision=10_000)
    embedded = world.embedder.embedded
    second = await world.start()
    assert second.index.document_ids() == expected
    assert world.embedder.embedded == embedded
    await world.stop(second)
    assert path.exists()


async def test_changes_of_the_folder_are_followed(world: World) -> None:
    """New files are added, changed ones replaced, vanished ones removed; others are untouched."""
    first = await world.start()
    before = {row.folder_path: row for row in await Document.all()}
    await world.stop(first)
    (world.folder / "kettle.md").unlink()
    (world.folder / "returns.md").write_text("# Returns\n\nNow you have 60 days.\n")
    (world.folder / "sub").mkdir()
    (world.folder / "sub" / "new.txt").write_text("A new document about tents.\n")
    (world.folder / ".hidden.md").write_text("# Hidden\n\nNot for the index.\n")
    second = await world.start()
    rows = {row.folder_path: row for row in await Document.filter(deleted_at__isnull=True)}
    assert set(rows) == {"returns.md", "shipping.md", "urlaub.md", "sub/new.txt"}
    assert rows["returns.md"].id == before["returns.md"].id
    assert rows["returns.md"].version == 2
    assert "60 days" in rows["returns.md"].content
    assert rows["shipping.md"].version == 1
    tombstone = await Document.get(id=before["kettle.md"].id)
    assert tombstone.deleted_at is not None
    assert tombstone.content == ""
    assert await Chunk.filter(document_id=tombstone.id).count() == 0
    assert second.index.document_ids() == {str(row.id) for row in rows.values()}
    await world.stop(second)


async def test_a_file_that_cannot_be_read_says_why_and_keeps_its_earlier_version(
    world: World,
) -> None:
    """A broken file becomes FAILED with a sentence; what was there before stays searchable, and
    the others are indexed all the same."""
    first = await world.start()
    await world.stop(first)
    (world.folder / "returns.md").write_bytes(b"---\ntitle: [broken\n---\ntext")
    (world.folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    second = await world.start()
    broken = await Document.get(folder_path="returns.md")
    assert broken.status is DocumentStatus.FAILED
    assert broken.failure is not None
    assert "front matter" in broken.failure
    assert "45 days" in broken.content
    assert str(broken.id) in second.index.document_ids()
    binary = await Document.get(folder_path="binary.txt")
    assert binary.status is DocumentStatus.FAILED
    assert str(binary.id) not in second.index.document_ids()
    assert second.progress.failed == 2
    assert second.is_ready
    await world.stop(second)
    third = await world.start()
    assert str(broken.id) in third.index.document_ids()
    await world.stop(third)


async def test_no_odd_file_keeps_the_others_from_being_indexed(world: World) -> None:
    """Front matter that no column takes, half a character, a name that is not UTF-8, a folder that
    is named like a file: each is left out or FAILED with a reason, and the rest is searchable."""
    (world.folder / "long.md").write_text(f"---\ntype: {'x' * 61}\n---\nText about tents.\n")
    (world.folder / "half.md").write_text('---\ntitle: "bad \\ud800 title"\n---\nSome text.\n')
    (world.folder / "nul.md").write_text('---\ntitle: "a\\0b"\n---\nSome text.\n')
    (world.folder / "folder.md").mkdir()
    (world.folder / "caf\udce9.md").write_text("# Café\n\nCoffee.\n")
    knowledge = await world.start()
    assert knowledge.is_ready
    assert len(knowledge.index.document_ids()) == 4
    failed = await Document.filter(status=DocumentStatus.FAILED)
    assert {row.folder_path for row in failed} == {"long.md", "half.md", "nul.md"}
    assert all(row.failure for row in failed)
    await world.stop(knowledge)


async def test_a_deleted_document_comes_back_only_once_its_file_changes(world: World) -> None:
    """Who deletes a document by hand does not find it again at the next start; a new version of the
    file is a new document."""
    first = await world.start()
    kettle = await Document.get(folder_path="kettle.md")
    assert await first.remove(kettle, keep_path=True) is True
    assert await first.remove(kettle, keep_path=True) is False
    assert await sync_folder(first, world.folder) == FolderSync(0, 4, 0, 0)
    assert str(kettle.id) not in first.index.document_ids()
    (world.folder / "kettle.md").write_text("# Kettle\n\nA new manual.\n")
    assert await sync_folder(first, world.folder) == FolderSync(1, 3, 0, 0)
    again = await Document.get(folder_path="kettle.md")
    assert again.id != kettle.id
    assert (await Document.get(id=kettle.id)).deleted_at is not None
    # Deleted by hand again, and then its file: nothing is left to remember.
    await first.remove(again, keep_path=True)
    (world.folder / "kettle.md").unlink()
    assert await sync_folder(first, world.folder) == FolderSync(0, 3, 0, 0)
    assert not await Document.exists(folder_path="kettle.md")
    await world.stop(first)


async def test_files_that_look_unchanged_are_not_read(world: World) -> None:
    """Size, time and number of a file decide, once its last change is some seconds old; a file
    that was changed just now is read again."""
    knowledge = await world.start()
    old = time.time() - 60
    for file in world.folder.iterdir():
        os.utime(file, (old, old))
    stamps: dict[str, Stamp] = {}
    await sync_folder(knowledge, world.folder, stamps=stamps)
    assert set(stamps) == {"kettle.md", "returns.md", "shipping.md", "urlaub.md"}
    kettle = world.folder / "kettle.md"
    text = kettle.read_text()
    kettle.write_text(text.replace("a month", "a week."))
    os.utime(kettle, (old, old))  # the same size, the same time: not to be told apart
    assert await sync_folder(knowledge, world.folder, stamps=stamps) == FolderSync(0, 4, 0, 0)
    os.utime(kettle)
    assert await sync_folder(knowledge, world.folder, stamps=stamps) == FolderSync(1, 3, 0, 0)
    assert "kettle.md" not in stamps
    (world.folder / "urlaub.md").unlink()
    await sync_folder(knowledge, world.folder, stamps=stamps)
    assert set(stamps) == {"returns.md", "shipping.md"}
    await world.stop(knowledge)


async def test_a_file_that_failed_is_read_again_when_that_is_asked_for(world: World) -> None:
    """reindexKnowledge forgets its hash; then a file that looks unchanged is read, too."""
    (world.folder / "faq.jsonl").write_text("no JSON\n")
    (world.folder / "long.md").write_text(f"---\ntype: {'x' * 61}\n---\nText about tents.\n")
    knowledge = await world.start()
    old = time.time() - 60
    for file in world.folder.iterdir():
        os.utime(file, (old, old))
    stamps: dict[str, Stamp] = {}
    for failed in (0, 0):
        result = await sync_folder(knowledge, world.folder, stamps=stamps)
        assert result == FolderSync(0, 6, 0, failed)
    assert {"faq.jsonl", "long.md"} <= stamps.keys()
    await Document.filter(status=DocumentStatus.FAILED).update(folder_hash="")
    assert await sync_folder(knowledge, world.folder, stamps=stamps) == FolderSync(0, 4, 0, 2)
    await world.stop(knowledge)


async def test_a_missing_folder_removes_nothing(world: World) -> None:
    """A KB_DIR that is not there is a mistake, not a wish to delete everything."""
    first = await world.start()
    assert await sync_folder(first, world.folder / "other") == FolderSync(0, 0, 0, 0)
    assert await Document.filter(deleted_at__isnull=True).count() == 4
    await world.stop(first)


async def test_a_folder_that_became_empty_removes_nothing(world: World) -> None:
    """A drive that is not mounted looks like an empty folder; a file named .empty says that the
    documents are gone indeed."""
    knowledge = await world.start()
    for file in world.folder.iterdir():
        file.unlink()
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 4, 0, 0)
    assert await Document.filter(deleted_at__isnull=True).count() == 4
    assert len(knowledge.index.document_ids()) == 4
    (world.folder / "notes.bin").write_bytes(b"no document")
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 4, 0, 0)
    (world.folder / ".empty").touch()
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 0, 4, 0)
    assert await Document.filter(deleted_at__isnull=True).count() == 0
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 0, 0, 0)
    await world.stop(knowledge)


async def test_more_than_half_of_the_files_are_not_missed_at_once(world: World) -> None:
    """A drive below the folder that is not mounted takes its files with it: the documents stay, and
    somebody is told how to remove them. New files are indexed meanwhile."""
    folder = world.folder / "drive"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.md").write_text(f"# Tent {number}\n\nIt weighs {number} kilograms.\n")
    knowledge = await world.start()
    folder.rename(world.folder.parent / "away")
    (world.folder / "new.md").write_text("# Skis\n\nThey are long.\n")
    assert await sync_folder(knowledge, world.folder) == FolderSync(1, 4, 0, 0)
    assert len(knowledge.index.document_ids()) == 17
    assert knowledge.progress.warning == (
        "The files of 12 of 16 documents are missing: is every drive mounted? The documents stay. "
        "To remove them, write or touch a file named .removed in the folder."
    )
    (world.folder.parent / "away").rename(folder)
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 17, 0, 0)
    assert knowledge.progress.warning is None
    folder.rename(world.folder.parent / "away")
    confirmed = world.folder / ".removed"
    confirmed.touch()
    old = time.time() - 4000
    os.utime(confirmed, (old, old))  # of an earlier time
    assert (await sync_folder(knowledge, world.folder)).removed == 0
    confirmed.touch()
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 5, 12, 0)
    assert knowledge.progress.warning is None
    assert len(knowledge.index.document_ids()) == 5
    await world.stop(knowledge)


async def test_files_that_were_moved_are_not_missing(world: World) -> None:
    """A folder that has got another name is no drive that is away."""
    folder = world.folder / "a"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.md").write_text(f"# Tent {number}\n\nIt weighs {number} kilograms.\n")
    knowledge = await world.start()
    folder.rename(world.folder / "b")
    assert await sync_folder(knowledge, world.folder) == FolderSync(12, 4, 12, 0)
    assert knowledge.progress.warning is None
    paths = await Document.filter(folder_path__startswith="b/", deleted_at__isnull=True).count()
    assert (paths, len(knowledge.index.document_ids())) == (12, 16)
    await world.stop(knowledge)


async def test_what_lies_in_a_folder_that_cannot_be_listed_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder below that may not be read, or whose drive answers with errors, is no empty one."""
    (world.folder / "sub").mkdir()
    (world.folder / "sub" / "tents.md").write_text("# Tents\n\nTwo kilograms.\n")
    (world.folder / "subway.md").write_text("# Subway\n\nLine one.\n")
    knowledge = await world.start()
    (world.folder / "subway.md").unlink()
    real = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert await sync_folder(knowledge, world.folder) == FolderSync(0, 4, 1, 0)
    assert await Document.exists(folder_path="sub/tents.md", deleted_at__isnull=True)
    await world.stop(knowledge)


@pytest.mark.parametrize("deleted", ["with its file", "by an editor"])
@pytest.mark.parametrize("broken", [False, True])
async def test_a_file_that_comes_back_is_seen_by_those_who_saw_it_before(
    world: World, deleted: str, broken: bool
) -> None:
    """A document that was moved out of the public collection does not return into it when its file
    is away for a moment or changes after its document was deleted, even if broken at first."""
    knowledge = await world.start()
    board = await Collection.create(name="Board", audience=Audience.NAMED)
    kettle = await Document.get(folder_path="kettle.md")
    await knowledge.move([kettle.id], board.id)
    text = (world.folder / "kettle.md").read_text()
    if deleted == "by an editor":
        await knowledge.remove(kettle, keep_path=True)
        text += "\nChanged.\n"
    else:
        (world.folder / "kettle.md").unlink()
        for removed in (1, 0):
            assert await sync_folder(knowledge, world.folder) == FolderSync(0, 3, removed, 0)
    if broken:
        (world.folder / "kettle.md").write_bytes(b"\0")
        assert await sync_folder(knowledge, world.folder) == FolderSync(0, 3, 0, 1)
    (world.folder / "kettle.md").write_text(text)
    assert await sync_folder(knowledge, world.folder) == FolderSync(1, 3, 0, 0)
    again = await Document.get(folder_path="kettle.md")
    assert again.id != kettle.id
    assert again.collection_id == board.id
    chunk = await Chunk.get(document_id=again.id)
    assert knowledge.index.collections([chunk.id]) == {chunk.id: str(board.id)}
    await world.stop(knowledge)


async def test_another_process_s_changes_are_taken_over(world: World, tmp_path: Path) -> None:
    """What `ingest` adds beside a running server is searchable there after `catch_up`."""
    server = await world.start()
    other = await world.start()
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "tents.md").write_text("# Tents\n\nThe tent weighs two kilograms.\n")
    result = await sync_folder(other, folder, prefix=f"{folder.as_posix()}/")
    assert result.indexed == 1
    await world.stop(other)
    added = await Document.get(title="Tents")
    assert str(added.id) not in server.index.document_ids()
    assert await server.catch_up() is True
    assert await server.catch_up() is False
    assert str(added.id) in server.index.document_ids()
    pipeline = await server.pipeline()
    hits = (await pipeline.retrieve("How much does the tent weigh?")).hits
    assert hits[0].passage.title == "Tents"
    await sync_folder(server, world.folder)
    assert str(added.id) in server.index.document_ids()
    await world.stop(server)


async def test_the_first_indexing_waits_for_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment fails no file, and does not end the preparation."""
    monkeypatch.setattr("wiring._DATABASE_WAIT", 0.01)
    knowledge = create_knowledge(
        world.settings, Parts(embedder=lambda: world.embedder), world.store
    )
    outages = [StoreUnavailable("database or disk is full")] * 2

    async def sync() -> None:
        if outages:
            raise outages.pop()
        await sync_folder(knowledge, world.folder)

    await prepare_knowledge(knowledge, world.folder, sync=sync)
    assert knowledge.failure is None
    assert (knowledge.progress.ready, knowledge.progress.failed) == (4, 0)
    await world.stop(knowledge)


async def test_an_outage_of_the_database_is_no_fault_of_a_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to whoever looks through the folder, who tries again."""
    knowledge = await world.start()
    (world.folder / "returns.md").write_text("# Returns\n\nNow you have 60 days.\n")
    put = knowledge.put

    async def full(*_: object, **__: object) -> Document:
        raise StoreUnavailable("database or disk is full")

    monkeypatch.setattr(knowledge, "put", full)
    with pytest.raises(StoreUnavailable):
        await sync_folder(knowledge, world.folder)
    assert (await Document.get(folder_path="returns.md")).status is DocumentStatus.READY
    monkeypatch.setattr(knowledge, "put", put)
    assert await sync_folder(knowledge, world.folder) == FolderSync(1, 3, 0, 0)
    await world.stop(knowledge)


async def test_a_model_that_cannot_be_loaded_is_told_to_whoever_asks(world: World) -> None:
    """The failure is kept; nobody waits for ever."""

    def broken() -> FakeEmbedder:
        raise OSError("no such model")

    knowledge = create_knowledge(world.settings, Parts(embedder=broken), world.store)
    await prepare_knowledge(knowledge, world.folder)
    assert not knowledge.is_ready
    assert knowledge.failure is not None
    assert "no such model" in knowledge.failure
    with pytest.raises(NotReady):
        await knowledge.pipeline()
    await world.stop(knowledge)


async def test_no_link_leads_out_of_the_folder(world: World, tmp_path: Path) -> None:
    """Neither a link to a file, nor to a folder, nor one to the mapping of records; nor a link that
    takes a file's place after the folder was listed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("# Secret\n\nThe word is Zirbelnuss.\n")
    (outside / "mapping.json").write_text('{"title": "content"}')
    (world.folder / "linked.md").symlink_to(outside / "secret.md")
    (world.folder / "folder").symlink_to(outside, target_is_directory=True)
    (world.folder / "pipe.md").symlink_to("/proc/self/environ")
    (world.folder / "faq.jsonl").write_text('{"title": "Right", "content": "Words of a record."}\n')
    (world.folder / "faq.jsonl.fields.json").symlink_to(outside / "mapping.json")
    knowledge = await world.start()
    documents = await Document.all()
    assert len(documents) == 5
    assert "Right" in {row.title for row in documents}
    assert not [row for row in documents if "Zirbelnuss" in row.content]
    await world.stop(knowledge)
    for opened in ("linked.md", "faq.jsonl.fields.json"):
        with pytest.raises(OSError, match="symbolic"):
            open_itself(world.folder / opened)
