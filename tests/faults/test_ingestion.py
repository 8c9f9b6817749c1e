"""kill -9 while documents are sent and indexed: what was acknowledged is indexed, as a whole."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from models.chunk import Chunk
from models.document import Document, DocumentStatus
from models.ingestion import IngestionTask
from models.store import Store
from tests.faults.conftest import ROUNDS, SEED, Process, start
from tests.postgres import PostgresServer

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
KEYS = 30
SENDERS = 4
# The moment of the kill, counted from the first acknowledgement. Seconds.
LATEST = 1.5
PARTS = 6


def text_of(key: str, version: int) -> str:
    """Several passages, each of which names the version."""
    words = " ".join(["The tent weighs two kilograms and sleeps three people."] * 12)
    return "\n\n".join(f"# Part {part} of {key} v{version}.\n\n{words}" for part in range(PARTS))


@pytest.mark.anyio
@pytest.mark.timeout(600)
async def test_on_sqlite(tmp_path: Path, anyio_backend: str) -> None:
    """10 kills (3 in the quick form) on SQLite."""
    url = f"sqlite://{tmp_path / 'data' / 'groundql.db'}"
    await play(tmp_path, url, ROUNDS // 2 or 3, {})


@pytest.mark.anyio
@pytest.mark.timeout(600)
async def test_on_postgres(tmp_path: Path, anyio_backend: str, postgres: PostgresServer) -> None:
    """The same on PostgreSQL, with fewer kills."""
    url = postgres.create()
    await play(tmp_path, url, ROUNDS // 4 or 2, {"DATABASE_URL": url})


async def play(folder: Path, url: str, rounds: int, settings: dict[str, str]) -> None:
    dice = random.Random(SEED)
    sent: dict[str, int] = {}
    acknowledged: dict[str, int] = {}
    waiting = 0
    print(f"GROUNDQL_FAULT_SEED={SEED}")
    for number in range(rounds):
        with start(folder, WEBHOOK_SECRET=SECRET, **settings) as process:
            await process.wait_until("/readyz")
            await send_and_kill(process, sent, acknowledged, dice.uniform(0.05, LATEST), number)
        waiting += await check(url, sent, acknowledged, settled=False)
    # Some kills at least came while something waited, or this would show nothing.
    assert waiting > 0
    with start(folder, WEBHOOK_SECRET=SECRET, **settings) as process:
        await process.wait_until("/readyz")
        await drained(url)
        process.terminate()
        assert process.wait() == 0
    assert await check(url, sent, acknowledged, settled=True) == 0


async def send_and_kill(
    process: Process,
    sent: dict[str, int],
    acknowledged: dict[str, int],
    moment: float,
    number: int,
) -> None:
    """Send new versions of random documents, kill the server at the moment."""
    webhook = Webhook(SECRET)
    first = asyncio.Event()

    async def send(sender: int, http: httpx.AsyncClient) -> None:
        # Each sender has its own keys: versions of one key are sent in their order.
        dice = random.Random(f"{SEED} {number} {sender}")
        while True:
            key = f"k{dice.randrange(KEYS // SENDERS) * SENDERS + sender}"
            version = sent[key] = sent.get(key, 0) + 1
            body = json.dumps({"key": key, "title": key, "content": text_of(key, version)})
            id, now = f"{key}v{version}", datetime.now(UTC)
            headers = {
                "webhook-id": id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": webhook.sign(id, now, body),
            }
            try:
                answer = await http.post(
                    f"{process.url}/webhooks/knowledge", content=body, headers=headers
                )
            except httpx.TransportError:
                return
            assert answer.status_code == 202, answer.text
            acknowledged[key] = version
            first.set()

    async with httpx.AsyncClient(timeout=20) as http:
        sending = [asyncio.create_task(send(sender, http)) for sender in range(SENDERS)]
        await first.wait()
        await asyncio.sleep(moment)
        await asyncio.to_thread(process.kill)
        await asyncio.gather(*sending)


async def check(
    url: str, sent: dict[str, int], acknowledged: dict[str, int], *, settled: bool
) -> int:
    """Every document is one whole version, and what was acknowledged is there or waits. Gives how
    many wait."""
    store = Store(url)
    await store.open()
    try:
        tasks = {task.document_id: task for task in await IngestionTask.all()}
        rows = {row.key: row for row in await Document.filter(key__isnull=False)}
        for key, version in acknowledged.items():
            row = rows[key]
            task = tasks.get(row.id)
            newest = task.payload.decode() if task and task.payload else row.content
            # What was under way when the server died may have been stored without an answer.
            assert newest in (text_of(key, version), text_of(key, sent[key])), key
            if settled:
                assert row.status is DocumentStatus.READY
        for row in rows.values():
            chunks = await Chunk.filter(document_id=row.id).order_by("position")
            assert len(chunks) == row.chunk_count
            for chunk in chunks:
                assert chunk.text == row.content[chunk.start : chunk.end]
            if chunks:
                assert chunks[-1].end == len(row.content)
        return len(tasks)
    finally:
        await store.close()


async def drained(url: str) -> None:
    store = Store(url)
    await store.open()
    try:
        while await IngestionTask.all().exists():  # noqa: ASYNC110 (of another process)
            await asyncio.sleep(0.1)
    finally:
        await store.close()
