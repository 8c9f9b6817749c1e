"""Edits, other replies and branches through the real application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.chat_message import ChatMessage
from models.chat_session import ChatSession
from models.participant import Participant, ParticipantRole
from models.user import User
from rag.embedding.base import Embedder
from rag.errors import ProviderTimeout
from rag.generation.scripted import ScriptedGenerator
from schema.node import row_id
from tests.application import Running, running_app, test_settings
from tests.schema.operations import ASK, FOLLOW, REPLY, SEND, STOP

pytestmark = pytest.mark.anyio

PAYLOAD = f"""
__typename
... on SendMessagePayload {{ session {{ id }} message {{ id content parent {{ id }} }}
  reply {{ {REPLY} parent {{ id }} }} }}
... on InvalidInput {{ field problem: message }}
... on NotFound {{ problem: message }}
"""
EDIT = f"""mutation($id: ID!, $c: String!, $k: String) {{
  editMessage(id: $id, content: $c, clientKey: $k) {{ {PAYLOAD} }} }}"""
REGENERATE = f"""mutation($id: ID!, $k: String) {{
  regenerateReply(id: $id, clientKey: $k) {{ {PAYLOAD} }} }}"""
SELECT = """mutation($id: ID!) { selectBranch(id: $id) {
  __typename ... on ChatSession { id } ... on NotFound { problem: message } } }"""
TREE = """query($id: ID!) { session(id: $id) { messages(first: 100) { edges { node {
  id role content active siblingNumber siblingCount siblings { id active } } } } } }"""


@pytest.fixture
async def app(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application on SQLite and on PostgreSQL, with a generator that plays a script."""
    settings = test_settings(tmp_path, database_url)
    generator = ScriptedGenerator(["Reply."])
    async with running_app(settings, embedder=embedder, generator=generator) as running:
        yield running


async def ask(app: Running, token: str, content: str, **more: Any) -> dict[str, Any]:
    variables = {"i": {"content": content, **more}}
    result: dict[str, Any] = (await app.data(ASK, variables, token))["ask"]
    assert result["__typename"] == "SendMessagePayload", result
    return result


async def edit(
    app: Running, token: str, id: str, content: str, key: str | None = None
) -> dict[str, Any]:
    variables = {"id": id, "c": content, "k": key}
    result: dict[str, Any] = (await app.data(EDIT, variables, token))["editMessage"]
    return result


async def regenerate(app: Running, token: str, id: str, key: str | None = None) -> dict[str, Any]:
    result: dict[str, Any] = (await app.data(REGENERATE, {"id": id, "k": key}, token))[
        "regenerateReply"
    ]
    return result


async def ended(app: Running, token: str, reply_id: str) -> dict[str, Any]:
    """The reply, once it has ended."""
    events = [
        event["data"]["reply"]
        async for event in app.subscribe(FOLLOW, {"id": reply_id, "a": 0}, token)
    ]
    reply: dict[str, Any] = events[-1]["reply"]
    return reply


async def shown(app: Running, token: str, session_id: str) -> list[dict[str, Any]]:
    """The messages of the active branch."""
    session = (await app.data(TREE, {"id": session_id}, token))["session"]
    return [edge["node"] for edge in session["messages"]["edges"]]


async def test_an_edit_is_a_sibling_with_its_own_reply(app: Running) -> None:
    """The session shows the edit and its reply; the first wording keeps its own, behind it."""
    token = await app.login()
    first = await ask(app, token, "Root")
    session_id = first["session"]["id"]
    second = await ask(app, token, "Ssecond", sessionId=session_id)
    await ask(app, token, "Third", sessionId=session_id)

    app.generator.script = ["Better."]
    changed = await edit(app, token, second["message"]["id"], "Second")
    assert changed["message"]["parent"]["id"] == first["reply"]["id"]
    assert (await ended(app, token, changed["reply"]["id"]))["content"] == "Better."
    nodes = await shown(app, token, session_id)
    assert [node["content"] for node in nodes] == ["Root", "Reply.", "Second", "Better."]
    assert all(node["active"] for node in nodes)
    assert (nodes[2]["siblingNumber"], nodes[2]["siblingCount"]) == (2, 2)
    assert nodes[2]["siblings"] == [
        {"id": second["message"]["id"], "active": False},
        {"id": changed["message"]["id"], "active": True},
    ]
    # The turns that the edit's branch does not have are not in its prompt.
    prompt = [message.content for message in app.generator.prompts[-1].messages]
    assert not any("Third" in text or "Ssecond" in text for text in prompt)
    assert any("Root" in text for text in prompt)


