"""Keeping one collection of a source in step."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from models.base import new_id
from models.collection import GENERAL_ID, Collection
from models.document import Document
from models.ingestion import IngestionTask
from models.user import Role
from resolvers.knowledge.storing import read_revision
from schema.node import global_id
from tests.application import Running

pytestmark = pytest.mark.anyio

ADD = """mutation($i: AddDocumentInput!) { addDocument(input: $i) {
  __typename ... on Document { id } } }"""
SYNC = """mutation($e: [ManifestEntry!]!, $d: Boolean, $c: ID) {
  syncManifest(source: "wiki", entries: $e, deleteMissing: $d, collectionId: $c) { __typename
    ... on ManifestDifference { wanted missing deleted }
    ... on InvalidInput { problem: message field } ... on NotFound { problem: message } } }"""


def entries(*keys: str) -> list[dict[str, str]]:
    return [{"key": k, "hash": hashlib.sha256(f"Text of {k}.".encode()).hexdigest()} for k in keys]


async def filled(empty_app: Running, token: str) -> str:
    """The id of a collection with the keys a and b of "wiki"; c is of it elsewhere, and s of
    another source is in the collection."""
    cellar = global_id("Collection", (await Collection.create(name="Cellar")).id)
    for key, source, collection_id in (
        ("a", "wiki", cellar),
        ("b", "wiki", cellar),
        ("c", "wiki", None),
        ("s", "shop", cellar),
    ):
        input = {
            "key": key,
            "source": source,
            "title": key,
            "content": f"Text of {key}.",
            "collectionId": collection_id,
        }
        added = await empty_app.data(ADD, {"i": input}, token)
        assert added["addDocument"]["__typename"] == "Document"
    return cellar


async def sync(
    empty_app: Running, token: str, collection_id: str | None, *keys: str, delete: bool = False
) -> dict[str, Any]:
    variables = {"e": entries(*keys), "d": delete, "c": collection_id}
    found: dict[str, Any] = (await empty_app.data(SYNC, variables, token))["syncManifest"]
    return found


async def keys_left() -> list[str]:
    rows = await Document.filter(deleted_at__isnull=True).order_by("key")
    return [row.key or "" for row in rows]


async def test_a_collection_is_kept_in_step_alone(empty_app: Running) -> None:
    """What the source has elsewhere, and what others have there, is neither missing nor deleted."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    cellar = await filled(empty_app, token)
    compared = await sync(empty_app, token, cellar, "a", "n")
    assert (compared["wanted"], compared["missing"], compared["deleted"]) == (["n"], ["b"], 0)
    done = await sync(empty_app, token, cellar, "a", delete=True)
    assert (done["wanted"], done["missing"], done["deleted"]) == ([], ["b"], 1)
    assert await keys_left() == ["a", "c", "s"]
    general = await sync(empty_app, token, global_id("Collection", GENERAL_ID), "c", delete=True)
    assert (general["wanted"], general["missing"], general["deleted"]) == ([], [], 0)
    everywhere = await sync(empty_app, token, None, "a")
    assert (everywhere["wanted"], everywhere["missing"]) == ([], ["c"])


async def test_what_does_not_fit_a_collection_is_refused(empty_app: Running) -> None:
    """A key of another collection, no such collection, somebody without the right: all stays."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    cellar = await filled(empty_app, token)
    refused = await sync(empty_app, token, cellar, "a", "c", delete=True)
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "entries")
    assert '"c" is in another collection' in refused["problem"]
    for wrong in (global_id("Collection", new_id()), global_id("Document", GENERAL_ID), "x"):
        found = await sync(empty_app, token, wrong, "a", delete=True)
        assert (found["__typename"], found["problem"]) == (
            "NotFound",
            "There is no such collection.",
        )
    variables = {"e": entries("a"), "d": True, "c": cellar}
    reader = await empty_app.login("uma@example.com")
    assert await empty_app.code(SYNC, variables) == "UNAUTHENTICATED"
    assert await empty_app.code(SYNC, variables, reader) == "FORBIDDEN"
    assert await keys_left() == ["a", "b", "c", "s"]


async def test_a_document_that_was_moved_meanwhile_is_not_deleted(empty_app: Running) -> None:
    """Between the comparison and the deletion it may leave the collection."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    await filled(empty_app, token)
    row = await Document.get(key="a")
    knowledge = empty_app.services.knowledge
    assert row.collection_id is not None
    await knowledge.move([row.id], GENERAL_ID)
    assert not await knowledge.remove(row, collection_id=row.collection_id)
    assert await keys_left() == ["a", "b", "c", "s"]


async def test_many_documents_are_deleted_in_one_transaction(empty_app: Running) -> None:
    """Thirty are one change of the knowledge base, in the database and in the index."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    for number in range(30):
        input = {"key": f"k{number}", "source": "wiki", "title": "T", "content": f"Text {number}."}
        await empty_app.data(ADD, {"i": input}, token)
    while await IngestionTask.exists():  # noqa: ASYNC110 (of the database)
        await asyncio.sleep(0.01)
    before = await read_revision()
    done = await sync(empty_app, token, None, "k3", delete=True)
    assert done["deleted"] == 29
    assert await read_revision() - before == 1
    assert await keys_left() == ["k3"]
    left = await Document.get(key="k3")
    assert empty_app.services.knowledge.index.document_ids() == {str(left.id)}


async def test_a_manifest_too_many(empty_app: Running) -> None:
    """It is refused with the seconds to wait, and deletes nothing."""
    token = await empty_app.login("eve@example.com", Role.EDITOR)
    await filled(empty_app, token)
    rates = empty_app.services.rates
    rates._allowances = replace(rates._allowances, manifests_per_user=1)
    first = await empty_app.data(SYNC, {"e": entries("a", "b", "c")}, token)
    assert first["syncManifest"]["__typename"] == "ManifestDifference"
    again = await empty_app.data(SYNC, {"e": entries("a"), "d": True}, token)
    assert again["syncManifest"]["__typename"] == "RateLimited"
    assert await Document.filter(deleted_at__isnull=True).count() == 4
