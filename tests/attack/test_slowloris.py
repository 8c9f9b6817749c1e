"""slowloris keeps 300 connections open with heads that never end."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from tests.attack.conftest import Target, tool

CONNECTIONS = 300
ROUNDS = 6  # of 4 seconds: longer than a head may take


def test_slow_heads_are_closed_and_others_served(production: Target, tmp_path: Path) -> None:
    """The tool has to make its connections anew, and a person is answered all the time."""
    log = tmp_path / "slowloris.log"
    address, _, port = production.process.url.removeprefix("http://").partition(":")
    with log.open("wb") as output:
        attack = subprocess.Popen(
            [
                tool("slowloris"), address, "--port", port, "--sockets", str(CONNECTIONS),
                "--sleeptime", "4",
            ],
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        idle = production.process.open_files()
        rounds = 0
        deadline = time.monotonic() + 90
        while rounds < ROUNDS:
            assert time.monotonic() < deadline, log.read_text()
            assert attack.poll() is None, log.read_text()
            assert production.data("{ __typename }") == {"__typename": "Query"}
            time.sleep(0.2)
            rounds = log.read_text().count("Sending keep-alive headers")
    finally:
        attack.kill()
        attack.wait()
    anew = sum(map(int, re.findall(r"Creating (\d+) new sockets", log.read_text())))
    assert anew >= CONNECTIONS, log.read_text()
    deadline = time.monotonic() + 30
    while production.process.open_files() > idle + 10:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    production.never_stumbled()
