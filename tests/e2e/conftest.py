"""Real servers as processes of their own, to be tested from outside."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import pytest

from settings import Settings
from tests.wire import openai_server as openai_wire
from tests.wire.server import Reply, Request, slowly

ROOT = Path(__file__).parents[2]
PASSWORD = "a long sentence is a good password"
DOCUMENTS = ("returns", "refunds", "gift-cards")
START_SECONDS = 90
STOP_SECONDS = 40

# What the OpenAI wire server says, a piece every 40 ms: long enough to lose a connection meanwhile.
PIECES = (
    *("Returns ", "are ", "free ", "from ", "Germany ", "[1]", ". "),
    *("Elsewhere ", "in ", "the ", "EU ", "the ", "label ", "costs ", "6,90 €", " [", "1]", ". "),
    *("Zurück ", "à ", "la ", "maison ", "\N{PACKAGE}", "\n\n"),
    *("That ", "is ", "all ", "there ", "is ", "to ", "say ", "about ", "returns", "."),
)
ANSWER = "".join(PIECES)


def slow_answer(request: Request) -> Reply:
    return slowly(openai_wire.answer(*PIECES)(request), 0.04)


def require_tool(name: str, hint: str) -> str:
    """The path of a program; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: {hint}")
    return path


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment with these settings, and none of those that whoever runs the tests has."""
    own = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name.upper() not in own}
    return inherited | {"PYTHONUNBUFFERED": "1", **settings}


def run_command(
    *arguments: str, folder: Path, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python server.py …` in `folder`, where no .env lies, to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        cwd=folder,
        env=clean_environment(settings or {}),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


@dataclass
class Server:
    """A server that runs as a process."""

    url: str
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        return self.log.read_text()

    def post(self, query: str, token: str | None = None, **variables: Any) -> dict[str, Any]:
        """The whole response to an operation."""
        headers = {"accept": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        body = {"query": query, "variables": variables}
        response = httpx.post(f"{self.url}/graphql", json=body, headers=headers, timeout=30)
        result: dict[str, Any] = response.json()
        return result

    def execute(self, query: str, token: str | None = None, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must have no errors."""
        result = self.post(query, token, **variables)
        assert "errors" not in result, result["errors"]
        data: dict[str, Any] = result["data"]
        return data

    def log_in(self, email: str) -> str:
        """Register and log in; gives the access token."""
        person = {"email": email, "password": PASSWORD}
        register = "mutation ($input: RegisterInput!) { register(input: $input) { __typename } }"
        assert self.execute(register, input=person)["register"] == {"__typename": "Registration"}
        login = """mutation ($input: LoginInput!) {
            login(input: $input) { ... on AuthTokens { accessToken } } }"""
        token: str = self.execute(login, input=person)["login"]["accessToken"]
        return token

    def status(self, path: str) -> int | None:
        """The status of a page; None if the server does not listen yet."""
        try:
            response = httpx.get(f"{self.url}{path}", timeout=10)
        except httpx.TransportError:
            return None
        assert '"status":"failed"' not in response.text, self.output  # /readyz has given up
        return response.status_code

    def wait_until(self, path: str, status: int = 200, seconds: float = START_SECONDS) -> float:
        """Wait until a page answers with this status; gives the seconds that it took."""
        begin = time.monotonic()
        while self.status(path) != status:
            assert self.process.poll() is None, f"The server ended:\n{self.output}"
            assert time.monotonic() < begin + seconds, f"{path} is late:\n{self.output}"
            time.sleep(0.05)
        return time.monotonic() - begin

    def stop(self) -> None:
        """Ask the server to end, and check that it ended well and never stumbled."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_SECONDS) == 0, self.output
        assert "Traceback" not in self.output, self.output
        assert " ERROR " not in self.output, self.output


def free_port() -> int:
    """A port that is free now. PORT=0 would leave the links in mails without a port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def start_server(folder: Path, kb_dir: Path, **variables: str) -> Iterator[Server]:
    """A server on a free port with DATA_DIR in `folder`; it must end well."""
    port = free_port()
    data_dir = folder / "data"
    log = folder / "server.log"
    settings = {"PORT": str(port), "DATA_DIR": str(data_dir), "KB_DIR": str(kb_dir)} | variables
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py")],
            cwd=folder,
            env=clean_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://localhost:{port}", data_dir, log, process)
    try:
        yield server
        if process.poll() is None:
            server.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def kb_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few documents, so that they are indexed within seconds."""
    folder = tmp_path_factory.mktemp("kb")
    for name in DOCUMENTS:
        shutil.copy(ROOT / "kb_docs" / "support" / f"{name}.md", folder)
    return folder


@dataclass(frozen=True)
class Ingested:
    """A folder whose `data` holds the indexed documents, and how `ingest` said so."""

    folder: Path
    result: subprocess.CompletedProcess[str]

    def copy_to(self, folder: Path) -> Path:
        """Each copy gets its own secret key."""
        shutil.copytree(
            self.folder / "data", folder / "data", ignore=shutil.ignore_patterns("secret_key")
        )
        return folder


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory, kb_dir: Path) -> Ingested:
    """The documents are indexed once, by the command; servers start on copies."""
    folder = tmp_path_factory.mktemp("ingested")
    settings = {"DATA_DIR": str(folder / "data"), "KB_DIR": str(kb_dir)}
    result = run_command("ingest", str(kb_dir), folder=folder, settings=settings)
    return Ingested(folder, result)


@pytest.fixture(scope="session")
def wire() -> Iterator[openai_wire.OpenAIWireServer]:
    """Speaks OpenAI's protocol and answers ANSWER, slowly, unless a test enqueues another reply."""
    with openai_wire.OpenAIWireServer(default=slow_answer) as running:
        yield running


