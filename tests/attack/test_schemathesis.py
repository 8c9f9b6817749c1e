"""schemathesis calls every field of the schema with arguments that it invents."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schema.root import build_schema
from tests.attack.conftest import Target, target, tool
from tests.e2e.conftest import ROOT
from transport.errors import INTERNAL_SERVER_ERROR

SEED = 5
SECONDS = int(os.environ.get("GROUNDQL_ATTACK_SECONDS", "40"))  # for each person
# Each ends the login that is attacked with.
NOT_CALLED = ("logout", "revokeLogin")

CREATE = "mutation { createSession { ... on ChatSession { id } } }"
ASK = """mutation($id: ID!) { sendMessage(input: {sessionId: $id, content: "question short"}) {
  ... on SendMessagePayload { message { id } reply { id } } } }"""
COLLECTION = """mutation { createCollection(input: {name: "A", audience: PUBLIC}) {
  ... on Collection { id } } }"""
DOCUMENTS = """{ documents(first: 4) { edges { node { id } } }
  collections(first: 9) { edges { node { id } } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("fuzzed")) as made:
        yield made


def fields() -> set[str]:
    """All that there is to call. Subscriptions are beyond the tool."""
    schema = build_schema()._schema
    return {
        f"{root.name}.{name}"
        for root in (schema.query_type, schema.mutation_type)
        if root is not None
        for name in root.fields
        if name not in NOT_CALLED
    }


def ids(value: Any) -> list[str]:
    """All ids in an answer."""
    match value:
        case dict():
            own = [value["id"]] if isinstance(value.get("id"), str) else []
            return own + [one for part in value.values() for one in ids(part)]
        case list():
            return [one for part in value for one in ids(part)]
    return []


def some_world(server: Target) -> list[str]:
    """The ids of things that a user has and an editor has made."""
    user, editor = server.log_in("owner"), server.log_in("editor", "EDITOR")
    session = server.data(CREATE, user)
    (known,) = ids(session)
    return [
        known,
        *ids(server.data(ASK, user, id=known)),
        *ids(server.data(COLLECTION, editor)),
        *ids(server.data(DOCUMENTS, editor)),
    ]


@pytest.mark.parametrize("role", ["anonymous", "USER", "ADMIN"])
def test_every_answer_is_graphql(server: Target, role: str, tmp_path: Path) -> None:
    """No status of 500 and above, no time-out, nothing but GraphQL, no masked error and none in
    the log, for strangers, users and administrators."""
    report = tmp_path / "report.ndjson"
    token = None if role == "anonymous" else server.log_in(f"attacker-{role.lower()}", role)
    known = some_world(server) if token else []
    if role != "anonymous":
        mine = server.data(CREATE, token)
        known += ids(mine)
    command = [
        tool("schemathesis"), "run", str(ROOT / "schema" / "schema.graphql"), "--url", server.url,
        "--phases", "fuzzing", "--mode", "all", "--max-examples", "3", "--max-time", str(SECONDS),
        "--seed", str(SEED), "--no-shrink", "--continue-on-failure", "--checks", "all",
        "--request-timeout", "20", "--warnings", "off",
        "--report", "ndjson", "--report-ndjson-path", str(report),
    ]  # fmt: skip
    for name in NOT_CALLED:
        command += ["--exclude-name", f"Mutation.{name}"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.attack.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
        "ATTACK_IDS": json.dumps(known),
        "ATTACK_SEED": str(SEED),
    }
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )
    events = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    called: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for event in events:
        assert "FatalError" not in event, event
        assert "NonFatalError" not in event, event
        if (scenario := event.get("ScenarioFinished")) is None:
            continue
        interactions = scenario["recorder"].get("interactions", {})
        for interaction in interactions.values():
            response = interaction["response"]
            assert response is not None, interaction  # a time-out, or a connection that was cut
            assert response["status_code"] < 500, interaction
            (kind,) = response["headers"]["content-type"]
            assert kind.startswith("application/"), kind
            answer = json.loads(base64.b64decode(response["content"]["$base64"]))
            assert set(answer) <= {"data", "errors", "extensions"}, answer
            assert "data" in answer or answer["errors"], answer
            for error in answer.get("errors", ()):
                assert isinstance(error["message"], str)
                codes[error["extensions"]["code"]] += 1
        called[scenario["recorder"]["label"]] += len(interactions)
    assert codes[INTERNAL_SERVER_ERROR] == 0, ended.stdout
    assert {name for name in called if called[name]} == fields(), ended.stdout + ended.stderr
    if token:  # else it attacked as nobody
        assert codes["UNAUTHENTICATED"] == 0, codes
        assert server.data("{ me { id } }", token)["me"] is not None
    server.never_stumbled()
