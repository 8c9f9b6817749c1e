"""GraphQL by hand, with curl."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.e2e.conftest import ANSWER, Server, require_tool
from tests.wire import openai_server as openai_wire

CHAT = """subscription ($input: SendMessageInput!) {
  chat(input: $input) {
    __typename
    seq
    ... on TextDelta { text }
    ... on ReplyEnded { reply { status content citations { number title } } }
  }
}"""


def curl(*arguments: str) -> list[str]:
    return [require_tool("curl", "install curl"), "--silent", "--show-error", *arguments]


def test_a_subscription_streams_over_multipart_http(
    streaming_server: Server, wire: openai_wire.OpenAIWireServer
) -> None:
    """`curl -N` shows each event as it happens, long before the answer is complete."""
    token = streaming_server.log_in("curl@example.com")
    body = {"query": CHAT, "variables": {"input": {"content": "How do I return a tent?"}}}
    command = curl(
        *("-N", "--max-time", "30", f"{streaming_server.url}/graphql"),
        *("-H", f"authorization: Bearer {token}"),
        *("-H", "content-type: application/json"),
        *("-H", 'accept: multipart/mixed;boundary="graphql";subscriptionSpec=1.0'),
        *("-d", json.dumps(body)),
    )
    answered = len(wire.requests)
    events: list[dict[str, Any]] = []
    early = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{") or "payload" not in (part := json.loads(line)):
                continue
            events.append(part["payload"]["data"]["chat"])
            if len(wire.requests) > answered and not wire.requests[answered].finished:
                early = len(events)
    assert process.returncode == 0

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["__typename"] for event in events[:2]] == ["ReplyStarted", "SourcesFound"]
    texts = [event["text"] for event in events if event["__typename"] == "TextDelta"]
    assert "".join(texts) == ANSWER
    assert events[-1]["reply"] == {
        "status": "COMPLETE",
        "content": ANSWER,
        "citations": [{"number": 1, "title": "Returning goods"}],
    }
    # Most of the text had come while the model was still writing.
    assert early > len(events) / 2


def test_a_query_works_by_get(server: Server) -> None:
    """A query fits into an address."""
    command = curl(
        *("--get", f"{server.url}/graphql", "-H", "accept: application/json"),
        *(
            "--data-urlencode",
            "query=query ($text: String!) { searchKnowledge(query: $text, first: 1)"
            " { document { title } } }",
        ),
        *("--data-urlencode", 'variables={"text": "gift card"}'),
    )
    token = server.log_in("get@example.com")
    command += ["-H", f"authorization: Bearer {token}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(result.stdout)["data"] == {
        "searchKnowledge": [{"document": {"title": "Gift cards"}}]
    }
