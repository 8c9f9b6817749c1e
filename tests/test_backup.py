"""`server.py backup` and `server.py restore`."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

import backup_commands
import server
from models.backup import backup, restore
from models.security_event import SecurityEvent
from models.store import IN_USE, Store, StoreError
from rag.embedding.fake import FakeEmbedder
from settings import Settings
from tests.application import Running, running_app, test_settings
from tests.schema.people import CREATE, Person, person

pytestmark = pytest.mark.anyio

SESSIONS = "query($n: Int) { sessions(first: $n) { edges { node { id } } } }"


@pytest.fixture
def settings(empty_sqlite: Path, tmp_path: Path) -> Settings:
    (tmp_path / "kb").mkdir()
    shutil.copy(empty_sqlite, tmp_path / "test.db")
    return test_settings(tmp_path, f"sqlite://{tmp_path / 'test.db'}")


def sessions(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM chat_session").fetchone()[0])


def names(folder: Path, pattern: str) -> list[str]:
    return [path.name for path in folder.glob(pattern)]


async def test_what_was_acknowledged_before_is_there_after(
    settings: Settings, tmp_path: Path, anyio_backend: str
) -> None:
    """Backups are made while eight people write without pause. Each is whole, holds everything
    that was answered before it began, and a server starts with it."""
    async with running_app(settings, embedder=FakeEmbedder()) as app:
        people = [await person(app, f"Person{number}") for number in range(8)]
        made: list[str] = []
        stop = asyncio.Event()

        async def write(one: Person) -> None:
            while not stop.is_set():
                made.append((await one.do(CREATE))["id"])

        writers = [asyncio.create_task(write(one)) for one in people]
        known: dict[Path, set[str]] = {}
        for number in range(4):
            wanted = len(made) + 40
            while len(made) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            file = tmp_path / f"{number}.backup"
            known[file] = set(made)
            assert await backup_commands.backup(settings, file, force=False) == 0
        stop.set()
        await asyncio.gather(*writers)
        assert len(known[file]) < len(made)  # they wrote on meanwhile
    for file in known:
        found = sessions(file)
        assert len(known[file]) <= found < len(made)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert names(tmp_path, "*.backup?*") == []
    file = tmp_path / "2.backup"
    index = settings.data_dir / "index"
    index.mkdir(parents=True, exist_ok=True)
    (index / "chunks.faiss").write_bytes(b"of another database")
    assert await backup_commands.restore(settings, file, force=True) == 0
    assert not index.exists()
    async with running_app(settings, embedder=FakeEmbedder()) as again:
        found_ids = set()
        for one in people:
            listed = await again.data(SESSIONS, {"n": 100}, one.token)
            ids = [edge["node"]["id"] for edge in listed["sessions"]["edges"]]
            assert len(ids) < 100
            found_ids |= set(ids)
        assert found_ids >= known[file]
        assert await create(again, people[0])


async def create(app: Running, who: Person) -> str:
    made = await app.data(CREATE, token=who.token)
    found: str = made["createSession"]["id"]
    return found


async def test_nothing_is_overwritten_without_force(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.write_text("mine")
    with pytest.raises(StoreError, match="copy exists; it is overwritten only with --force"):
        await backup_commands.backup(settings, file, force=False)
    assert file.read_text() == "mine"
    assert await backup_commands.backup(settings, file, force=True) == 0
    assert sessions(file) == 0
    before = (tmp_path / "test.db").read_bytes()
    with pytest.raises(StoreError, match=r"test\.db exists"):
        await backup_commands.restore(settings, file, force=False)
    with pytest.raises(StoreError, match=r"test\.db exists"):
        await backup_commands.backup(settings, tmp_path / "test.db", force=True)
    assert (tmp_path / "test.db").read_bytes() == before


async def test_a_running_server_is_not_restored_over(settings: Settings, tmp_path: Path) -> None:
    """Its people would write into a file that is gone."""
    file = tmp_path / "copy"
    await backup_commands.backup(settings, file, force=False)
    async with running_app(settings, embedder=FakeEmbedder()) as app:
        with pytest.raises(StoreError, match=IN_USE[:20]):
            await backup_commands.restore(settings, file, force=True)
        await app.login()


async def test_what_is_no_backup_is_refused(settings: Settings, tmp_path: Path) -> None:
    """A text, a torn file, a file with a flipped page, another program's database: the database
    that is there stays as it is."""
    database = tmp_path / "test.db"
    good = tmp_path / "good"
    backup(database, good)
    bad = tmp_path / "bad"
    content = good.read_bytes()
    before = database.read_bytes()
    for wrong, reason in (
        (b"not a database, but long enough to be read as one" * 100, "not an SQLite database"),
        (content[: len(content) // 2], "damaged"),
        (content[:8192] + b"\xff" * 4096 + content[12288:], "damaged"),
    ):
        bad.write_bytes(wrong)
        with pytest.raises(StoreError, match=reason):
            await backup_commands.restore(settings, bad, force=True)
        assert database.read_bytes() == before
    bad.unlink()
    with closing(sqlite3.connect(bad)) as connection:
        connection.execute("CREATE TABLE recipe (name)")
    with pytest.raises(StoreError, match="not a backup of this server"):
        restore(bad, database, force=True)
    with pytest.raises(StoreError, match="There is no file"):
        restore(tmp_path / "nothing", database, force=True)
    with pytest.raises(StoreError, match="There is no database"):
        backup(tmp_path / "nothing", tmp_path / "copy")
    with pytest.raises(StoreError, match="cannot be written"):
        backup(database, good / "below-a-file")
    assert database.read_bytes() == before
    assert names(tmp_path, "*.part") == []


async def test_other_databases_have_tools_of_their_own(tmp_path: Path) -> None:
    for url, reason in (("postgres://host/name", "pg_dump"), ("sqlite://:memory:", "in memory")):
        with pytest.raises(StoreError, match=reason):
            await backup_commands.backup(test_settings(tmp_path, url), tmp_path / "x", force=False)


def test_the_commands(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`backup FILE`, then `restore FILE` into another folder: a wrong call ends with 2."""
    monkeypatch.setattr(server, "load_settings", lambda: settings)
    monkeypatch.setattr(server, "configure_logging", lambda *_: None)
    file = tmp_path / "copy"
    assert server.main(["backup", str(file)]) == 0
    assert server.main(["backup", str(file)]) == 2
    (tmp_path / "new").mkdir()
    elsewhere = test_settings(tmp_path / "new", f"sqlite://{tmp_path / 'new' / 'other.db'}")
    monkeypatch.setattr(server, "load_settings", lambda: elsewhere)
    assert server.main(["restore", str(file)]) == 0
    assert sessions(tmp_path / "new" / "other.db") == 0


async def test_backups_are_noted(settings: Settings, tmp_path: Path) -> None:
    """Each in the database that is used afterwards, with the system's user; a database without the
    table, of an older version, is copied all the same."""
    file = tmp_path / "copy"

    async def kinds() -> list[str]:
        store = Store(settings.store_url)
        await store.open()
        try:
            events = await SecurityEvent.all().order_by("id")
            assert all(" by " in one.device and not one.address for one in events)
            return [one.kind for one in events]
        finally:
            await store.close()

    assert await backup_commands.backup(settings, file, force=False) == 0
    assert await kinds() == ["BACKUP_MADE"]
    assert await backup_commands.restore(settings, file, force=True) == 0
    assert await kinds() == ["BACKUP_RESTORED"]
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        connection.execute("DROP TABLE security_event")
    assert await backup_commands.backup(settings, file, force=True) == 0
