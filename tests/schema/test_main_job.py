"""The main job, on SQLite and on PostgreSQL: register, log in, ask, stream, read the history."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.embedding.base import Embedder
from tests.application import PASSWORD, running_app, test_settings
from tests.schema.operations import ASK, CHAT, FOLLOW, HISTORY, SESSIONS

pytestmark = pytest.mark.anyio


async def test_a_newcomer_gets_a_streamed_cited_answer_and_finds_it_again(
    database_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """Every step of the README's walk works on either database."""
    settings = test_settings(tmp_path, database_url)
    async with running_app(settings, embedder=embedder) as app:
        registered = await app.data(
            """mutation($p: String!) { register(input: {email: "New@Example.com", password: $p}) {
                 __typename ... on Registration { email verificationRequired } } }""",
            {"p": PASSWORD},
        )
        assert registered["register"] == {
            "__typename": "Registration",
            "email": "new@example.com",
            "verificationRequired": False,
        }
        token = await app.login("new@example.com")
        me = await app.data("{ me { email displayName role emailVerified } }", token=token)
        assert me["me"] == {
            "email": "new@example.com",
            "displayName": "new",
            "role": "USER",
            "emailVerified": False,
        }

        asked = await app.data(
            ASK, {"i": {"content": "How many days do I have to send something back?"}}, token
        )
        reply = asked["ask"]["reply"]
        assert reply["status"] == "COMPLETE"
        assert reply["grounded"] is True
        assert "45 days" in reply["content"]
        assert "[1]" in reply["content"]
        for citation in reply["citations"]:
            start, end = citation["startOffset"], citation["endOffset"]
            assert citation["document"]["content"][start:end] == citation["quote"]
            assert f"[{citation['number']}]" in reply["content"]
        assert any("45 days" in citation["quote"] for citation in reply["citations"])
        assert reply["usage"]["provider"] == "offline"

        session_id = asked["ask"]["session"]["id"]
        payloads = [
            payload
            async for payload in app.subscribe(
                CHAT,
                {
                    "i": {
                        "content": "And what does the return shipping cost?",
                        "sessionId": session_id,
                    }
                },
                token,
            )
        ]
        assert all("errors" not in payload for payload in payloads)
        events = [payload["data"]["chat"] for payload in payloads]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert events[0]["__typename"] == "ReplyStarted"
        assert events[0]["message"]["content"] == "And what does the return shipping cost?"
        assert events[1]["__typename"] == "SourcesFound"
        assert events[-1]["__typename"] == "ReplyEnded"
        deltas = [event["text"] for event in events if event["__typename"] == "TextDelta"]
        assert len(deltas) > 5
        assert "".join(deltas) == events[-1]["reply"]["content"]
        assert "4.90 euros" in events[-1]["reply"]["content"]

        again = [
            payload["data"]["reply"]
            async for payload in app.subscribe(FOLLOW, {"id": events[0]["replyId"], "a": 3}, token)
        ]
        assert again == events[3:]

        history = await app.data(HISTORY, {"id": session_id}, token)
        nodes = [edge["node"] for edge in history["session"]["messages"]["edges"]]
        assert [node["role"] for node in nodes] == ["USER", "ASSISTANT"] * 2
        assert nodes[1]["content"] == reply["content"]
        assert [node["parent"] and node["parent"]["id"] for node in nodes] == [
            None,
            *[node["id"] for node in nodes[:3]],
        ]
        assert nodes[0]["author"] == {"email": "new@example.com"}
        assert nodes[1]["author"] is None

        sessions = await app.data(SESSIONS, token=token)
        assert [edge["node"]["title"] for edge in sessions["sessions"]["edges"]] == [
            "How many days do I have to send something back?"
        ]


async def test_what_the_documents_do_not_cover_is_said_plainly(
    database_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """A question without an answer in the documents gets no sources and no citation."""
    async with running_app(test_settings(tmp_path, database_url), embedder=embedder) as app:
        token = await app.login()
        asked = await app.data(
            ASK, {"i": {"content": "Who won the football world cup in 1998?"}}, token
        )
        reply = asked["ask"]["reply"]
        assert reply["grounded"] is False
        assert reply["citations"] == []
        assert "do not cover" in reply["content"]
        assert "[" not in reply["content"]


async def test_an_answer_survives_a_restart(
    database_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """The same history and the same events are there after the server was started anew, and
    nothing is embedded again."""
    settings = test_settings(tmp_path, database_url)
    async with running_app(settings, embedder=embedder) as app:
        token = await app.login()
        asked = await app.data(ASK, {"i": {"content": "What does E2 mean on my kettle?"}}, token)
        reply_id = asked["ask"]["reply"]["id"]
        before = [event async for event in app.subscribe(FOLLOW, {"id": reply_id}, token)]
    async with running_app(settings, embedder=embedder) as app:
        after = [event async for event in app.subscribe(FOLLOW, {"id": reply_id}, token)]
        history = await app.data(HISTORY, {"id": asked["ask"]["session"]["id"]}, token)
    assert before == after
    assert "sensor" in before[-1]["data"]["reply"]["reply"]["content"]
    assert history["session"]["messages"]["edges"][1]["node"]["id"] == reply_id
