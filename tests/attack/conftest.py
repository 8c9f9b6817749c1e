"""Public attack tools against servers of their own: `make attack`.

The tools live in an environment of their own (`.venv-attack`), since they are no part of the
product and pin other versions of what it uses.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.application import PASSWORD
from tests.e2e.conftest import ROOT
from tests.faults.conftest import Process, start

TOOLS = Path(os.environ.get("GROUNDQL_ATTACK_TOOLS", ROOT / ".venv-attack" / "bin"))


def tool(name: str) -> str:
    """The path of a tool; without it the test is skipped, which CI forbids."""
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{name} is not installed: make attack")
    return str(path)


def run_tool(
    *command: str | Path, folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end in a folder of its own, and check that it ended."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@dataclass
class Target:
    """A running server, and a client that nobody is logged in with."""

    process: Process
    folder: Path
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"{self.process.url}/graphql"

    def post(self, query: str, token: str | None = None, **variables: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = {"query": query, "variables": variables}
        answer: dict[str, Any] = self.http.post(self.url, json=body, headers=headers).json()
        return answer

    def data(self, query: str, token: str | None = None, **variables: Any) -> dict[str, Any]:
        answer = self.post(query, token, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def log_in(self, name: str, role: str = "USER") -> str:
        """Register if need be, and log in: an access token."""
        address = f"{name}@example.com"
        entry = {"email": address, "password": PASSWORD}
        self.data("mutation($i: RegisterInput!) { register(input: $i) { __typename } }", i=entry)
        with closing(sqlite3.connect(self.folder / "data" / "groundql.db", timeout=30)) as base:
            base.execute("UPDATE user_account SET role = ? WHERE email = ?", (role, address))
            base.commit()
        made = self.data(
            "mutation($i: LoginInput!) { login(input: $i) { ... on AuthTokens { accessToken } } }",
            i=entry,
        )
        token: str = made["login"]["accessToken"]
        return token

    def never_stumbled(self) -> None:
        """It runs, answers, and has logged no error."""
        assert self.process.process.poll() is None, self.process.output
        assert self.data("{ __typename }") == {"__typename": "Query"}
        for line in self.process.output.splitlines():
            assert "Traceback" not in line, self.process.output
            assert " ERROR " not in line, line


@contextmanager
def target(folder: Path, **settings: str) -> Iterator[Target]:
    with start(folder, **settings) as process, httpx.Client(timeout=30) as http:
        asyncio.run(process.wait_until("/readyz"))
        yield Target(process, folder, http)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """As it runs on the Internet."""
    folder = tmp_path_factory.mktemp("production")
    with target(folder, PRODUCTION="true") as made:
        yield made
