"""Sessions as files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.participant import Participant, ParticipantRole
from models.statements import insert_values
from models.user import User
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from resolvers import export
from resolvers.export import fenced, inline
from schema.node import global_id
from tests.application import Running, running_app, test_settings
from tests.schema.operations import ASK

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EXPORT = """query($id: ID!, $f: ExportFormat! = MARKDOWN) {
  exportSession(id: $id, format: $f) { filename mediaType content } }"""
QUESTION = "Within how many days of delivery can I return an item?"
HOSTILE = (
    "# x\n---\n```\n## y\n```\n~~~\n<h1>z</h1>\n</div>\n[1]: http://evil\n> q\n- l\n\n    code"
)


@pytest.fixture
async def app(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application on either database."""
    generator = ScriptedGenerator(["You have 45 days [1].\n", "```\n# not a heading"])
    async with running_app(
        test_settings(tmp_path, database_url), embedder=embedder, generator=generator
    ) as running:
        yield running


async def exported(app: Running, token: str, id: str, format: str = "MARKDOWN") -> Any:
    return (await app.data(EXPORT, {"id": id, "f": format}, token))["exportSession"]


async def test_a_session_is_exported(app: Running) -> None:
    """Names, times, texts and citations of the active branch, as Markdown and as JSON."""
    token = await app.login()
    asked = (await app.data(ASK, {"i": {"content": QUESTION}}, token))["ask"]
    id = asked["session"]["id"]
    here = {"sessionId": id, "parentId": asked["reply"]["id"]}
    await app.data(ASK, {"i": {"content": "Hidden", **here}}, token)
    await app.data(ASK, {"i": {"content": HOSTILE, **here}}, token)
    found = await exported(app, token, id, "JSON")
    assert found["filename"] == "within-how-many-days-of-delivery-can-i-return-an-item.json"
    assert found["mediaType"] == "application/json"
    document = json.loads(found["content"])
    assert list(document) == ["format", "title", "createdAt", "exportedAt", "messages"]
    assert document["format"] == "groundql.session/1"
    assert document["title"] == QUESTION
    assert [one["content"] for one in document["messages"]][::2] == [QUESTION, HOSTILE]
    question, reply = document["messages"][:2]
    assert question["role"] == "USER"
    assert question["author"] == "ada"
    assert datetime.fromisoformat(question["createdAt"]).tzinfo == UTC
    assert list(reply) == [
        "role",
        "author",
        "createdAt",
        "status",
        "content",
        "grounded",
        "failure",
        "citations",
    ]
    assert reply["author"] is None
    assert reply["status"] == "COMPLETE"
    (citation,) = reply["citations"]
    assert citation["number"] == 1
    assert citation["title"] == "Returns"
    assert "45 days" in citation["quote"]
    found = await exported(app, token, id)
    assert found["filename"].endswith(".md")
    assert found["mediaType"] == "text/markdown"
    tokens = MarkdownIt("commonmark").parse(found["content"])
    assert [one.tag for one in tokens if one.type == "heading_open"] == ["h1"] + ["h2"] * 4
    fences = [one.content for one in tokens if one.type == "fence"]
    assert fences == [one["content"] + "\n" for one in document["messages"]]
    assert not [one for one in tokens if one.type in ("html_block", "hr", "blockquote_open")]
    assert "Hidden" not in found["content"]
    assert "45 days" in found["content"].partition("Sources:")[2]


async def test_only_participants_export(app: Running) -> None:
    """Owner and reader export; to a stranger there is nothing; anonymous callers must log in."""
    owner, reader, stranger = [
        await app.login(f"{name}@example.com") for name in ("owner", "reader", "stranger")
    ]
    asked = (await app.data(ASK, {"i": {"content": QUESTION}}, owner))["ask"]
    id = asked["session"]["id"]
    app.services.store.bind()
    session = await ChatSession.all().first()
    assert session is not None
    await Participant.create(
        session_id=session.id,
        user_id=(await User.get(email="reader@example.com")).id,
        role=ParticipantRole.READER,
        active_at=NOW,
    )
    assert (await exported(app, owner, id))["content"]
    assert (await exported(app, reader, id))["content"]
    for token, key in ((stranger, id), (owner, "x"), (owner, asked["reply"]["id"])):
        assert await exported(app, token, key) is None
    assert await app.code(EXPORT, {"id": id}) == "UNAUTHENTICATED"


async def test_long_sessions(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pages come whole and in order; what exceeds a limit is refused in words."""
    token = await app.login()
    app.services.store.bind()
    user = await User.get(email="ada@example.com")
    session = await ChatSession.create(owner_id=user.id, title='../Ünsafe: "x"', updated_at=NOW)
    await Participant.create(
        session_id=session.id, user_id=user.id, role=ParticipantRole.OWNER, active_at=NOW
    )
    fields = ("id", "session_id", "role", "status", "content", "active", "created_at", "failure")
    await app.services.store.write(
        [
            insert_values(
                ChatMessage,
                fields,
                [
                    [
                        new_id(),
                        session.id,
                        MessageRole.ASSISTANT,
                        MessageStatus.FAILED,
                        f"number {number}",
                        True,
                        NOW,
                        "Why *not*",
                    ]
                    for number in range(export.PAGE * 2)
                ],
            )
        ]
    )
    id = global_id("ChatSession", session.id)
    found = await exported(app, token, id, "JSON")
    assert found["filename"] == "unsafe-x.json"
    contents = [one["content"] for one in json.loads(found["content"])["messages"]]
    assert contents == [f"number {number}" for number in range(export.PAGE * 2)]
    assert "Status: FAILED: Why \\*not\\*\n" in (await exported(app, token, id))["content"]
    monkeypatch.setattr(export, "MAX_CHARACTERS", 1000)
    assert await app.code(EXPORT, {"id": id}, token) == "BAD_USER_INPUT"
    monkeypatch.setattr(export, "MAX_MESSAGES", export.PAGE)
    assert await app.code(EXPORT, {"id": id}, token) == "BAD_USER_INPUT"


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=80
) | st.text("`~#-=*_[]()<>!|\\ \n1.+&;:/@a\t", min_size=1, max_size=80)


@given(texts)
def test_a_fence_holds_any_text(text: str) -> None:
    """The document is the fence and nothing else, and the text comes out as it was."""
    tokens = MarkdownIt("commonmark").parse(f"{fenced(text)}\n")
    assert [one.type for one in tokens] == ["fence"]
    assert tokens[0].content == text + "\n"


@given(texts)
def test_an_inline_text_is_text(text: str) -> None:
    """In a heading and in a list item it is shown as it is, in one line, and begins nothing."""
    line = " ".join(text.split())
    for before in ("# ", "- "):
        tokens = MarkdownIt("commonmark").parse(f"{before}{inline(text)}\n")
        blocks = [one for one in tokens if one.type == "inline"]
        assert len(blocks) == (1 if line else len(blocks))
        assert len(tokens) <= 7
        children = [child for block in blocks for child in block.children or ()]
        assert {child.type for child in children} <= {"text", "text_special"}
        assert "".join(child.content for child in children) == line
