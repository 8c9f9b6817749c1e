"""kill -9 while 200 replies are streamed: what readers saw is there after the restart."""

from __future__ import annotations

import asyncio
import random
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.client import Client, Reading, Socket, check_numbers, client_of, text_of
from tests.faults.conftest import ROUNDS, SEED, Process, start
from tests.faults.server import pieces_of
from tests.postgres import PostgresServer

REPLIES = 200
SOCKETS = 4
# The moment of the kill, counted from the first event that anyone sees. Seconds. Accepting 200
# questions takes about one; the answers take 0.3 to 3.
LATEST = 4.0
RECOVERY_SECONDS = 5


@dataclass
class Figures:
    rounds: int = 0
    acknowledged: int = 0
    complete: int = 0
    interrupted: int = 0
    events: int = 0
    kills: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    """Seconds from the process to its first answer, most of which is Python's imports; the first
    one had nothing to recover."""
    slowest: float = 0.0
    """Seconds in which a start ended what the kill before it had left."""


@pytest.mark.anyio
@pytest.mark.timeout(1200)
async def test_on_sqlite(tmp_path: Path, anyio_backend: str) -> None:
    """20 kills (2 in the quick form) on SQLite lose and repeat nothing."""
    await play(tmp_path, ROUNDS or 2, {})


@pytest.mark.anyio
@pytest.mark.timeout(1200)
async def test_on_postgres(tmp_path: Path, anyio_backend: str, postgres: PostgresServer) -> None:
    """The same on PostgreSQL, with a quarter of the rounds."""
    await play(tmp_path, ROUNDS // 4 or 1, {"DATABASE_URL": postgres.create()})


async def play(folder: Path, rounds: int, settings: dict[str, str]) -> None:
    dice = random.Random(SEED)
    figures = Figures()
    left: list[Reading] = []
    try:
        for number in range(rounds + 1):
            with start(folder, **settings) as process:
                async with client_of(process.url) as client:
                    # All replies have ended before the port is open.
                    started = await process.wait_until("/healthz")
                    figures.starts.append(f"{started:.2f}")
                    for seconds in re.findall(r"left unfinished, in (\S+) s", process.output):
                        figures.slowest = max(figures.slowest, float(seconds))
                    assert figures.slowest < RECOVERY_SECONDS
                    await client.log_in()
                    await check(client, left, figures)
                    if number < rounds:
                        await process.wait_until("/readyz")
                        moment = dice.uniform(0, LATEST)
                        figures.kills.append(f"{moment:.3f}")
                        left = await ask_and_kill(client, process, number, moment)
                        figures.rounds += 1
        assert figures.interrupted > 0
    finally:
        print(f"GROUNDQL_FAULT_SEED={SEED} {figures}")


async def ask_and_kill(
    client: Client, process: Process, number: int, moment: float
) -> list[Reading]:
    """Ask 200 questions, read all answers, kill the server at the moment."""
    readings: list[Reading] = []

    async def ask(socket: Socket) -> None:
        for _ in range(REPLIES // SOCKETS):
            name = f"r{number}q{len(readings)}"
            readings.append(Reading(""))  # keeps the numbers apart while `chat` sends
            place = len(readings) - 1
            readings[place] = await socket.chat(
                f"How long is the return period, question {name} ?", clientKey=name
            )

    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(client.socket()) for _ in range(SOCKETS)]
        asking = asyncio.gather(*map(ask, sockets), return_exceptions=True)
        while not any(reading.acknowledged for reading in readings):  # noqa: ASYNC110 (of many)
            await asyncio.sleep(0.01)
        await asyncio.sleep(moment)
        assert not [reading.errors for reading in readings if reading.errors]
        await asyncio.to_thread(process.kill)
        await asking
        for socket in sockets:
            await socket.wait_closed()
    return readings


async def check(client: Client, left: list[Reading], figures: Figures) -> None:
    """Every acknowledged reply has ended, with what its reader saw at its beginning."""
    acknowledged = [reading for reading in left if reading.acknowledged]
    if not acknowledged:
        return
    whole: list[Reading] = []
    rest: list[Reading] = []
    async with AsyncExitStack() as stack:
        # A socket takes 100 operations at once.
        for first in range(0, len(acknowledged), 50):
            socket = await stack.enter_async_context(client.socket())
            some = acknowledged[first : first + 50]
            whole += [await socket.follow(reading.reply_id) for reading in some]
            rest += [await socket.follow(reading.reply_id, reading.last_seq) for reading in some]
            for reading in (*whole[first:], *rest[first:]):
                await socket.wait(reading)
    for seen, all_of_it, after in zip(acknowledged, whole, rest, strict=True):
        check_numbers(seen.events)
        check_numbers(all_of_it.events)
        assert all_of_it.errors == after.errors == []
        assert all_of_it.events[: len(seen.events)] == seen.events
        assert after.events == all_of_it.events[len(seen.events) :]
        end = all_of_it.events[-1]
        assert end["__typename"] == "ReplyEnded"
        assert end["reply"]["id"] == seen.reply_id
        assert end["reply"]["status"] in ("COMPLETE", "INTERRUPTED")
        content = end["reply"]["content"]
        assert content == text_of(all_of_it.events)
        question = seen.events[0]["message"]["content"]
        # Nothing is missing inside of the text and nothing is there twice.
        pieces = pieces_of(question, content.count(":"))
        assert content.rstrip() == "".join(pieces).rstrip()
        if end["reply"]["status"] == "COMPLETE":
            figures.complete += 1
            assert end["reply"]["failure"] is None
        else:
            figures.interrupted += 1
            assert not seen.ended
            assert end["reply"]["failure"]
        figures.events += len(all_of_it.events)
        figures.acknowledged += 1
    # Questions and replies are in the history, too.
    for seen in random.Random(SEED).sample(acknowledged, min(5, len(acknowledged))):
        started = seen.events[0]
        question, reply = await client.messages(started["session"]["id"])
        assert question["id"] == started["message"]["id"]
        assert question["content"] == started["message"]["content"]
        assert reply["id"] == seen.reply_id
