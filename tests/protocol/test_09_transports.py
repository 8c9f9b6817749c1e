"""Transports"""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Any

import pytest

from tests.e2e.conftest import require_tool
from tests.protocol.document import code_blocks
from tests.protocol.person import Event, Person, bytes_of, text_of
from tests.schema.operations import CHAT, FOLLOW

pytestmark = pytest.mark.anyio

MULTIPART = 'multipart/mixed;subscriptionSpec="1.0"'
EVENTS = "text/event-stream"


async def post(
    person: Person, accept: str, query: str, variables: dict[str, Any]
) -> tuple[int, str]:
    response = await person.app.http.post(
        person.app.url,
        json={"query": query, "variables": variables},
        headers={"accept": accept, "authorization": f"Bearer {person.token}"},
    )
    return response.status_code, response.text


def streamed(accept: str, text: str) -> list[Event]:
    """The events of a whole response."""
    if accept == EVENTS:
        payloads = [json.loads(data) for data in re.findall(r"^data: (.+)$", text, re.MULTILINE)]
    else:
        parts = [json.loads(part) for part in re.findall(r"^\{.*\}\r$", text, re.MULTILINE)]
        payloads = [part["payload"] for part in parts if part]
    return [next(iter(payload["data"].values())) for payload in payloads]


async def run_curl(person: Person, command: str) -> str:
    require_tool("curl", "install curl")
    variables = {"URL": person.app.url, "TOKEN": person.token}
    process = await asyncio.create_subprocess_shell(
        command, env=os.environ | variables, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    return output.decode()


async def test_the_same_events(person: Person) -> None:
    """The events are the same on each. You may begin on one and resume on another."""
    events = await person.chat()
    reply_id = events[0]["replyId"]
    for accept in (MULTIPART, EVENTS):
        for after in (0, 2):
            _, text = await post(person, accept, FOLLOW, {"id": reply_id, "a": after})
            assert bytes_of(streamed(accept, text)) == bytes_of(events[after:])


async def test_a_slow_client(person: Person) -> None:
    """Operations do not hold up each other."""
    person.app.generator.script = ["One", asyncio.Event()]
    reply_id = (await person.send())["reply"]["id"]
    async with person.app.socket(person.token) as socket:
        for id, query in (("1", FOLLOW), ("2", "query($id: ID!) { node(id: $id) { id } }")):
            payload = {"query": query, "variables": {"id": reply_id}}
            await socket.send(json.dumps({"id": id, "type": "subscribe", "payload": payload}))
        async with asyncio.timeout(5):
            while (message := json.loads(await socket.recv())) != {"id": "2", "type": "complete"}:
                assert message["type"] == "next"
    await person.stop(reply_id)


async def test_multipart(person: Person) -> None:
    """Each part is `{"payload": …}`."""
    output = await run_curl(person, code_blocks("Transports", "sh")[0])
    events = streamed(MULTIPART, output)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert text_of(events) == "Hello world [1]."
    assert output.rstrip().endswith("-----")


async def test_server_sent_events(person: Person) -> None:
    """Each result is an event `next`. The stream ends with an event `complete`."""
    output = await run_curl(person, code_blocks("Transports", "sh")[1])
    events = streamed(EVENTS, output)
    assert text_of(events) == "Hello world [1]."
    names = re.findall(r"^event: (\w+)$", output, re.MULTILINE)
    assert names == ["next"] * len(events) + ["complete"]


@pytest.mark.parametrize("accept", [MULTIPART, EVENTS])
async def test_refused_at_once(person: Person, accept: str) -> None:
    """On both kinds of HTTP streams, a subscription that is refused at once is answered with plain
    JSON and the status 400, 401, 429 or 503."""
    status, text = await post(person, accept, CHAT, {"i": {"content": ""}})
    assert status == 400
    assert json.loads(text)["errors"][0]["extensions"] == {
        "code": "BAD_USER_INPUT",
        "field": "content",
    }
    person.token = "wrong"
    status, text = await post(person, accept, CHAT, {"i": {"content": "x"}})
    assert status == 401
    assert json.loads(text)["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_plain_http(person: Person) -> None:
    """With `Accept: application/json`, the status is 200 also for answers with `errors`."""
    status, text = await post(person, "application/json", "{ nonsense }", {})
    assert (status, set(json.loads(text)) - {"extensions"}) == (200, {"errors"})