async def test_the_first_question_can_be_edited(app: Running) -> None:
    """The edit has no parent either, and the old beginning is hidden as a whole."""
    token = await app.login()
    first = await ask(app, token, "Frist")
    session_id = first["session"]["id"]
    await ask(app, token, "More", sessionId=session_id)
    changed = await edit(app, token, first["message"]["id"], "First")
    await ended(app, token, changed["reply"]["id"])
    nodes = await shown(app, token, session_id)
    assert [node["content"] for node in nodes] == ["First", "Reply."]
    assert (nodes[0]["siblingNumber"], nodes[0]["siblingCount"]) == (2, 2)
    assert [turn.content for turn in app.generator.prompts[-1].messages].count("More") == 0


async def test_a_regeneration_is_a_sibling_of_the_reply(app: Running) -> None:
    """The question stays; the session shows the new reply, and goes on from it."""
    token = await app.login()
    first = await ask(app, token, "Root")
    session_id = first["session"]["id"]
    app.generator.script = ["Another."]
    again = await regenerate(app, token, first["reply"]["id"])
    assert again["message"]["id"] == first["message"]["id"]
    assert again["reply"]["id"] != first["reply"]["id"]
    assert (await ended(app, token, again["reply"]["id"]))["content"] == "Another."
    await ask(app, token, "Next", sessionId=session_id)
    nodes = await shown(app, token, session_id)
    assert [node["content"] for node in nodes] == ["Root", "Another.", "Next", "Another."]
    assert (nodes[1]["siblingNumber"], nodes[1]["siblingCount"]) == (2, 2)


async def test_failed_and_stopped_replies_are_regenerated_in_one_call(app: Running) -> None:
    """Whatever the end of a reply was, regenerateReply gives another one."""
    token = await app.login()
    app.generator.script = ["Part", ProviderTimeout("slow")]
    failed = await ask(app, token, "Question")
    assert failed["reply"]["status"] == "FAILED"
    gate = asyncio.Event()
    app.generator.script = ["Part", gate]
    again = await regenerate(app, token, failed["reply"]["id"])
    stopped = (await app.data(STOP, {"id": again["reply"]["id"]}, token))["stopReply"]
    assert stopped["status"] == "STOPPED"
    app.generator.script = ["Whole."]
    third = await regenerate(app, token, again["reply"]["id"])
    reply = await ended(app, token, third["reply"]["id"])
    assert (reply["status"], reply["content"]) == ("COMPLETE", "Whole.")


async def test_a_running_reply_is_not_regenerated(app: Running) -> None:
    """Nor is another reply to the same question begun beside it, however many ask at once."""
    token = await app.login()
    first = await ask(app, token, "Question")
    gate = asyncio.Event()
    app.generator.script = [gate, "Done."]
    results = await asyncio.gather(
        *(regenerate(app, token, first["reply"]["id"]) for _ in range(10))
    )
    begun = [one for one in results if one["__typename"] == "SendMessagePayload"]
    refused = [one for one in results if one["__typename"] == "InvalidInput"]
    assert (len(begun), len(refused)) == (1, 9)
    assert {one["field"] for one in refused} == {"id"}
    running = await regenerate(app, token, begun[0]["reply"]["id"])
    assert (running["__typename"], running["field"]) == ("InvalidInput", "id")
    gate.set()
    await ended(app, token, begun[0]["reply"]["id"])
    app.services.store.bind()
    assert await ChatMessage.all().count() == 3


