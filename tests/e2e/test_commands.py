"""The command line, the start, and the end of the server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import (
    Ingested,
    Server,
    run_command,
    slow_answer,
    start_server,
    wire_settings,
)
from tests.wire import openai_server as openai_wire

SEND = """mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { ... on SendMessagePayload { session { id } reply { id } } }
}"""
MESSAGES = """query ($id: ID!) {
  session(id: $id) { messages { edges { node { status content failure } } } }
}"""


def follow(server: Server, token: str, reply: str) -> Callable[[], list[dict[str, Any]]]:
    """Read a reply's events in a thread; the function returned waits for their end."""
    body = {
        "query": """subscription ($id: ID!) {
          reply(id: $id) { __typename ... on ReplyEnded { reply { status } } }
        }""",
        "variables": {"id": reply},
    }
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    events: list[dict[str, Any]] = []
    begun = threading.Event()

    def read() -> None:
        with httpx.stream(
            "POST", f"{server.url}/graphql", json=body, headers=headers, timeout=30
        ) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    events.append(json.loads(line.removeprefix("data: "))["data"]["reply"])
                    begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)

    def wait() -> list[dict[str, Any]]:
        thread.join(10)
        assert not thread.is_alive()
        return events

    return wait


def test_help_names_the_commands(tmp_path: Path) -> None:
    """`--help` answers at once, without settings and without loading a model."""
    result = run_command("--help", folder=tmp_path, settings={"PORT": "x"})
    assert result.returncode == 0
    assert result.stderr == ""
    for command in ("serve", "migrate", "schema", "ingest", "ask"):
        assert f"\n    {command} " in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "x"),
        ("GENERATOR", "oracle"),
        ("DATABASE_URL", "mysql://host/name"),
        ("SECRET_KEY", "too short"),
        ("OPENAI_API_KEY", ""),
    ],
)
def test_a_wrong_setting_stops_the_start(variable: str, value: str, tmp_path: Path) -> None:
    """A wrong value is answered with one sentence that names the variable, and exit code 2."""
    variables = {"GENERATOR": "openai", variable: value, "COLUMNS": "1000"}
    result = run_command(folder=tmp_path, settings=variables)
    assert result.returncode == 2
    assert result.stdout == ""
    sentence = result.stderr.removesuffix("\n")
    assert sentence.startswith("Error: ")
    assert variable in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert "too short" not in sentence  # a secret that is wrong is a secret still
    assert list(tmp_path.iterdir()) == []


def test_migrate_makes_the_tables_once(tmp_path: Path) -> None:
    """`migrate` says what it did; a second run has nothing to do."""
    settings = {"DATA_DIR": str(tmp_path / "data"), "COLUMNS": "1000"}
    first = run_command("migrate", folder=tmp_path, settings=settings)
    assert (first.returncode, first.stdout) == (0, "")
    database = tmp_path / "data" / "groundql.db"
    assert database.is_file()
    assert first.stderr.startswith(f"SQLite, {database}: ")
    second = run_command("migrate", folder=tmp_path, settings=settings)
    assert (second.returncode, second.stderr) == (0, f"SQLite, {database}: nothing to do\n")


def test_ingest_indexes_a_folder(ingested: Ingested, tmp_path: Path) -> None:
    """`ingest` says how many documents it indexed; a folder that is not there is an error."""
    assert ingested.result.returncode == 0, ingested.result.stderr
    assert ingested.result.stdout == ""
    assert ingested.result.stderr.endswith("3 indexed, 0 unchanged, 0 removed, 0 failed\n")
    missing = run_command("ingest", "nowhere", folder=tmp_path)
    assert (missing.returncode, missing.stderr) == (2, "Error: nowhere is not a folder.\n")


