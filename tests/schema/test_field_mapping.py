"""Uploading JSON Lines whose fields have names of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.document import Document
from models.ingestion import IngestionTask
from models.user import Role
from tests.application import Running
from tests.schema.test_documents import settled, upload

pytestmark = pytest.mark.anyio

FAQ = "".join(
    json.dumps({"q": f"Question {n}?", "a": f"Answer {n}.", "meta": {"tongue": "de"}}) + "\n"
    for n in (1, 2)
).encode()


async def texts() -> list[tuple[str, str, str | None]]:
    rows = await Document.all().order_by("title")
    return [(row.title, row.content, row.language) for row in rows]


async def test_a_mapping_says_which_fields_are_what(empty_app: Running) -> None:
    """Without it the file fails; with it each record is a document; another one reads it anew."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    added = await upload(empty_app, token, "faq.jsonl", FAQ)
    failed = await settled(empty_app, token, added["id"])
    assert failed["failure"] == (
        'faq.jsonl: line 1: no text in "content" or "text" or "body"; name the right field in the '
        "field mapping."
    )
    mapping: dict[str, Any] = {"title": ["q"], "content": ["a"], "language": ["meta.tongue"]}
    again = await upload(empty_app, token, "faq.jsonl", FAQ, mapping=mapping)
    assert (again["id"], again["status"]) == (added["id"], "PENDING")
    assert (await settled(empty_app, token, added["id"]))["status"] == "READY"
    assert await texts() == [("Question 1?", "Answer 1.", "de"), ("Question 2?", "Answer 2.", "de")]
    assert (await upload(empty_app, token, "faq.jsonl", FAQ))["status"] == "READY"
    joined = await upload(
        empty_app, token, "faq.jsonl", FAQ, mapping={**mapping, "content": ["q", "a"]}
    )
    assert (joined["id"], joined["status"]) == (added["id"], "PENDING")
    assert (await settled(empty_app, token, added["id"]))["version"] == 2
    assert (await Document.get(title="Question 1?")).content == "Question 1?\n\nAnswer 1."


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"title": []}, "mapping.title"),
    ({"content": [""]}, "mapping.content"),
    ({"content": ["x" * 201]}, "mapping.content"),
    ({"type": ["x"] * 21}, "mapping.type"),
    ({"category": ["a\0"]}, "mapping.category"),
    ({"language": ["\ud800"]}, "mapping.language"),
]


async def test_a_wrong_mapping_names_its_field(empty_app: Running) -> None:
    """Nothing is stored; a mapping without names says nothing; other files take none."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    for mapping, field in WRONG:
        refused = await upload(empty_app, token, "faq.jsonl", FAQ, mapping=mapping)
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", field)
    refused = await upload(empty_app, token, "faq.md", b"# Text", mapping={"title": ["q"]})
    assert (refused["field"], refused["problem"]) == (
        "mapping",
        "Only a file whose name ends in .jsonl or .ndjson takes a mapping; leave it out.",
    )
    assert await Document.all().count() == 0
    usual = await upload(
        empty_app, token, "a.NDJSON", b'{"text": "Text."}', mapping={"title": None}
    )
    assert (await settled(empty_app, token, usual["id"]))["status"] == "READY"
    assert await IngestionTask.all().count() == 0
