"""Why a question found what it found, through the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.user import Role
from rag.embedding.base import Embedder
from rag.rerank.fake import FakeReranker
from tests.application import Running, running_app, test_settings
from tests.rag.rerank.test_cross_encoder import save_model
from tests.schema.operations import ASK, HISTORY

pytestmark = pytest.mark.anyio

EXPLAIN = """query Explain($q: String, $m: ID, $f: DocumentFilter) {
  explainRetrieval(question: $q, messageId: $m, filter: $f) {
    question searched grounded relevance threshold passageCount allowedCount promptTokens
    prompt { role content }
    timings { name milliseconds }
    candidates { text headings outcome number removedBy document { title content }
      dense { rank score } lexical { rank score } fused { rank score }
      relevance { rank score } reranked { rank score } } } }"""
SEARCH = "query($q: String!) { searchKnowledge(query: $q) { text score } }"
QUESTION = "Within how many days of delivery can I return an item?"


async def explain(app: Running, token: str, **variables: Any) -> Any:
    return (await app.data(EXPLAIN, variables, token))["explainRetrieval"]


def titles(explanation: Any, outcome: str) -> list[str]:
    return [
        one["document"]["title"] for one in explanation["candidates"] if one["outcome"] == outcome
    ]


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
async def test_an_explanation_agrees_with_the_search(offline: Running, role: Role) -> None:
    """The sources are the hits of searchKnowledge with their scores, and the prompt holds them."""
    token = await offline.login(f"{role.value.lower()}@example.com", role=role)
    explanation = await explain(offline, token, q=QUESTION)
    hits = (await offline.data(SEARCH, {"q": QUESTION}, token))["searchKnowledge"]
    sources = [one for one in explanation["candidates"] if one["outcome"] == "HIT"]
    assert [one["number"] for one in sources] == list(range(1, len(sources) + 1))
    assert [one["text"] for one in sources] == [hit["text"] for hit in hits[: len(sources)]]
    assert [one["relevance"]["score"] for one in sources] == [
        hit["score"] for hit in hits[: len(sources)]
    ]
    first = sources[0]
    assert first["document"]["title"] == "Returns"
    assert (first["fused"]["rank"], first["relevance"]["rank"]) == (1, 1)
    assert first["lexical"]["rank"] == 1
    assert first["reranked"] is None
    assert first["removedBy"] == []
    assert explanation["question"] == explanation["searched"] == QUESTION
    assert explanation["grounded"] is True
    assert explanation["relevance"] == hits[0]["score"] >= explanation["threshold"]
    assert explanation["passageCount"] == explanation["allowedCount"] >= 4
    assert [part["role"] for part in explanation["prompt"]] == ["SYSTEM", "USER"]
    assert first["text"] in explanation["prompt"][0]["content"]
    assert explanation["prompt"][1]["content"] == QUESTION
    assert explanation["promptTokens"] > 100
    assert [one["name"] for one in explanation["timings"]] == [
        "words",
        "embedding",
        "search",
        "prompt",
    ]


async def test_what_a_filter_removed_is_shown(offline: Running) -> None:
    """With what excludes it and the place that it would have had."""
    token = await offline.login("ed@example.com", role=Role.EDITOR)
    explanation = await explain(offline, token, q=QUESTION, f={"categories": ["kitchen"]})
    assert set(titles(explanation, "HIT")) == {"Gooseneck kettle manual"}
    assert "Returns" in titles(explanation, "FILTERED")
    removed = next(one for one in explanation["candidates"] if one["outcome"] == "FILTERED")
    assert removed["removedBy"] == ["category"]
    assert removed["fused"]["rank"] == 1
    assert removed["number"] is None
    assert explanation["allowedCount"] < explanation["passageCount"]


async def test_a_message_is_explained_with_its_history_and_filter(offline: Running) -> None:
    """By the question's id or the reply's, as the reply had them; later turns do not count."""
    token = await offline.login("ed@example.com", role=Role.EDITOR)
    first = await offline.data(
        ASK, {"i": {"content": "How long do parcels within Germany take?"}}, token
    )
    session = first["ask"]["session"]["id"]
    second = await offline.data(
        ASK,
        {
            "i": {
                "content": "And to Switzerland?",
                "sessionId": session,
                "filter": {"types": ["policy"]},
            }
        },
        token,
    )
    await offline.data(ASK, {"i": {"content": "Thanks.", "sessionId": session}}, token)
    asked, reply = second["ask"]["message"]["id"], second["ask"]["reply"]["id"]
    by_question = await explain(offline, token, m=asked)
    by_reply = await explain(offline, token, m=reply)
    assert by_question["question"] == by_reply["question"] == "And to Switzerland?"
    assert by_question["searched"] == (
        "How long do parcels within Germany take?\nAnd to Switzerland?"
    )
    assert [part["role"] for part in by_question["prompt"]] == [
        "SYSTEM",
        "USER",
        "ASSISTANT",
        "USER",
    ]
    assert by_question["candidates"] == by_reply["candidates"]
    assert "Gooseneck kettle manual" in titles(by_question, "FILTERED")
    alone = await explain(offline, token, m=first["ask"]["message"]["id"])
    assert alone["searched"] == "How long do parcels within Germany take?"
    assert alone["allowedCount"] == alone["passageCount"]


async def test_only_editors_and_admins_may_ask(offline: Running) -> None:
    """A person without the role is refused, an anonymous one must log in."""
    token = await offline.login("user@example.com")
    assert await offline.code(EXPLAIN, {"q": QUESTION}, token) == "FORBIDDEN"
    sent = await offline.data(ASK, {"i": {"content": QUESTION}}, token)
    mine = sent["ask"]["message"]["id"]
    assert await offline.code(EXPLAIN, {"m": mine}, token) == "FORBIDDEN"
    assert await offline.code(EXPLAIN, {"q": QUESTION}) == "UNAUTHENTICATED"


async def test_other_peoples_messages_do_not_exist(offline: Running) -> None:
    """Also for an editor: the sessions of others are theirs; and nothing was stored."""
    token = await offline.login("user@example.com")
    sent = await offline.data(ASK, {"i": {"content": QUESTION}}, token)
    editor = await offline.login("ed@example.com", role=Role.EDITOR)
    assert await explain(offline, editor, m=sent["ask"]["message"]["id"]) is None
    assert await explain(offline, editor, m="nothing") is None
    history = await offline.data(HISTORY, {"id": sent["ask"]["session"]["id"]}, token)
    assert len(history["session"]["messages"]["edges"]) == 2


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"q": QUESTION, "m": "x"},
        {"m": "x", "f": {"types": ["faq"]}},
        {"q": " "},
        {"q": "x" * 2001},
        {"q": "x", "f": {"types": ["x"] * 101}},
    ],
)
async def test_unfit_arguments_are_bad_user_input(
    offline: Running, variables: dict[str, Any]
) -> None:
    """Either a question or a message, and a filter for a question only."""
    token = await offline.login("ed@example.com", role=Role.EDITOR)
    assert await offline.code(EXPLAIN, variables, token) == "BAD_USER_INPUT"


async def test_the_server_takes_a_reranking_model(
    tmp_path: Path, sqlite_url: str, embedder: Embedder
) -> None:
    """It orders the sources of answers, and an explanation shows its places."""
    model = FakeReranker()
    settings = test_settings(tmp_path, sqlite_url, generator="offline")
    async with running_app(settings, embedder=embedder, reranker=lambda: model) as app:
        token = await app.login("ed@example.com", role=Role.EDITOR)
        explanation = await explain(app, token, q=QUESTION)
    places = [one["reranked"] for one in explanation["candidates"] if one["outcome"] == "HIT"]
    assert [place["rank"] for place in places] == list(range(1, len(places) + 1))
    assert [place["score"] for place in places] == sorted(
        (place["score"] for place in places), reverse=True
    )
    assert "reranking" in [one["name"] for one in explanation["timings"]]
    assert model.calls[0][0] == QUESTION


async def test_reranker_names_a_folder(tmp_path: Path, sqlite_url: str, embedder: Embedder) -> None:
    """The setting loads a real cross-encoder."""
    folder = save_model(tmp_path / "tiny")
    settings = test_settings(tmp_path, sqlite_url, generator="offline", reranker=str(folder))
    async with running_app(settings, embedder=embedder) as app:
        token = await app.login("ed@example.com", role=Role.EDITOR)
        explanation = await explain(app, token, q=QUESTION)
    assert explanation["candidates"][0]["reranked"]["rank"] == 1


async def test_a_reranker_that_cannot_be_loaded_is_said(
    tmp_path: Path, sqlite_url: str, embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    """Questions are not answered in another quality than was asked for: /readyz says failed, and
    the log why."""
    (tmp_path / "empty").mkdir()
    settings = test_settings(
        tmp_path, sqlite_url, generator="offline", reranker=str(tmp_path / "empty")
    )
    async with running_app(settings, embedder=embedder) as app:
        token = await app.login("ed@example.com", role=Role.EDITOR)
        assert await app.code(EXPLAIN, {"q": QUESTION}, token) == "SERVICE_UNAVAILABLE"
        assert await app.code(SEARCH, {"q": QUESTION}, token) == "SERVICE_UNAVAILABLE"
        ready = await app.http.get(app.url.replace("/graphql", "/readyz"))
    assert ready.status_code == 503
    assert ready.json()["status"] == "failed"
    assert "the reranking model empty cannot be loaded" in caplog.text
