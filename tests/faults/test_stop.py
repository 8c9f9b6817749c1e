"""SIGTERM: what runs may end, the rest is interrupted, sockets close after their last event."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.faults.client import SEND, check_numbers, client_of, text_of
from tests.faults.conftest import start
from tests.faults.test_store_away import locked

pytestmark = pytest.mark.anyio

LONG = {"FAULT_PIECES": "600-600", "FAULT_PAUSE": "0.05"}


async def test_a_stop_in_the_middle_of_replies(tmp_path: Path, anyio_backend: str) -> None:
    """Short replies end within the grace, long ones are INTERRUPTED; every socket gets its last
    event and then 1012; nothing new is taken; the exit code is 0, without a traceback."""
    with start(tmp_path, SHUTDOWN_GRACE="2", **LONG) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            await client.log_in()
            async with client.socket() as one, client.socket() as two, client.socket() as idle:
                long = [await one.chat(f"Returns, question long{n} ?") for n in range(20)]
                for reading in long:
                    await one.wait(reading, events=5)
                short = [await two.chat(f"Returns, question short{n} ?") for n in range(20)]
                for reading in short:
                    await two.wait(reading, events=2)
                begun = time.monotonic()
                process.terminate()
                # A socket without an operation closes at once, one with short replies after these.
                assert await idle.wait_closed(seconds=1) == 1012
                await refused(client.url, client.token)
                assert await two.wait_closed(seconds=2) == 1012
                assert await one.wait_closed(seconds=5) == 1012
                assert await asyncio.to_thread(process.wait) == 0
                assert 2 <= time.monotonic() - begun < 6
    assert "Traceback" not in process.output, process.output
    assert process.output.endswith("Threads at the end: MainThread\n")
    for number, reading in enumerate(short):
        check_numbers(reading.events)
        assert reading.complete
        assert reading.events[-1]["reply"]["status"] == "COMPLETE"
        content = "".join(f"short{number}:{piece} " for piece in range(1, 6))
        assert reading.events[-1]["reply"]["content"] == text_of(reading.events) == content
    for reading in long:
        check_numbers(reading.events)
        assert reading.complete
        assert reading.events[-1]["reply"]["status"] == "INTERRUPTED"
        assert reading.events[-1]["reply"]["content"] == text_of(reading.events)
    # And so it is read after the next start.
    with start(tmp_path) as process:
        async with client_of(process.url) as again:
            await process.wait_until("/healthz")
            again.token = client.token
            for reading in (short[0], long[0]):
                assert await again.read(reading.reply_id) == reading.events


async def refused(url: str, token: str | None) -> None:
    """Neither a question nor a socket is taken while the server stops."""
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    body = {"query": SEND, "variables": {"i": {"content": "Too late?"}}}
    async with httpx.AsyncClient() as http:
        try:
            response = await http.post(f"{url}/graphql", json=body, headers=headers)
        except httpx.ConnectError:
            pass  # the port is closed already, which is as good
        else:
            assert response.status_code == 503
            (error,) = response.json()["errors"]
            assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    with pytest.raises((InvalidStatus, ConnectionRefusedError)):
        await connect(
            url.replace("http", "ws", 1) + "/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
        )


async def test_a_stop_while_the_database_is_away(tmp_path: Path, anyio_backend: str) -> None:
    """The stop does not wait for ever: what could not be written is ended by the next start."""
    with start(tmp_path, SHUTDOWN_GRACE="0.5", **LONG) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            await client.log_in()
            async with client.socket() as socket:
                reading = await socket.chat("Returns, question long ?")
                await socket.wait(reading, events=5)
                async with locked(tmp_path / "data" / "groundql.db"):
                    process.terminate()
                    assert await asyncio.to_thread(process.wait) == 0
                assert await socket.wait_closed() == 1012
    assert "Traceback" not in process.output, process.output
    with start(tmp_path) as process:
        async with client_of(process.url) as again:
            await process.wait_until("/healthz")
            again.token = client.token
            events = await again.read(reading.reply_id)
            assert events[: len(reading.events)] == reading.events
            assert json.dumps(events[-1]).count("INTERRUPTED") == 1