async def test_an_edit_need_not_wait_for_the_reply(app: Running) -> None:
    """The edit is another branch: its reply is written beside the first one's."""
    token = await app.login()
    gate = asyncio.Event()
    app.generator.script = [gate, "Done."]
    sent = (await app.data(SEND, {"i": {"content": "Qestion"}}, token))["sendMessage"]
    changed = await edit(app, token, sent["message"]["id"], "Question")
    assert changed["__typename"] == "SendMessagePayload"
    gate.set()
    for reply in (sent["reply"], changed["reply"]):
        assert (await ended(app, token, reply["id"]))["content"] == "Done."


@pytest.mark.parametrize("operation", ["edit", "regenerate"])
async def test_a_client_key_makes_it_once(app: Running, operation: str) -> None:
    """Twenty calls with one key, at once and later, give one message and reply."""
    token = await app.login()
    first = await ask(app, token, "Question")

    async def call() -> dict[str, Any]:
        if operation == "edit":
            return await edit(app, token, first["message"]["id"], "Other", "key")
        return await regenerate(app, token, first["reply"]["id"], "key")

    results = await asyncio.gather(*(call() for _ in range(20)))
    await ended(app, token, results[0]["reply"]["id"])
    results.append(await call())
    assert len({(one["message"]["id"], one["reply"]["id"]) for one in results}) == 1
    app.services.store.bind()
    assert await ChatMessage.all().count() == (4 if operation == "edit" else 3)


async def test_a_client_key_is_bound_to_what_it_did(app: Running) -> None:
    """The key of one operation is refused for another one, and nothing is written."""
    token = await app.login()
    first = await ask(app, token, "Question", clientKey="sent")
    again = await regenerate(app, token, first["reply"]["id"], "again")
    await ended(app, token, again["reply"]["id"])
    second = await ask(app, token, "Second", sessionId=first["session"]["id"])
    app.services.store.bind()
    before = await ChatMessage.all().count()
    for refused in (
        await regenerate(app, token, first["reply"]["id"], "sent"),
        await regenerate(app, token, second["reply"]["id"], "again"),
        await edit(app, token, second["message"]["id"], "Third", "again"),
        await edit(app, token, second["message"]["id"], "Question", "sent"),
        (await app.data(SEND, {"i": {"content": "x", "clientKey": "again"}}, token))["sendMessage"],
    ):
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", "clientKey")
    assert await ChatMessage.all().count() == before


async def test_a_branch_can_be_selected(app: Running) -> None:
    """selectBranch shows the branch through a message, down to its newest end, and back."""
    token = await app.login()
    first = await ask(app, token, "Root")
    session_id = first["session"]["id"]
    old = await ask(app, token, "Old", sessionId=session_id)
    await ask(app, token, "Old tail", sessionId=session_id)
    new = await edit(app, token, old["message"]["id"], "New")
    await ended(app, token, new["reply"]["id"])

    for chosen, contents in (
        (old["message"]["id"], ["Root", "Old", "Old tail"]),
        (new["reply"]["id"], ["Root", "New"]),
        (old["reply"]["id"], ["Root", "Old", "Old tail"]),
        (first["message"]["id"], ["Root", "Old", "Old tail"]),  # is shown already
    ):
        selected = (await app.data(SELECT, {"id": chosen}, token))["selectBranch"]
        assert selected == {"__typename": "ChatSession", "id": session_id}
        nodes = await shown(app, token, session_id)
        assert [node["content"] for node in nodes if node["role"] == "USER"] == contents
    # What comes next continues the branch that is shown.
    await ask(app, token, "Next", sessionId=session_id)
    nodes = await shown(app, token, session_id)
    assert [node["content"] for node in nodes if node["role"] == "USER"][-2:] == [
        "Old tail",
        "Next",
    ]


