"""Errors"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from models.participant import Participant, ParticipantRole
from rag.errors import ProviderTimeout
from resolvers.errors import SignInFailure
from schema.node import row_id
from tests.protocol.document import ROOT, first_cells
from tests.protocol.person import Person, kinds
from tests.schema.operations import ASK, CHAT, FOLLOW, SEND, STOP

pytestmark = pytest.mark.anyio

MISSING = "Q2hhdFNlc3Npb246MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAw"
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("content", {"content": " "}),
    ("content", {"content": "x" * 8001}),
    ("clientKey", {"content": "x", "clientKey": ""}),
    ("parentId", {"content": "x", "parentId": MISSING}),
    ("filter", {"content": "x", "filter": {"types": ["x" * 1000]}}),
]


@pytest.mark.parametrize(("field", "question"), REFUSED)
async def test_invalid_input(person: Person, field: str, question: dict[str, Any]) -> None:
    """| `InvalidInput` | `field` names what to change: `content`, `clientKey`, `parentId`,
    `sessionId`, `filter`, `id` |"""
    for operation, name in ((SEND, "sendMessage"), (ASK, "ask")):
        result = (await person.app.data(operation, {"i": question}, person.token))[name]
        assert (result["__typename"], result["field"]) == ("InvalidInput", field)


async def test_not_found(person: Person) -> None:
    """| `NotFound` | no such session, message or reply, or you are not in it | no |"""
    other = await Person.enter(person.app, "not-yours@example.com")
    theirs = (await other.ask())["session"]["id"]
    for session_id in (theirs, MISSING, "nonsense"):
        assert (await person.send(sessionId=session_id))["__typename"] == "NotFound"


async def test_codes() -> None:
    """What the author of a client must fix, and what broke, is in `errors`, with
    `extensions.code`:"""
    files = (
        "schema/errors.py",
        "schema/limits.py",
        "transport/errors.py",
        "transport/persisted.py",
    )
    written = "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    used = set(re.findall(r'"(UNAUTHENTICATED|FORBIDDEN|[A-Z]+(?:_[A-Z]+)+)"', written))
    # Reasons of one type's are no codes.
    assert set(first_cells("Errors", "[A-Z_]+")) == used - set(SignInFailure.__members__)


@pytest.mark.parametrize(
    ("operation", "variables"),
    [
        (SEND, {"i": {"content": "x"}}),
        (STOP, {"id": "x"}),
        ("{ sessions { edges { cursor } } }", {}),
    ],
)
async def test_unauthenticated(person: Person, operation: str, variables: dict[str, Any]) -> None:
    """| `UNAUTHENTICATED` | no access token, or one that expired or was ended |"""
    assert await person.app.code(operation, variables) == "UNAUTHENTICATED"
    assert await person.app.code(operation, variables, "wrong") == "UNAUTHENTICATED"


async def test_forbidden(person: Person) -> None:
    """| `FORBIDDEN` | your role does not allow this: a reader of a session cannot send; or, in the
    middle of a stream, you were removed from the session or it was deleted | no |"""
    session_id = (await person.ask())["session"]["id"]
    person.app.services.store.bind()
    part = Participant.filter(session_id=row_id("ChatSession", session_id))
    assert await part.update(role=ParticipantRole.READER) == 1
    question = {"i": {"content": "x", "sessionId": session_id}}
    assert await person.app.code(SEND, question, person.token) == "FORBIDDEN"
    assert await person.refusal(CHAT, question) == {"code": "FORBIDDEN"}
    assert len(await person.messages(session_id)) == 2


async def test_bad_user_input(person: Person) -> None:
    """| `BAD_USER_INPUT` | the operation, its variables or an argument are wrong | no |"""
    assert await person.app.code("{ nonsense }", token=person.token) == "BAD_USER_INPUT"
    assert await person.app.code(SEND, {"i": {}}, person.token) == "BAD_USER_INPUT"
    assert (await person.refusal(FOLLOW, {"id": "x", "a": 1.5}))["code"] == "BAD_USER_INPUT"


async def test_too_many_operations(person: Person) -> None:
    """| `RATE_LIMITED` | as `RateLimited`; or more than 100 operations at once on a socket |"""
    person.app.generator.script = [asyncio.Event()]
    reply_id = (await person.send())["reply"]["id"]
    async with person.app.socket(person.token) as socket:
        for number in range(101):
            payload = {"query": FOLLOW, "variables": {"id": reply_id, "a": 2}}
            await socket.send(
                json.dumps({"id": str(number), "type": "subscribe", "payload": payload})
            )
        refused = json.loads(await asyncio.wait_for(socket.recv(), 5))
        assert (refused["id"], refused["type"]) == ("100", "error")
        assert refused["payload"][0]["extensions"] == {"code": "RATE_LIMITED"}
    await person.stop(reply_id)


async def test_too_complex(person: Person) -> None:
    """| `QUERY_TOO_COMPLEX` | the operation has too many levels, fields or elements | no |"""
    query = "{ " + " ".join(f"f{number}: me {{ id }}" for number in range(21)) + " }"
    assert await person.app.code(query, token=person.token) == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(("field", "question"), REFUSED)
async def test_problems_of_chat(person: Person, field: str, question: dict[str, Any]) -> None:
    """So `chat` gives problems as errors: `InvalidInput` and `NotFound` become `BAD_USER_INPUT`,
    `RateLimited` becomes `RATE_LIMITED`. `extensions.field` and `extensions.retryAfterSeconds`
    carry their details. A refused question has left nothing behind."""
    extensions = await person.refusal(CHAT, {"i": question})
    assert extensions == {"code": "BAD_USER_INPUT", "field": field}
    missing = await person.refusal(CHAT, {"i": {"content": "x", "sessionId": MISSING}})
    assert missing == {"code": "BAD_USER_INPUT"}
    assert await person.sessions() == []


async def test_a_reply_that_fails(person: Person) -> None:
    """The stream ends as always, with `ReplyEnded` and the status `FAILED`."""
    person.app.generator.script = [ProviderTimeout("slow")]
    events = await person.chat()
    assert kinds(events)[-1] == "ReplyEnded"
    assert events[-1]["reply"]["status"] == "FAILED"