def test_ingest_beside_a_running_server(server: Server, tmp_path: Path, kb_dir: Path) -> None:
    """A running server finds what another process has just indexed."""
    token = server.log_in("ingest@example.com")
    search = """query ($text: String!) {
      searchKnowledge(query: $text, first: 1) { document { title } text } }"""
    (tmp_path / "glacier.md").write_text(
        "---\ntitle: The glacier library\n---\n"
        "The glacier library in Zermatt lends ice axes to readers from noon until midnight.\n"
    )

    settings = {"DATA_DIR": str(server.data_dir), "KB_DIR": str(kb_dir)}
    result = run_command("ingest", ".", folder=tmp_path, settings=settings)
    assert result.returncode == 0, result.stderr
    assert result.stderr.endswith("1 indexed, 0 unchanged, 0 removed, 0 failed\n")

    deadline = time.monotonic() + 10
    while True:
        question = "Where can readers borrow ice axes?"
        hits = server.execute(search, token, text=question)["searchKnowledge"]
        if hits and hits[0]["document"]["title"] == "The glacier library":
            assert "from noon until midnight" in hits[0]["text"]
            return
        assert time.monotonic() < deadline, hits
        time.sleep(0.2)


def test_ask_answers_at_the_terminal(ingested: Ingested, kb_dir: Path, tmp_path: Path) -> None:
    """`ask` prints the answer and its sources, and nothing else, to standard output."""
    folder = ingested.copy_to(tmp_path)
    settings = {"DATA_DIR": str(folder / "data"), "KB_DIR": str(kb_dir)}
    result = run_command("ask", "How long is a gift card valid?", folder=folder, settings=settings)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    answer, _, sources = result.stdout.partition("\n\n[1] ")
    assert "[1]" in answer
    assert sources.startswith("Gift cards\n    ")

    empty = run_command("ask", " ", folder=folder, settings=settings)
    assert (empty.returncode, empty.stderr) == (2, "Error: The question is empty.\n")


def test_a_stop_and_a_start(
    tmp_path: Path, ingested: Ingested, kb_dir: Path, wire: openai_wire.OpenAIWireServer
) -> None:
    """SIGTERM lets replies finish or marks them; the next start opens its port at once."""
    folder = ingested.copy_to(tmp_path)
    settings = {**wire_settings(wire), "SHUTDOWN_GRACE": "3"}
    with start_server(folder, kb_dir, **settings) as running:
        running.wait_until("/readyz")
        token = running.log_in("stop@example.com")
        wire.enqueue(slow_answer, openai_wire.stalled("Half an ", "answer"))
        answered = len(wire.requests)
        sessions = []
        for number in range(2):
            asked = running.execute(SEND, token, input={"content": "How do I return a tent?"})
            sessions.append(asked["sendMessage"]["session"]["id"])
            assert wire.wait_for_requests(answered + number + 1, timeout=10)
        events = follow(running, token, asked["sendMessage"]["reply"]["id"])
        assert not wire.requests[answered].finished
        running.stop()
        seen = events()
    # Its follower was told the end before the socket closed.
    assert [event["__typename"] for event in seen][-1] == "ReplyEnded"
    assert seen[-1]["reply"]["status"] == "INTERRUPTED"

    # The port is open before the model is loaded; the history can be read already.
    begin = time.monotonic()
    with start_server(folder, kb_dir, **settings) as running:
        running.wait_until("/healthz")
        assert running.status("/readyz") == 503
        assert time.monotonic() < begin + 15
        assert running.status("/graphiql/") == 200
        replies = []
        for session in sessions:
            edges = running.execute(MESSAGES, token, id=session)["session"]["messages"]["edges"]
            replies.append(edges[1]["node"])
    assert [reply["status"] for reply in replies] == ["COMPLETE", "INTERRUPTED"]
    assert replies[1]["content"] == "Half an answer"
    assert replies[1]["failure"]
    # The second stop came while the model was loading.
    assert running.output.count("Ready:") == 1


def test_the_secret_key_is_the_servers_own(server: Server) -> None:
    """Without SECRET_KEY a random one is kept where nobody else can read it."""
    key = server.data_dir / "secret_key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_text()) >= 32
