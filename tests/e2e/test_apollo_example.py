"""The front end in examples/apollo against a real server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence

import pytest

from tests.e2e.conftest import ANSWER, PASSWORD, ROOT, Server, require_tool
from tests.lossy import Cut, lossy_network_in_thread
from tests.wire import openai_server as openai_wire

FOLDER = ROOT / "examples" / "apollo"


@pytest.fixture(autouse=True, scope="module")
def packages() -> None:
    """Node.js and the example's packages; without them nothing else is started."""
    require_tool("npm", "install Node.js 20 or later")
    if not (FOLDER / "node_modules").is_dir():
        pytest.skip("the example needs its packages: run `npm ci` in examples/apollo")


def run_npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    npm = require_tool("npm", "install Node.js 20 or later")
    return subprocess.run(
        [npm, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )


def run_example(
    url: str, *options: str, email: str, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    person = ("--email", email, "--password", password, "--question", "How do I return a tent?")
    return run_npm("start", "--silent", "--", "--url", url, *person, *options)


def notes(result: subprocess.CompletedProcess[str]) -> Sequence[str]:
    """What the example says beside the answer."""
    return [line for line in result.stderr.splitlines() if line.startswith("-- ")]


def test_it_resumes_a_reply_and_pages_through_the_history(
    streaming_server: Server, wire: openai_wire.OpenAIWireServer
) -> None:
    """A reply arrives whole through a lost connection; the history reads the same both ways."""
    email = "front.end@example.com"
    token = streaming_server.log_in(email)
    for number in range(6):
        streaming_server.execute(
            "mutation ($title: String) { createSession(title: $title) { __typename } }",
            token,
            title=f"Conversation {number}",
        )
    session = ""
    for number in range(3):
        wire.enqueue(openai_wire.answer(f"Answer {number}."))
        asked = streaming_server.execute(
            """mutation ($input: SendMessageInput!) {
              ask(input: $input) { ... on SendMessagePayload { session { id } } } }""",
            token,
            input={"content": f"Question {number}?", "sessionId": session or None},
        )
        session = asked["ask"]["session"]["id"]

    result = run_example(
        f"{streaming_server.url}/graphql",
        *("--session", session, "--drop-after", "12", "--expire-token"),
        email=email,
    )

    assert result.returncode == 0, result.stderr
    said = notes(result)
    assert said[0] == f"-- logged in as {email}"
    # The spoilt token was refused when the socket opened, after one was renewed over HTTP.
    assert said[1].startswith("-- resuming after event 0 (Socket closed with event 4403")
    assert said[2] == "-- cutting the connection after event 12"
    assert said[3] == "-- resuming after event 12 (Socket closed with event 1006)"
    assert said[4].endswith("events without a gap, and their text is the reply, byte for byte")
    assert len(said) == 5

    answer, _, history = result.stdout.partition("\nConversations, forward: ")
    assert answer.startswith(f"{ANSWER}\n\n[1] Returning goods\n")
    conversations = [f"Conversation {number}" for number in range(6)]
    newest_first = "".join(f"  {title}\n" for title in ["Question 0?", *reversed(conversations)])
    messages = "".join(f"  Q: Question {n}?\n  A: Answer {n}.\n" for n in range(3))
    messages += f"  Q: How do I return a tent?\n  A: {ANSWER.splitlines()[0][:70]}\n"
    assert history == (
        f"7 in pages of 5 + 2\n{newest_first}\n"
        f"Conversations, backward: 7 in pages of 5 + 2\n{newest_first}\n"
        f"Messages, forward: 8 in pages of 5 + 3\n{messages}\n"
        f"Messages, backward: 8 in pages of 5 + 3\n{messages}"
    )


def test_it_registers_a_new_person(streaming_server: Server) -> None:
    """Without an account the example makes one."""
    email = "newcomer@example.com"
    result = run_example(f"{streaming_server.url}/graphql", "--drop-after", "0", email=email)
    assert result.returncode == 0, result.stderr
    assert list(notes(result)[:2]) == [f"-- registered {email}", f"-- logged in as {email}"]
    assert result.stdout.startswith(f"{ANSWER}\n")


def test_it_says_what_went_wrong(
    streaming_server: Server, wire: openai_wire.OpenAIWireServer
) -> None:
    """Each failure is one sentence and an exit code that is not 0."""
    email, url = "unlucky@example.com", f"{streaming_server.url}/graphql"
    streaming_server.log_in(email)

    wrong = run_example(url, email=email, password="some other password")
    assert (wrong.returncode, wrong.stderr) == (1, "Error: The address or the password is wrong.\n")

    wire.enqueue(openai_wire.answer("Too short."))
    short = run_example(url, "--drop-after", "50", email=email)
    assert short.returncode == 1
    assert short.stderr.endswith("choose a smaller --drop-after.\n")

    wire.enqueue(openai_wire.wrong_key("any"))
    failed = run_example(url, email=email)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("Error: ")


def test_it_follows_the_protocol(streaming_server: Server) -> None:
    """A question whose answer is lost is sent again with its key, and a reply goes on after the
    server closed the socket with 1012."""
    email, server = "protocol@example.com", f"{streaming_server.url}/graphql"
    token = streaming_server.log_in(email)
    cuts = (Cut('"sendMessage"'), Cut("Elsewhere", code=1012))
    with lossy_network_in_thread(server, *cuts) as (network, url):
        result = run_example(url, "--drop-after", "0", email=email)
        assert network.left == []
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{ANSWER}\n")
    said = notes(result)
    assert said[1].startswith("-- sending again (")
    assert re.match(r"-- resuming after event \d+ \(Socket closed with event 1012\)$", said[2])
    assert said[3].endswith("events without a gap, and their text is the reply, byte for byte")
    assert len(said) == 4
    sessions = "{ sessions { edges { node { messages { edges { node { id } } } } } } }"
    (session,) = streaming_server.execute(sessions, token)["sessions"]["edges"]
    assert len(session["node"]["messages"]["edges"]) == 2


def test_it_does_not_repeat_a_mistake(streaming_server: Server) -> None:
    """A close code that tells of a mistake of the client ends the program at once."""
    email, server = "mistaken@example.com", f"{streaming_server.url}/graphql"
    streaming_server.log_in(email)
    with lossy_network_in_thread(server, Cut("ReplyStarted", code=4409)) as (network, url):
        result = run_example(url, "--drop-after", "0", email=email)
        assert network.left == []
    assert result.returncode == 1
    assert notes(result) == [f"-- logged in as {email}"]
    assert result.stderr.splitlines()[-1].strip() == "Error: Socket closed with event 4409"


def test_its_types_are_right() -> None:
    """The program compiles under strict rules."""
    result = run_npm("run", "check")
    assert result.returncode == 0, result.stdout


def test_its_possible_types_are_the_schemas(streaming_server: Server) -> None:
    """possible-types.json names the members of each interface and union of the schema."""
    query = "{ __schema { types { name possibleTypes { name } } } }"
    types = streaming_server.execute(query)["__schema"]["types"]
    assert json.loads((FOLDER / "possible-types.json").read_text()) == {
        found["name"]: sorted(member["name"] for member in found["possibleTypes"])
        for found in types
        if found["possibleTypes"]
    }, "run `npm run possible-types` in examples/apollo"
