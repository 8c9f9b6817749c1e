"""Readers come and go by the thousand: nothing is left of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.faults.client import FOLLOW, Client, check_numbers, client_of
from tests.faults.conftest import ROUNDS, Process, start

pytestmark = pytest.mark.anyio

TIMES = 1000 if ROUNDS else 300
AT_ONCE = 20


async def test_a_thousand_readers(tmp_path: Path, anyio_backend: str) -> None:
    """A reader who connects 1,000 times (300 in the quick form), by socket and by HTTP stream, and
    leaves in every way, costs no file, no thread, no task and no memory; the reply goes on."""
    with start(tmp_path, FAULT_PIECES="3000-3000", FAULT_PAUSE="0.05") as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            await client.log_in()
            async with client.socket() as socket:
                reading = await socket.chat("Returns, question long ?")
                await socket.wait(reading, events=3)
                # What is made once, such as caches and threads, is made by the first hundred.
                await come_and_go(client, reading.reply_id, 100)
                before = await settled(process)
                await come_and_go(client, reading.reply_id, TIMES)
                after = await settled(process)
                stopped = await client.data(
                    "mutation ($id: ID!) { stopReply(id: $id) { ... on ChatMessage { status } } }",
                    id=reading.reply_id,
                )
                assert stopped["stopReply"] == {"status": "STOPPED"}
                await socket.wait(reading)
            check_numbers(reading.events)
            process.terminate()
            assert await asyncio.to_thread(process.wait) == 0
    assert "Traceback" not in process.output, process.output
    print("Files, threads, MiB:", before, after)
    files, threads, memory = (new - old for new, old in zip(after, before, strict=True))
    assert files == 0
    assert threads == 0
    # A socket's tasks and buffers are 30 KiB and more, so that 1,000 that stay would be 30 MiB, 300
    # of them 9. The allocator's own noise was below 2 MiB.
    assert memory < 5, f"{memory:.1f} MiB more than before"


async def settled(process: Process) -> tuple[int, int, float]:
    """Open files, threads and MiB, once the last connections are closed."""
    await asyncio.sleep(1)
    return process.open_files(), process.threads(), process.memory()


async def come_and_go(client: Client, reply_id: str, times: int) -> None:
    """Read the first events, then leave: in order, in the middle, or without a word."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turn:
            if number % 4 == 3:
                await stream(client, reply_id)
                return
            async with client.socket() as socket:
                reading = await socket.follow(reply_id)
                if number % 4 == 0:  # leaves before the first event
                    return
                await socket.wait(reading, events=3)
                check_numbers(reading.events)
                if number % 4 == 2:
                    socket.abort()

    await asyncio.gather(*(one(number) for number in range(times)))


async def stream(client: Client, reply_id: str) -> None:
    """Read by server-sent events, and leave in the middle."""
    headers = {"authorization": f"Bearer {client.token}", "accept": "text/event-stream"}
    body = {"query": FOLLOW, "variables": {"id": reply_id, "a": 0}}
    async with client.http.stream(
        "POST", f"{client.url}/graphql", json=body, headers=headers
    ) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))["data"]["event"]
                if event["seq"] == 3:
                    return
