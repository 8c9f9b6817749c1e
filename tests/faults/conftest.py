"""Servers that are treated badly, and figures on what they hold."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.application import write_documents
from tests.e2e.conftest import ROOT, clean_environment, free_port
from tests.wire.openai_server import OpenAIWireServer

# `make faults` sets these: the quick forms are for `make test`.
ROUNDS = int(os.environ.get("GROUNDQL_FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("GROUNDQL_FAULT_SEED", "0")) or int(time.time())
# How long a disk or a database is away. Seconds.
OUTAGE = 10.0 if ROUNDS else 3.0

START_SECONDS = 60


@dataclass
class Process:
    """A server of `tests.faults.server` that runs."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    spawned_at: float

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    async def wait_until(self, path: str) -> float:
        """Wait until a page answers 200; gives the seconds since the process was spawned."""
        async with httpx.AsyncClient(timeout=10) as http:
            while True:
                assert self.process.poll() is None, self.output
                assert time.monotonic() < self.spawned_at + START_SECONDS, self.output
                try:
                    if (await http.get(f"{self.url}{path}")).status_code == 200:
                        return time.monotonic() - self.spawned_at
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 40) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def open_files(self) -> int:
        """File descriptors, sockets included."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def memory(self) -> float:
        """Private memory in MiB."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        lines = (line.split() for line in rollup.splitlines())
        return sum(int(line[1]) for line in lines if line[0].startswith("Private_")) / 1024


@contextmanager
def start(folder: Path, **variables: str) -> Iterator[Process]:
    """A server with DATA_DIR in `folder`; killed at the end if it still runs."""
    write_documents(folder / "kb")
    port = free_port()
    settings = {
        "PORT": str(port),
        "DATA_DIR": str(folder / "data"),
        "KB_DIR": str(folder / "kb"),
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "PYTHONPATH": str(ROOT),
        "GENERATOR": "offline",
        # The tests are faster than people are.
        "MESSAGES_PER_MINUTE": "0",
        "ADDRESS_MESSAGES_PER_MINUTE": "0",
        "UPLOADS_PER_MINUTE": "0",
        "SOCKETS_PER_ADDRESS": "0",
        "SUBSCRIPTIONS_PER_USER": "0",
        **variables,
    }
    log = folder / "server.log"
    with log.open("ab") as output:
        spawned_at = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            cwd=folder,
            env=clean_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Process(f"http://127.0.0.1:{port}", log, process, spawned_at)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def wire() -> Iterator[OpenAIWireServer]:
    with OpenAIWireServer() as running:
        yield running


def wired(wire: OpenAIWireServer, **more: str) -> dict[str, str]:
    """The settings of a server that asks the wire server."""
    return {
        "GENERATOR": "openai",
        "OPENAI_API_KEY": "any",
        "OPENAI_BASE_URL": wire.base_url,
        "OPENAI_MODEL": "test-model",
        **more,
    }
