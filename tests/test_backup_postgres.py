"""The commands of docs/backup.md for PostgreSQL, as they stand there."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from rag.embedding.fake import FakeEmbedder
from tests.application import running_app, test_settings, write_documents
from tests.postgres import PostgresServer, postgres_server, tools
from tests.schema.people import CREATE, Person, person
from tests.test_backup import SESSIONS

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres]

DOCUMENT = Path(__file__).parent.parent / "docs" / "backup.md"
SEARCH = "query($q: String!) { searchKnowledge(query: $q, first: 3) { text document { title } } }"
SEND = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { __typename } }"
QUESTION = "What does error E2 of the kettle mean?"


def command(name: str) -> str:
    """The line of the document that calls a program."""
    lines = [line.strip() for line in DOCUMENT.read_text("utf-8").splitlines()]
    (found,) = [line for line in lines if line.startswith(f"{name} ")]
    return found


async def shell(line: str, folder: Path, url: str) -> None:
    environment = os.environ | {
        "PATH": f"{tools()}:{os.environ['PATH']}",
        "DATABASE_URL": url,
        "DATA_DIR": str(folder / "data"),
    }
    ended = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


async def test_what_was_acknowledged_before_is_there_after(
    postgres: PostgresServer, empty_postgres: str, tmp_path: Path, anyio_backend: str
) -> None:
    """A dump is made while eight people write without pause. It is restored into an empty server;
    GroundQL starts on it, and everything is there that was answered before the dump began: people,
    sessions, and what questions are answered from."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new, tmp_path / "empty-server"):
        folder.mkdir()
    write_documents(old / "kb")
    url = postgres.create(empty_postgres)
    async with running_app(test_settings(old, url), embedder=FakeEmbedder()) as app:
        people = [await person(app, f"Person{number}") for number in range(8)]
        while not app.app.state.knowledge.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        hits = (await app.data(SEARCH, {"q": QUESTION}, people[0].token))["searchKnowledge"]
        assert len(hits) == 3
        made: list[str] = []
        stop = asyncio.Event()

        async def write(one: Person) -> None:
            while not stop.is_set():
                made.append((await one.do(CREATE))["id"])

        writers = [asyncio.create_task(write(one)) for one in people]
        while len(made) < 80:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        known = set(made)
        await shell(command("pg_dump"), tmp_path, url)
        stop.set()
        await asyncio.gather(*writers)
        assert len(known) < len(made)  # they wrote on meanwhile

    with postgres_server(tmp_path / "empty-server") as server:
        restored = server.create()
        (new / "data" / "index").mkdir(parents=True)
        (new / "data" / "index" / "chunks.faiss").write_bytes(b"of another database")
        await shell(command("pg_restore"), tmp_path, restored)
        await shell(command("rm"), new, restored)
        assert not (new / "data" / "index").exists()
        # No documents in the folder: what is found comes from the dump.
        (new / "kb").mkdir()
        settings = test_settings(new, restored, kb_dir=old / "kb", kb_watch=False)
        async with running_app(settings, embedder=FakeEmbedder()) as again:
            found = set()
            for one in people:
                listed = await again.data(SESSIONS, {"n": 100}, one.token)
                ids = [edge["node"]["id"] for edge in listed["sessions"]["edges"]]
                assert len(ids) < 100
                found |= set(ids)
            assert known <= found
            while not again.app.state.knowledge.is_ready:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            same = await again.data(SEARCH, {"q": QUESTION}, people[0].token)
            assert same["searchKnowledge"] == hits
            sent = {"i": {"content": QUESTION, "sessionId": next(iter(found & known))}}
            answers = [await again.data(SEND, sent, one.token) for one in people]
            kinds = [answer["sendMessage"]["__typename"] for answer in answers]
            assert kinds.count("SendMessagePayload") == 1  # only its owner may write into it
