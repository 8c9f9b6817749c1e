"""Searching one's history, through the real application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.participant import Participant, ParticipantRole
from models.user import User
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from resolvers.message_search import find_matches, fold, make_snippet, parse_query
from schema.node import global_id
from tests.application import Running, running_app, test_settings
from tests.schema.operations import ASK, HISTORY

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SEARCH = """
query Search($q: String!, $first: Int, $after: String) {
  searchMessages(query: $q, first: $first, after: $after) {
    __typename pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { __typename cursor node { id content session { id } }
      snippet { text startOffset highlights { start end } } } } }
"""
# What FTS5 and tsquery have a meaning for, and what no parser likes.
HOSTILE = [
    "",
    " ",
    '"',
    '""',
    '"""',
    'a"',
    '"a',
    '" a',
    '"a" "',
    "AND",
    "OR",
    "NOT",
    "NEAR",
    "a AND",
    "a OR b",
    "NOT a",
    "NEAR(a b)",
    "NEAR(a b, 2",
    "NEAR/3",
    "*",
    "a*",
    "*a",
    "a * b",
    "^a",
    "^",
    "content:a",
    "a:b",
    ":",
    "a + b",
    "a - b",
    "-a",
    "(a",
    "a)",
    "{a b}:c",
    "a & b",
    "a | !b",
    "a <-> b",
    "a:*",
    "'",
    "a'b",
    "\\",
    "%s $1 ?1 :x",
    "a;b--",
    "\0",
    "a\0b",
    "\ud800",
    "a\ud800b",
    "\n\t",
    "½ ² ⅷ",
    "🎉",
    "e\u0301",
    "\u0301",
    "हिन्दी",
    "日本語",
    "i̇İ",
    "ß",
    "<b>a</b>",
    "a@example.com",
    "/usr/bin/a",
    "1e5",
    "4.90",
    "x" * 2000,
    "a " * 1000,
    '"a" ' * 500,
    "e\u0301" * 1000,
]