def wire_settings(wire: openai_wire.OpenAIWireServer) -> dict[str, str]:
    return {
        "GENERATOR": "openai",
        "OPENAI_API_KEY": "any",
        "OPENAI_BASE_URL": wire.base_url,
        "OPENAI_MODEL": "test-model",
        # A request for a title would take an answer that a test has enqueued for a reply.
        "MODEL_TITLES": "false",
    }


@pytest.fixture(scope="session")
def both_servers(
    tmp_path_factory: pytest.TempPathFactory,
    ingested: Ingested,
    kb_dir: Path,
    wire: openai_wire.OpenAIWireServer,
) -> Iterator[tuple[Server, Server]]:
    """`server` and `streaming_server`, which load their models side by side."""
    offline, streaming = (
        ingested.copy_to(tmp_path_factory.mktemp(name)) for name in ("offline", "streaming")
    )
    with (
        start_server(offline, kb_dir, GENERATOR="offline") as one,
        start_server(streaming, kb_dir, **wire_settings(wire)) as other,
    ):
        yield one, other


@pytest.fixture(scope="session")
def server(both_servers: tuple[Server, Server]) -> Server:
    """A server with the offline generator, ready for questions."""
    both_servers[0].wait_until("/readyz")
    return both_servers[0]


@pytest.fixture(scope="session")
def streaming_server(both_servers: tuple[Server, Server]) -> Server:
    """A server whose answers take more than a second, ready for questions."""
    both_servers[1].wait_until("/readyz")
    return both_servers[1]


def read_mail(server: Server, recipient: str) -> str:
    """The text of the latest mail to an address, as soon as it is in the outbox."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for path in sorted((server.data_dir / "outbox").glob("*.eml"), reverse=True):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            body = mail.get_body(("plain",))
            if mail["To"] == recipient and body is not None:
                text: str = body.get_content()
                return text
        time.sleep(0.05)
    raise AssertionError(f"no mail to {recipient}")


def find_link(text: str) -> str:
    found = re.search(r"https?://\S+", text)
    assert found is not None, text
    return found[0]
