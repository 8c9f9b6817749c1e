"""The disk is full, or the database is away, for a while: replies wait and go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.client import SEND, Client, Reading, check_numbers, client_of, text_of
from tests.faults.conftest import OUTAGE, Process, start
from tests.faults.server import pieces_of
from tests.postgres import PostgresServer, postgres_server

pytestmark = pytest.mark.timeout(240)  # the first test waits for all outages

RUNNING = 12
# What a question gets.
ACCEPTED, UNAVAILABLE = "accepted", "SERVICE_UNAVAILABLE"
# The longest that anyone waits for an answer while the store is away. Seconds.
PATIENCE = 12
# SQLite waits this long for another process's lock; the outage must be longer to be one.
LOCKED = max(OUTAGE, 7.0)
# Longer than a statement may take, in the long form. (`tests/models` has the limit alone.)
HUNG = 13.0 if OUTAGE > 3 else OUTAGE

Fault = AbstractAsyncContextManager[None]


def slow(seconds: float) -> dict[str, str]:
    """The settings for answers that take longer than an outage of so many seconds."""
    return {
        "FAULT_PIECES": f"{int(seconds * 10) + 30}-{int(seconds * 10) + 30}",
        "FAULT_PAUSE": "0.1",
    }


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 24 MB at the folder, where the machine lets us mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@asynccontextmanager
async def disk_full(folder: Path) -> AsyncIterator[None]:
    """Take all space that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
        with pytest.raises(OSError, match="No space left"):
            file.write(b"x")
    try:
        yield
    finally:
        ballast.unlink()


@asynccontextmanager
async def files_limited(process: Process, folder: Path) -> AsyncIterator[None]:
    """Let no file of the server grow: the nearest to a full disk where nothing can be mounted."""
    size = max(path.stat().st_size for path in (folder / "data").glob("groundql.db*"))
    pid, unlimited = process.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, unlimited))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Another process holds the write lock. (Another connection: SQLite cannot tell.)"""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@asynccontextmanager
async def frozen(server: PostgresServer) -> AsyncIterator[None]:
    """PostgreSQL neither answers nor closes its connections, as when its machine hangs."""
    processes = server.processes()
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@asynccontextmanager
async def stopped(server: PostgresServer) -> AsyncIterator[None]:
    """PostgreSQL is not there at all."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def fill_the_disk(folder: Path, postgres: PostgresServer) -> list[str]:
    disk = folder / "disk"
    with small_disk(disk) as mounted, start(disk, **slow(OUTAGE)) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            fault = disk_full(disk) if mounted else files_limited(process, disk)
            return await live_through(client, process, fault, OUTAGE)


async def lock_the_file(folder: Path, postgres: PostgresServer) -> list[str]:
    with start(folder, **slow(LOCKED)) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            fault = locked(folder / "data" / "groundql.db")
            return await live_through(client, process, fault, LOCKED, history=True)


async def freeze_postgres(folder: Path, postgres: PostgresServer) -> list[str]:
    with start(folder, DATABASE_URL=postgres.create(), **slow(HUNG)) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            return await live_through(client, process, frozen(postgres), HUNG)


async def restart_postgres(folder: Path, postgres: PostgresServer) -> list[str]:
    with start(folder, DATABASE_URL=postgres.create(), **slow(OUTAGE)) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            return await live_through(client, process, stopped(postgres), OUTAGE)


Scenario = Callable[[Path, PostgresServer], Coroutine[Any, Any, list[str]]]
SCENARIOS: tuple[Scenario, ...] = (fill_the_disk, lock_the_file, freeze_postgres, restart_postgres)


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[Scenario, list[str] | BaseException]:
    """What new questions got in each outage. They mostly wait, so all of them run at once, each
    with a server of its own, and with a PostgreSQL of its own, which may be stopped."""
    folders = [tmp_path_factory.mktemp(scenario.__name__) for scenario in SCENARIOS]

    async def run(servers: list[PostgresServer]) -> list[list[str] | BaseException]:
        plays = [
            play(folder, server)
            for play, folder, server in zip(SCENARIOS, folders, servers, strict=True)
        ]
        return list(await asyncio.gather(*plays, return_exceptions=True))

    with (
        postgres_server(tmp_path_factory.mktemp("hung")) as hung,
        postgres_server(tmp_path_factory.mktemp("restarted")) as restarted,
    ):
        results = asyncio.run(run([hung, hung, hung, restarted]))
    return dict(zip(SCENARIOS, results, strict=True))


def outcome_of(
    outcomes: dict[Scenario, list[str] | BaseException], scenario: Scenario
) -> list[str]:
    outcome = outcomes[scenario]
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def test_the_disk_is_full(outcomes: dict[Scenario, list[str] | BaseException]) -> None:
    """While the disk is full replies wait, new questions are refused; once there is room replies
    go on."""
    assert set(outcome_of(outcomes, fill_the_disk)) == {UNAVAILABLE}