@pytest.fixture
async def app(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application on either database."""
    generator = ScriptedGenerator(["Parcels to Zürich take ", "six working days."])
    async with running_app(
        test_settings(tmp_path, database_url), embedder=embedder, generator=generator
    ) as running:
        yield running


async def add(app: Running, email: str, *contents: str) -> ChatSession:
    """A session with these messages, oldest first."""
    app.services.store.bind()
    user = await User.get(email=email)
    session = await ChatSession.create(owner_id=user.id, title="t", updated_at=NOW)
    await Participant.create(
        session_id=session.id, user_id=user.id, role=ParticipantRole.OWNER, active_at=NOW
    )
    for content in contents:
        await ChatMessage.create(
            id=new_id(),
            session_id=session.id,
            role=MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content=content,
            author_id=user.id,
        )
    return session


async def search(app: Running, token: str, query: str, **more: Any) -> list[str]:
    """The contents of the first page."""
    found = (await app.data(SEARCH, {"q": query, **more}, token))["searchMessages"]
    return [edge["node"]["content"] for edge in found["edges"]]


async def test_words_phrases_and_beginnings(app: Running) -> None:
    """All words must occur, phrases stand together, the last word may be a beginning."""
    token = await app.login()
    contents = [
        "Return shipping costs 4.90 euros.",
        "Shipping a return: see the policy.",
        "Die Müller-Lieferung kommt morgen. STRASSE, Ärger",
        "See https://example.com/users/ada?x=1 and ada@example.com <b>bold</b>",
        "A returned parcel",
    ]
    await add(app, "ada@example.com", *contents)
    for query, expected in {
        "return shipping": [0, 1],
        '"return shipping"': [0],
        '"return ship': [0],
        '"return ship"': [],
        "retur": [4, 1, 0],
        "retur costs": [],
        "muller": [2],
        "MÜLLER": [2],
        "mu\u0308ller lief": [2],
        "arger strasse": [2],
        "4.90": [0],
        "bold": [3],
        "users ada": [3],
        "example.com": [3],
        "shipping nothing": [],
        "AND": [3],
        "ret*": [4, 1, 0],
    }.items():
        found = await search(app, token, query)
        assert sorted(map(contents.index, found)) == sorted(expected), query
    # Whole words come before longer ones, and each group is newest first.
    assert await search(app, token, "return") == [
        "Shipping a return: see the policy.",
        "Return shipping costs 4.90 euros.",
        "A returned parcel",
    ]


async def test_the_closer_comes_first(app: Running) -> None:
    """Words that stand together come first, then near ones, then others; each newest first."""
    token = await app.login()
    far = "alpha " + "x " * 40 + "beta"
    contents = [far, "alpha beta one", "alpha or beta", "alpha betabeta", "alpha beta two", far]
    await add(app, "ada@example.com", *contents)
    assert await search(app, token, "alpha beta") == [
        "alpha beta two",
        "alpha beta one",
        "alpha betabeta",
        "alpha or beta",
        far,
        far,
    ]


async def test_pages_are_exact_while_messages_come(app: Running) -> None:
    """Every message that was there at the first page comes once, whatever is written meanwhile."""
    token = await app.login()
    texts = [f"{'alpha beta' if n % 3 else 'alpha, then beta'} number {n}" for n in range(23)]
    await add(app, "ada@example.com", *texts)
    seen: list[str] = []
    after: str | None = None
    pages = 0
    while True:
        page = (await app.data(SEARCH, {"q": "alpha beta", "first": 5, "after": after}, token))[
            "searchMessages"
        ]
        assert page["__typename"] == "ChatMessageConnection"
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        seen += [edge["node"]["content"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        pages += 1
        if not page["pageInfo"]["hasNextPage"]:
            break
        await add(app, "ada@example.com", *(f"alpha beta new {pages} {n}" for n in range(7)))
    assert sorted(text for text in seen if "new" not in text) == sorted(texts)
    assert len(seen) == len(set(seen))
    assert pages == 5


async def test_only_one_s_own_sessions_are_searched(app: Running) -> None:
    """Owner and reader find a message, a stranger does not, an anonymous caller must log in."""
    owner, reader, stranger = [
        await app.login(f"{name}@example.com") for name in ("owner", "reader", "stranger")
    ]
    session = await add(app, "owner@example.com", "The secret word is xylophone")
    part = await Participant.create(
        session_id=session.id,
        user_id=(await User.get(email="reader@example.com")).id,
        role=ParticipantRole.READER,
        active_at=NOW,
    )
    for token, count in ((owner, 1), (reader, 1), (stranger, 0)):
        assert len(await search(app, token, "xylophone")) == count
    await part.delete()
    assert await search(app, reader, "xylophone") == []
    assert await app.code(SEARCH, {"q": "xylophone"}) == "UNAUTHENTICATED"


async def test_the_index_follows_the_messages(app: Running) -> None:
    """What is written is found, what is changed is found anew, what is deleted is not."""
    token = await app.login()
    asked = (await app.data(ASK, {"i": {"content": "How long to Zürich?"}}, token))["ask"]
    assert await search(app, token, "zurich") == [
        "Parcels to Zürich take six working days.",
        "How long to Zürich?",
    ]
    app.services.store.bind()
    message = await ChatMessage.filter(role=MessageRole.USER).first()
    assert message is not None
    await ChatMessage.filter(id=message.id).update(content="How long to Basel?")
    assert await search(app, token, "zurich") == ["Parcels to Zürich take six working days."]
    assert await search(app, token, "basel") == ["How long to Basel?"]
    await ChatMessage.filter(id=message.id).update(content="")
    assert await search(app, token, "basel") == []
    await app.data(
        "mutation($id: ID!) { deleteSession(id: $id) { __typename } }",
        {"id": asked["session"]["id"]},
        token,
    )
    assert await search(app, token, "zurich") == []
    if app.services.store.is_sqlite:
        connection = app.services.store.connection
        # Raises an error if the index and the texts differ.
        await connection.execute_query(
            "INSERT INTO message_search (message_search, rank) VALUES ('integrity-check', 1)"
        )
        rows = await connection.execute_query_dict("SELECT count(*) AS n FROM message_search_key")
        assert rows[0]["n"] == 0


async def test_hidden_branches_are_searched(app: Running) -> None:
    """A message that the session does not show any more is found, too."""
    token = await app.login()
    first = (await app.data(ASK, {"i": {"content": "Root"}}, token))["ask"]
    here = {"sessionId": first["session"]["id"], "parentId": first["reply"]["id"]}
    await app.data(ASK, {"i": {"content": "Hidden pelican", **here}}, token)
    await app.data(ASK, {"i": {"content": "Shown", **here}}, token)
    assert await search(app, token, "pelican") == ["Hidden pelican"]


async def test_deleting_a_person_empties_the_index(app: Running) -> None:
    """Cascaded deletes reach the index."""
    await app.login()
    await add(app, "ada@example.com", "one pelican", "two pelicans")
    await (await User.get(email="ada@example.com")).delete()
    if app.services.store.is_sqlite:
        connection = app.services.store.connection
        rows = await connection.execute_query_dict(
            "SELECT rowid FROM message_search WHERE message_search MATCH 'pelican'"
        )
        assert list(rows) == []
    assert await ChatMessage.all().count() == 0


@pytest.mark.parametrize("start", range(0, len(HOSTILE), 16))
async def test_no_query_is_a_syntax_error(app: Running, start: int) -> None:
    """Whatever is typed finds something or nothing, and never fails."""
    token = await app.login()
    await add(app, "ada@example.com", *(text for text in HOSTILE if _storable(text)))
    for query in HOSTILE[start : start + 16]:
        contents = await search(app, token, query, first=100)
        if not parse_query(query):
            assert contents == []
        elif _storable(query):
            # A text is found by itself.
            assert query in contents, query


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


async def test_long_queries_and_foreign_cursors_are_refused(app: Running) -> None:
    """They are BAD_USER_INPUT, as page sizes out of range are."""
    token = await app.login()
    assert await search(app, token, "é" * 2000) == []
    for variables in (
        {"q": "x" * 2001},
        {"q": "x", "first": 0},
        {"q": "x", "first": 101},
        {"q": "x", "after": "x"},
        {"q": "x", "after": "WyJ4Il0="},
        {"q": "x", "after": "WyJ4IiwieSJd"},
        {"q": "x", "after": "WyI5IiwieSJd"},
    ):
        assert await app.code(SEARCH, variables, token) == "BAD_USER_INPUT", variables


async def test_a_snippet_shows_the_matches(app: Running) -> None:
    """It is a verbatim part of the content with the matches as ranges; a history has none."""
    token = await app.login()
    text = "🎉 " + "before " * 100 + "Der Fahrer heißt MÜLLER, sagte mu\u0308ller. " + "after " * 99
    session = await add(app, "ada@example.com", text)
    found = (await app.data(SEARCH, {"q": "muller"}, token))["searchMessages"]
    (edge,) = found["edges"]
    assert edge["__typename"] == "ChatMessageEdge"
    snippet = edge["snippet"]
    start = snippet["startOffset"]
    assert snippet["text"] == text[start : start + len(snippet["text"])]
    assert len(snippet["text"]) <= 240
    shown = [snippet["text"][one["start"] : one["end"]] for one in snippet["highlights"]]
    assert shown == ["MÜLLER", "mu\u0308ller"]
    history = await app.data(
        HISTORY.replace("edges { cursor", "edges { snippet { text } cursor"),
        {"id": global_id("ChatSession", session.id)},
        token,
    )
    assert [edge["snippet"] for edge in history["session"]["messages"]["edges"]] == [None]


# ---- the parser and the snippets -----------------------------------------------------------------

words = st.text(st.characters(categories=["L", "N", "M", "P", "Z", "S"]), max_size=12)


@given(st.text(max_size=300))
def test_a_query_becomes_words_only(text: str) -> None:
    """No character with a meaning for a search engine is left, and only the last word is open."""
    phrases = parse_query(text)
    for phrase in phrases:
        assert phrase.words
        for word in phrase.words:
            assert word[0].isalnum()
            assert not set(word) & set("\"'*^:()+-{}\\<>&|!_\0 ")
    assert not any(phrase.prefix for phrase in phrases[:-1])


@given(st.lists(words, min_size=1, max_size=80), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_snippet_is_a_part_of_the_text(texts: list[str], data: st.DataObject) -> None:
    """Its text is the content's, ranges lie in it in order, and each holds what was asked for."""
    content = " ".join(texts)
    query = data.draw(st.sampled_from(texts))
    phrases = parse_query(query)
    if not phrases:
        return
    snippet = make_snippet(content, phrases)
    assert content[snippet.start : snippet.start + len(snippet.text)] == snippet.text
    assert len(snippet.text) <= 240
    assert list(find_matches(content, phrases))
    assert snippet.matches
    end = 0
    for a, b in snippet.matches:
        assert end <= a < b <= len(snippet.text)
        end = b
        shown = fold(snippet.text[a:b])
        assert any(shown.startswith(fold(phrase.words[0])) for phrase in phrases)
