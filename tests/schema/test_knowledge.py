"""Reading the knowledge base through the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.application import Running
from tests.schema.operations import SEND

pytestmark = pytest.mark.anyio

SEARCH = """query($q: String!, $n: Int, $f: DocumentFilter) {
  searchKnowledge(query: $q, first: $n, filter: $f) {
    text headings startOffset endOffset score document { id title content category } } }"""
DOCUMENTS = """query($first: Int, $after: String, $f: DocumentFilter) {
  documents(first: $first, after: $after, filter: $f) {
    pageInfo { hasNextPage endCursor }
    edges { node { id title type category language source status version chunkCount } } } }"""


async def search(app: Running, token: str, query: str, **more: Any) -> list[dict[str, Any]]:
    data = await app.data(SEARCH, {"q": query, **more}, token)
    hits: list[dict[str, Any]] = data["searchKnowledge"]
    return hits


async def test_hits_are_verbatim_scored_and_sorted(offline: Running) -> None:
    """A hit's text is the document's at its offsets; scores lie in 0..1 and fall."""
    token = await offline.login()
    hits = await search(offline, token, "What does error E2 of the kettle mean?")
    assert hits[0]["document"]["title"] == "Gooseneck kettle manual"
    assert hits[0]["headings"] == ["Gooseneck kettle manual"]
    assert "E2" in hits[0]["text"]
    for hit in hits:
        content = hit["document"]["content"]
        assert content[hit["startOffset"] : hit["endOffset"]] == hit["text"]
        assert 0 <= hit["score"] <= 1
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


@pytest.mark.parametrize(
    ("filter", "titles"),
    [
        ({"categories": ["shipping"]}, {"Shipping"}),
        ({"types": ["manual"]}, {"Gooseneck kettle manual"}),
        ({"languages": ["de"]}, {"Urlaub"}),
        ({"languages": ["DE", " De "]}, {"Urlaub"}),
        ({"categories": ["shipping", "returns"]}, {"Shipping", "Returns"}),
        ({"categories": ["shipping"], "types": ["manual"]}, set()),
        ({"documentIds": ["x"]}, set()),
        ({"categories": []}, {"Shipping", "Returns", "Gooseneck kettle manual", "Urlaub"}),
    ],
)
async def test_a_filter_holds_inside_the_search(
    offline: Running, filter: dict[str, Any], titles: set[str]
) -> None:
    """Only documents that fit come back, also when others fit the question better."""
    token = await offline.login()
    hits = await search(offline, token, "How many days for a return?", f=filter, n=50)
    assert {hit["document"]["title"] for hit in hits} == titles
    documents = await offline.data(DOCUMENTS, {"f": filter}, token)
    found = {edge["node"]["title"] for edge in documents["documents"]["edges"]}
    assert found == titles


@pytest.mark.parametrize(
    "arguments", [{"n": 0}, {"n": 51}, {"q": ""}, {"q": "x" * 2001}, {"q": "a\0b"}]
)
async def test_unfit_searches_are_bad_user_input(
    offline: Running, arguments: dict[str, Any]
) -> None:
    """Sizes and queries out of bounds are refused."""
    token = await offline.login()
    assert await offline.code(SEARCH, {"q": "x", **arguments}, token) == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "filter",
    [
        {"types": ["\ud800"]},
        {"categories": ["a\0b"]},
        {"languages": ["x" * 61]},
        {"types": ["x"] * 101},
        {"documentIds": ["x"] * 101},
    ],
)
async def test_unfit_filters_are_refused(offline: Running, filter: dict[str, Any]) -> None:
    """Values that no document can have, and too many, are told wherever a filter is taken."""
    token = await offline.login()
    assert await offline.code(DOCUMENTS, {"f": filter}, token) == "BAD_USER_INPUT"
    assert await offline.code(SEARCH, {"q": "x", "f": filter}, token) == "BAD_USER_INPUT"
    sent = await offline.data(SEND, {"i": {"content": "x", "filter": filter}}, token)
    assert sent["sendMessage"]["__typename"] == "InvalidInput"
    assert sent["sendMessage"]["field"] == "filter"


async def test_documents_are_paged(offline: Running) -> None:
    """Every document comes once, with what its front matter says."""
    token = await offline.login()
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        page = (await offline.data(DOCUMENTS, {"first": 3, "after": after}, token))["documents"]
        seen += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    # Files of a folder are read side by side: which one was stored last is not told by its name.
    assert sorted(node["title"] for node in seen) == [
        "Gooseneck kettle manual",
        "Returns",
        "Shipping",
        "Urlaub",
    ]
    (leave,) = (node for node in seen if node["title"] == "Urlaub")
    assert {key: leave[key] for key in ("type", "category", "language", "source", "status")} == {
        "type": "policy",
        "category": "leave",
        "language": "de",
        "source": "urlaub.md",
        "status": "READY",
    }
    assert all(node["version"] == 1 and node["chunkCount"] >= 1 for node in seen)