def test_another_process_holds_the_lock(
    outcomes: dict[Scenario, list[str] | BaseException],
) -> None:
    """While another process writes to the SQLite file replies wait; history can be read."""
    assert set(outcome_of(outcomes, lock_the_file)) == {UNAVAILABLE, ACCEPTED}


def test_postgres_hangs(outcomes: dict[Scenario, list[str] | BaseException]) -> None:
    """While PostgreSQL does not answer replies wait; nobody waits for it longer than 12 s."""
    assert set(outcome_of(outcomes, freeze_postgres)) == (
        {ACCEPTED} if HUNG < 10 else {UNAVAILABLE, ACCEPTED}
    )


def test_postgres_restarts(outcomes: dict[Scenario, list[str] | BaseException]) -> None:
    """While PostgreSQL is stopped replies wait; the server finds it again by itself."""
    assert set(outcome_of(outcomes, restart_postgres)) >= {UNAVAILABLE}


async def live_through(
    client: Client, process: Process, fault: Fault, seconds: float, *, history: bool = False
) -> list[str]:
    """Let replies run into an outage and out of it again; what new questions got meanwhile."""
    await client.log_in()
    async with client.socket() as socket:
        readings = [
            await socket.chat(f"How long is the return period, question a{number} ?")
            for number in range(RUNNING)
        ]
        for reading in readings:
            await socket.wait(reading, events=5)
        files, threads = process.open_files(), process.threads()
        asked: list[asyncio.Task[tuple[float, dict[str, Any]]]] = []
        async with fault:
            begun = time.monotonic()
            await asyncio.sleep(0.5)
            before = [len(reading.events) for reading in readings]
            while time.monotonic() < begun + seconds:
                asked.append(asyncio.create_task(ask(client, f"short{len(asked)}")))
                if history:
                    session = readings[0].events[0]["session"]["id"]
                    reading_begun = time.monotonic()
                    assert len(await client.messages(session)) == 2
                    assert time.monotonic() < reading_begun + 2
                await asyncio.sleep(0.5)
            # Nothing is shown that is not stored.
            assert [len(reading.events) for reading in readings] == before
        answers = await asyncio.gather(*asked)
        for reading in readings:
            await socket.wait(reading, seconds=seconds + 30)
    for number, reading in enumerate(readings):
        assert reading.errors == []
        check_numbers(reading.events)
        end = reading.events[-1]["reply"]
        assert (end["status"], end["failure"]) == ("COMPLETE", None)
        count = end["content"].count(":")
        assert count == int(seconds * 10) + 30
        assert end["content"] == text_of(reading.events)
        assert end["content"].rstrip() == "".join(pieces_of(f"question a{number}", count)).rstrip()
    outcomes = [await outcome(client, reply, waited) for waited, reply in answers]
    # It is as it was before: what is asked now is answered, and nothing was left open.
    await wait_for(await client.send("Shipping to Switzerland, question short ?"), client)
    # The pool of PostgreSQL's connections may have grown from one to its five meanwhile.
    assert process.open_files() <= files + 4
    assert process.threads() <= threads + 1  # asyncio's own, for looking up an address
    process.terminate()
    assert await asyncio.to_thread(process.wait) == 0
    assert "Traceback" not in process.output, process.output
    return outcomes


async def ask(client: Client, name: str) -> tuple[float, dict[str, Any]]:
    """Ask something new; the seconds until the answer, and the answer."""
    begun = time.monotonic()
    answer = await client.post(SEND, i={"content": f"Shipping, question {name} ?"})
    return time.monotonic() - begun, answer


async def outcome(client: Client, answer: dict[str, Any], waited: float) -> str:
    """What a question got: `accepted`, then it is kept and answered; or the code of the error."""
    assert waited < PATIENCE, answer
    if "errors" in answer:
        (error,) = answer["errors"]
        code: str = error["extensions"]["code"]
        assert code == UNAVAILABLE, error
        return code
    await wait_for(answer["data"]["sendMessage"], client)
    return ACCEPTED


async def wait_for(payload: dict[str, Any], client: Client) -> None:
    """An accepted question is in the history, and its reply comes to its end."""
    async with client.socket() as socket:
        reading: Reading = await socket.follow(payload["reply"]["id"])
        await socket.wait(reading)
    check_numbers(reading.events)
    assert reading.events[-1]["reply"]["status"] == "COMPLETE"
    question, reply = await client.messages(payload["session"]["id"])
    assert question["id"] == payload["message"]["id"]
    assert reply["content"] == text_of(reading.events)
