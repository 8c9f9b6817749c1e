"""Titles that are made beside the conversation, with the vendors' SDKs against wire servers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from models.chat_session import ChatSession
from rag.embedding.base import Embedder
from resolvers import titles
from resolvers.session_bus import SessionChanged, SessionEvent
from tests.application import Running, running_app, test_settings
from tests.schema.operations import ASK
from tests.wire import gemini_server, openai_server
from tests.wire.server import Script, stalled_before_headers

pytestmark = pytest.mark.anyio

QUESTION = "Hi, within how many days can I return an item?"
CLEANED = "Within how many days can I return an item?"
CREATE = "mutation { createSession { ... on ChatSession { id } } }"


def app(
    server: openai_server.OpenAIWireServer,
    folder: Path,
    url: str,
    embedder: Embedder,
    **changes: Any,
) -> AbstractAsyncContextManager[Running]:
    settings = test_settings(
        folder, url, openai_base_url=server.base_url, generator="openai", **changes
    )
    return running_app(settings, embedder=embedder)


async def ask(running: Running, token: str, **more: Any) -> dict[str, Any]:
    result = await running.data(ASK, {"i": {"content": QUESTION, **more}}, token)
    asked: dict[str, Any] = result["ask"]
    return asked


async def title(running: Running, token: str, asked: dict[str, Any]) -> str:
    query = "query($id: ID!) { session(id: $id) { title } }"
    found: str = (await running.data(query, {"id": asked["session"]["id"]}, token))["session"][
        "title"
    ]
    return found


async def wait_for_title(running: Running, token: str, asked: dict[str, Any], wanted: str) -> None:
    for _ in range(100):
        if await title(running, token, asked) == wanted:
            return
        await asyncio.sleep(0.02)
    assert await title(running, token, asked) == wanted


async def test_the_model_gives_the_title_once(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """After the first reply the model is asked for a title; later replies change nothing."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(
            openai_server.answer("45 days [1]."), openai_server.answer('"Return ', 'periods."')
        )
        async with app(server, tmp_path, sqlite_url, embedder) as running:
            token = await running.login()
            told: list[SessionEvent] = []
            running.services.sessions.listen(lambda _, event: told.append(event))
            asked = await ask(running, token)
            assert asked["session"]["title"] == CLEANED
            await wait_for_title(running, token, asked, "Return periods")
            assert SessionChanged() in told
            await ask(running, token, sessionId=asked["session"]["id"])
            await asyncio.sleep(0.1)
            assert await title(running, token, asked) == "Return periods"
            assert len(server.requests) == 3
            prompt = server.requests[1].json["messages"]
            assert CLEANED[7:] in prompt[-1]["content"]
            assert "45 days" in prompt[-1]["content"]


async def test_gemini_gives_the_title_too(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """The port is the same for all vendors."""
    with gemini_server.GeminiWireServer() as server:
        server.enqueue(gemini_server.answer("45 days."), gemini_server.answer("Return periods"))
        settings = test_settings(
            tmp_path,
            sqlite_url,
            gemini_base_url=server.base_url,
            gemini_api_key="AIza-test",
            generator="gemini",
        )
        async with running_app(settings, embedder=embedder) as running:
            token = await running.login()
            asked = await ask(running, token)
            await wait_for_title(running, token, asked, "Return periods")


@pytest.mark.parametrize("kind", ["failure", "too long", "empty"])
async def test_a_failure_is_one_line_and_no_retry(
    kind: str,
    anyio_backend: str,
    sqlite_url: str,
    tmp_path: Path,
    embedder: Embedder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The title of the question stays, and the model is asked once."""
    scripts: dict[str, Script] = {
        "failure": openai_server.error(500, "down"),
        "too long": openai_server.answer(*["word "] * 100),
        "empty": openai_server.answer(" "),
    }
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.answer("45 days."), scripts[kind])
        with caplog.at_level(logging.INFO, "groundql.titles"):
            async with app(server, tmp_path, sqlite_url, embedder) as running:
                token = await running.login()
                asked = await ask(running, token)
                assert await asyncio.to_thread(server.wait_for_requests, 2)
                await asyncio.sleep(0.3)
                assert await title(running, token, asked) == CLEANED
                assert len(server.requests) == 2
    lines = [record for record in caplog.records if record.name == "groundql.titles"]
    assert len(lines) == (1 if kind == "failure" else 0)
    assert all(record.exc_info is None for record in lines)


async def test_a_person_s_title_stays(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """A title that a person gives while the model works is not replaced, and a server that stops
    does not wait for the model."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.answer("45 days."), openai_server.answer("Model's"))
        async with app(server, tmp_path, sqlite_url, embedder) as running:
            token = await running.login()
            running.services.store.bind()
            made = (await running.data(CREATE, token=token))["createSession"]["id"]
            await ChatSession.all().update(title="Mine", title_source="PERSON")
            asked = await ask(running, token, sessionId=made)
            await asyncio.sleep(0.1)
            assert await title(running, token, asked) == "Mine"
            assert len(server.requests) == 1


async def test_the_server_does_not_wait_for_a_title(
    anyio_backend: str,
    sqlite_url: str,
    tmp_path: Path,
    embedder: Embedder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A model that never answers delays neither the reply nor the server's stop."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.answer("45 days."), stalled_before_headers())
        async with app(server, tmp_path, sqlite_url, embedder) as running:
            token = await running.login()
            asked = await ask(running, token)
            assert asked["reply"]["status"] == "COMPLETE"
            assert await asyncio.to_thread(server.wait_for_requests, 2)
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < titles.TIME_LIMIT / 2
    assert [record for record in caplog.records if record.name == "groundql.titles"] == []


async def test_a_slow_model_is_given_up(
    anyio_backend: str,
    sqlite_url: str,
    tmp_path: Path,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After the time limit the title of the question stays, and one line says so."""
    monkeypatch.setattr(titles, "TIME_LIMIT", 0.2)
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.answer("45 days."), stalled_before_headers())
        async with app(server, tmp_path, sqlite_url, embedder) as running:
            token = await running.login()
            asked = await ask(running, token)
            await asyncio.sleep(0.6)
            assert await title(running, token, asked) == CLEANED
    assert [
        record.message[:8] for record in caplog.records if record.name == "groundql.titles"
    ] == ["No title"]


async def test_offline_the_question_is_the_title(offline: Running) -> None:
    """Without a model the cleaned question stays, also in a session that was begun empty."""
    token = await offline.login()
    asked = await ask(offline, token)
    await asyncio.sleep(0.1)
    assert await title(offline, token, asked) == CLEANED
    made = (await offline.data(CREATE, token=token))["createSession"]["id"]
    asked = await ask(offline, token, sessionId=made)
    await wait_for_title(offline, token, asked, CLEANED)


async def test_the_model_is_not_asked_where_the_setting_says_so(
    tmp_path: Path, sqlite_url: str, embedder: Embedder
) -> None:
    """With MODEL_TITLES=false the provider sees one request, for the reply."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.answer("45 days."))
        async with app(server, tmp_path, sqlite_url, embedder, model_titles=False) as running:
            token = await running.login()
            asked = await ask(running, token)
            await asyncio.sleep(0.2)
            assert await title(running, token, asked) == asked["session"]["title"]
        assert len(server.requests) == 1