async def test_only_the_author_edits_and_only_writers_regenerate(app: Running) -> None:
    """A writer may regenerate and select but not edit another's words; a reader may do nothing; to
    a stranger the message does not exist. Nothing is left behind."""
    token = await app.login()
    first = await ask(app, token, "Question")
    session_id = row_id("ChatSession", first["session"]["id"])
    assert session_id is not None
    tokens = {name: await app.login(f"{name}@example.com") for name in ("writer", "reader", "not")}
    app.services.store.bind()
    session = await ChatSession.get(id=session_id)
    for name, role in (("writer", ParticipantRole.WRITER), ("reader", ParticipantRole.READER)):
        user = await User.get(email=f"{name}@example.com")
        await Participant.create(
            session_id=session.id, user_id=user.id, role=role, active_at=session.updated_at
        )
    calls = {
        "edit": (EDIT, {"id": first["message"]["id"], "c": "Mine"}),
        "regenerate": (REGENERATE, {"id": first["reply"]["id"]}),
        "select": (SELECT, {"id": first["reply"]["id"]}),
    }
    for name, (operation, variables) in calls.items():
        assert await app.code(operation, variables, tokens["reader"]) == "FORBIDDEN", name
        result = await app.data(operation, variables, tokens["not"])
        assert [one["__typename"] for one in result.values()] == ["NotFound"], name
        assert await app.code(operation, variables) == "UNAUTHENTICATED", name
    assert await app.code(*calls["edit"], tokens["writer"]) == "FORBIDDEN"
    assert await ChatMessage.all().count() == 2
    again = await regenerate(app, tokens["writer"], first["reply"]["id"])
    assert again["__typename"] == "SendMessagePayload"
    await ended(app, token, again["reply"]["id"])


@pytest.mark.parametrize("content", ["", "  \n", "x" * 8_001, "a\x00b"])
async def test_unfit_edits_are_refused(scripted: Running, content: str) -> None:
    """The same rules as for a question, and the old branch stays."""
    token = await scripted.login()
    first = await ask(scripted, token, "Question")
    refused = await edit(scripted, token, first["message"]["id"], content)
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "content")
    nodes = await shown(scripted, token, first["session"]["id"])
    assert len(nodes) == 2


@pytest.mark.parametrize("wrong", ["question", "unknown", "garbage"])
async def test_ids_of_the_wrong_kind_do_not_exist(scripted: Running, wrong: str) -> None:
    """A reply is not edited, a question is not regenerated."""
    token = await scripted.login()
    first = await ask(scripted, token, "Question")
    id = {
        "question": first["message"]["id"],
        "unknown": "Q2hhdE1lc3NhZ2U6MDE5OGYwZTItMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw",
        "garbage": "x",
    }[wrong]
    assert (await regenerate(scripted, token, id))["__typename"] == "NotFound"
    other = first["reply"]["id"] if wrong == "question" else id
    assert (await edit(scripted, token, other, "New"))["__typename"] == "NotFound"


async def test_questions_queue_where_the_setting_says_so(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """With WHILE_REPLYING=queue, questions wait for the reply before them, in their order."""
    settings = test_settings(tmp_path, sqlite_url, while_replying="queue")
    gate = asyncio.Event()
    generator = ScriptedGenerator([gate, "Reply."])
    async with running_app(settings, embedder=embedder, generator=generator) as app:
        token = await app.login()
        sent = (await app.data(SEND, {"i": {"content": "1"}}, token))["sendMessage"]
        session_id = sent["session"]["id"]
        waiting = []
        for number in "234":
            question = {"i": {"content": number, "sessionId": session_id}}
            waiting.append(asyncio.create_task(app.data(ASK, question, token)))
            await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        gate.set()
        results = [(await task)["ask"] for task in waiting]
        assert [one["reply"]["content"] for one in results] == ["Reply."] * 3
        nodes = await shown(app, token, session_id)
        assert [one["content"] for one in nodes if one["role"] == "USER"] == ["1", "2", "3", "4"]


async def test_a_client_key_does_not_open_a_session_again(scripted: Running) -> None:
    """Who was taken out of a session gets nothing from it by repeating an old key."""
    token = await scripted.login()
    sent = await ask(scripted, token, "Question", clientKey="key")
    scripted.services.store.bind()
    await Participant.filter(session_id=row_id("ChatSession", sent["session"]["id"])).delete()
    again = (await scripted.data(ASK, {"i": {"content": "Question", "clientKey": "key"}}, token))[
        "ask"
    ]
    assert again == {"__typename": "NotFound", "problem": "There is no such session."}
