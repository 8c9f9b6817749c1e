"""Adding, changing and deleting documents through the API."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.collection import GENERAL_ID
from models.document import Document
from models.ingestion import IngestionTask, TaskKind
from models.login import Login
from models.user import Role, User
from rag.loading.limits import MEGABYTE
from resolvers.context import Viewer
from resolvers.knowledge.counting import IndexProgress as Progress
from schema.documents import IndexProgress
from schema.node import global_id, row_id
from tests.application import Running
from tests.schema.test_knowledge import search

pytestmark = pytest.mark.anyio

OUTCOME = """__typename
  ... on Document { id title type category language source key content status failure version
    chunkCount }
  ... on InvalidInput { problem: message field } ... on NotFound { problem: message }"""
ADD = f"mutation($i: AddDocumentInput!) {{ addDocument(input: $i) {{ {OUTCOME} }} }}"
UPLOAD = f"mutation($i: UploadDocumentInput!) {{ uploadDocument(input: $i) {{ {OUTCOME} }} }}"
UPDATE = f"mutation($i: UpdateDocumentInput!) {{ updateDocument(input: $i) {{ {OUTCOME} }} }}"
DELETE = """mutation($id: ID!) { deleteDocument(id: $id) { __typename
  ... on Deleted { id } ... on NotFound { problem: message } } }"""
REINDEX = "mutation { reindexKnowledge { documents ready failed chunks } }"
READ = f"query($id: ID!) {{ node(id: $id) {{ {OUTCOME.split('... on Inv')[0]} }} }}"
MANIFEST = """mutation($s: String!, $e: [ManifestEntry!]!, $d: Boolean) {
  syncManifest(source: $s, entries: $e, deleteMissing: $d) { __typename
    ... on ManifestDifference { wanted missing deleted }
    ... on InvalidInput { problem: message field } } }"""
PROGRESS = "subscription { indexProgress { documents ready failed chunks warning } }"

TENT = "# Tents\n\nThe tent Borealis weighs two kilograms and sleeps three people.\n"


async def add(app: Running, token: str, **input: Any) -> dict[str, Any]:
    data = await app.data(ADD, {"i": {"title": "Tents", "content": TENT, **input}}, token)
    result: dict[str, Any] = data["addDocument"]
    return result


async def update(app: Running, token: str, **input: Any) -> dict[str, Any]:
    result: dict[str, Any] = (await app.data(UPDATE, {"i": input}, token))["updateDocument"]
    return result


async def upload(app: Running, token: str, name: str, data: bytes, **input: Any) -> dict[str, Any]:
    operations = json.dumps({"query": UPLOAD, "variables": {"i": {"file": None, **input}}})
    response = await app.http.post(
        app.url,
        data={"operations": operations, "map": json.dumps({"0": ["variables.i.file"]})},
        files={"0": (name, data)},
        headers={"authorization": f"Bearer {token}"},
    )
    answer = response.json()
    assert "errors" not in answer, answer["errors"]
    result: dict[str, Any] = answer["data"]["uploadDocument"]
    return result


async def settled(app: Running, token: str, id: str) -> dict[str, Any]:
    """The document once nothing of it waits."""
    while True:
        node = (await app.data(READ, {"id": id}, token))["node"]
        if node["status"] in ("READY", "FAILED"):
            result: dict[str, Any] = node
            return result
        await asyncio.sleep(0.02)


async def editor(app: Running) -> str:
    return await app.login("eve@example.com", Role.EDITOR)


async def test_an_added_document_is_found(offline: Running) -> None:
    """It is there as PENDING at once, and READY and found soon after."""
    token = await editor(offline)
    added = await add(offline, token, language="EN", type=" manual ", source="shop")
    assert added["status"] == "PENDING"
    assert (added["title"], added["type"], added["category"]) == ("Tents", "manual", "general")
    assert (added["language"], added["source"], added["key"]) == ("en", "shop", None)
    ready = await settled(offline, token, added["id"])
    assert (ready["status"], ready["version"], ready["chunkCount"]) == ("READY", 1, 1)
    assert ready["content"] == TENT
    hits = await search(offline, token, "How much does the Borealis weigh?")
    assert hits[0]["document"]["id"] == added["id"]
    assert await IngestionTask.all().count() == 0


async def test_the_same_content_is_the_same_document(offline: Running) -> None:
    """Twenty who add the same at once get one document; so does who adds it later, also under
    another title; other content is another document."""
    token = await editor(offline)
    at_once = await asyncio.gather(*(add(offline, token) for _ in range(20)))
    assert len({one["id"] for one in at_once}) == 1
    ready = await settled(offline, token, at_once[0]["id"])
    again = await add(offline, token, title="Other title")
    assert again == ready
    other = await add(offline, token, content=TENT + "More.")
    assert other["id"] != ready["id"]
    await settled(offline, token, other["id"])


async def test_a_key_names_one_document(offline: Running) -> None:
    """The same key changes the document that has it; content without a key takes the key on."""
    token = await editor(offline)
    plain = await add(offline, token)
    await settled(offline, token, plain["id"])
    first = await add(offline, token, key="tents/1")
    assert (first["id"], first["key"], first["status"]) == (plain["id"], "tents/1", "READY")
    changed = await add(offline, token, key="tents/1", content=TENT.replace("two", "four"))
    assert (changed["id"], changed["status"], changed["content"]) == (plain["id"], "PENDING", TENT)
    ready = await settled(offline, token, plain["id"])
    assert (ready["version"], "four kilograms" in ready["content"]) == (2, True)
    same = await add(offline, token, key="tents/1", content=TENT.replace("two", "four"))
    assert (same["status"], same["version"]) == ("READY", 2)
    titled = await add(
        offline, token, key="tents/1", content=TENT.replace("two", "four"), title="Tents and more"
    )
    assert titled["status"] == "PENDING"
    ready = await settled(offline, token, plain["id"])
    assert (ready["title"], ready["version"]) == ("Tents and more", 3)
    other = await add(offline, token, key="tents/2", content=TENT.replace("two", "four"))
    assert other["id"] != plain["id"]
    await settled(offline, token, other["id"])


async def test_a_document_is_put_into_a_collection(offline: Running) -> None:
    """Only its audience finds it; the same text elsewhere is another document; a wrong collection,
    or another one for the same key, changes nothing."""
    admin = await offline.login("admin@example.com", Role.ADMIN)
    made = await offline.data(
        """mutation { createCollection(input: {name: "Board", audience: NAMED,
        userEmails: ["admin@example.com"]}) { ... on Collection { id } } }""",
        token=admin,
    )
    board = made["createCollection"]["id"]
    secret = await add(offline, admin, collectionId=board, key="tents")
    await settled(offline, admin, secret["id"])
    reader = await offline.login("reader@example.com")
    assert await offline.data(READ, {"id": secret["id"]}, reader) == {"node": None}
    question = "How heavy is the tent Borealis?"
    ids = [hit["document"]["id"] for hit in await search(offline, reader, question)]
    assert secret["id"] not in ids
    assert (await search(offline, admin, question))[0]["document"]["id"] == secret["id"]
    public = await add(offline, admin)
    assert public["id"] != secret["id"]
    again = await add(offline, admin, collectionId=board, key="tents")
    assert again["id"] == secret["id"]
    missing = await add(offline, admin, collectionId=secret["id"], title="Other")
    assert missing["__typename"] == "NotFound"
    general = global_id("Collection", GENERAL_ID)
    moved = await add(offline, admin, collectionId=general, key="tents", content="# New\n\nText.")
    assert (moved["__typename"], moved["field"]) == ("InvalidInput", "collectionId")


@pytest.mark.parametrize("file", ["a text", 1, [], {"filename": "x.md"}])
async def test_a_text_is_no_file(scripted: Running, file: Any) -> None:
    """JSON in the place of a file is the client's mistake, and says how a file is sent."""
    token = await scripted.login(role=Role.EDITOR)
    assert await scripted.code(UPLOAD, {"i": {"file": file}}, token) == "BAD_USER_INPUT"


async def test_an_upload_is_read_and_found(offline: Running) -> None:
    """A file's own title counts unless another one is given; its name is the source."""
    token = await editor(offline)
    text = b"---\ntitle: Sleeping bags\ntype: manual\n---\n# Bags\n\nThe bag Polaris is warm.\n"
    added = await upload(offline, token, "bags.md", text, category="camping", key="bags")
    assert (added["status"], added["source"], added["content"]) == ("PENDING", "bags.md", "")
    ready = await settled(offline, token, added["id"])
    assert (ready["title"], ready["type"], ready["category"]) == (
        "Sleeping bags",
        "manual",
        "camping",
    )
    assert ready["content"].startswith("# Bags")
    again = await upload(offline, token, "other.md", text)
    assert again["id"] == added["id"]


async def test_a_file_that_cannot_be_read_fails_with_a_reason(offline: Running) -> None:
    """A new one is FAILED; of a known document the version before goes on answering. The same file
    again is another try."""
    token = await editor(offline)
    added = await upload(offline, token, "tents.md", TENT.encode(), key="t")
    await settled(offline, token, added["id"])
    broken = await upload(offline, token, "tents.md", b"---\ntitle: [broken\n---\ntext", key="t")
    assert broken["id"] == added["id"]
    failed = await settled(offline, token, added["id"])
    assert failed["status"] == "FAILED"
    assert "front matter" in failed["failure"]
    assert (failed["content"], failed["version"], failed["chunkCount"]) == (TENT, 1, 1)
    hits = await search(offline, token, "How much does the Borealis weigh?")
    assert hits[0]["document"]["id"] == added["id"]
    again = await upload(offline, token, "tents.md", b"---\ntitle: [broken\n---\ntext", key="t")
    assert again["status"] == "PENDING"
    assert (await settled(offline, token, added["id"]))["status"] == "FAILED"
    # A change of the title tries the same file again; a text replaces it.
    assert (await update(offline, token, id=added["id"], title="New"))["status"] == "PENDING"
    assert (await settled(offline, token, added["id"]))["status"] == "FAILED"
    await update(offline, token, id=added["id"], content=TENT + "Good.")
    good = await settled(offline, token, added["id"])
    assert (good["status"], good["failure"], good["title"]) == ("READY", None, "New")


async def test_an_update_changes_what_is_given(offline: Running) -> None:
    """The rest stays; nothing given changes nothing; the old text is gone from the search."""
    token = await editor(offline)
    added = await add(offline, token)
    ready = await settled(offline, token, added["id"])
    assert await update(offline, token, id=added["id"], title="Tents") == ready
    waiting = await update(
        offline, token, id=added["id"], content="The tent Borealis weighs nine kilograms."
    )
    assert waiting["status"] == "PENDING"
    changed = await settled(offline, token, added["id"])
    assert (changed["title"], changed["version"]) == ("Tents", 2)
    hits = await search(offline, token, "How much does the Borealis weigh?")
    assert [hit["text"] for hit in hits if hit["document"]["id"] == added["id"]] == [
        "The tent Borealis weighs nine kilograms."
    ]
    await update(offline, token, id=added["id"], category="camping", language="en")
    changed = await settled(offline, token, added["id"])
    assert (changed["category"], changed["language"], changed["version"]) == ("camping", "en", 3)
    assert changed["content"] == "The tent Borealis weighs nine kilograms."


async def test_a_deleted_document_is_gone(offline: Running) -> None:
    """It is neither found nor listed, a second deletion is NotFound, and the same content may be
    added anew."""
    token = await editor(offline)
    added = await add(offline, token, key="t")
    await settled(offline, token, added["id"])
    deleted = (await offline.data(DELETE, {"id": added["id"]}, token))["deleteDocument"]
    assert deleted == {"__typename": "Deleted", "id": added["id"]}
    assert (await offline.data(READ, {"id": added["id"]}, token))["node"] is None
    hits = await search(offline, token, "How much does the Borealis weigh?", n=50)
    assert added["id"] not in {hit["document"]["id"] for hit in hits}
    for id in (added["id"], "nonsense"):
        again = (await offline.data(DELETE, {"id": id}, token))["deleteDocument"]
        assert again["__typename"] == "NotFound"
        assert (await update(offline, token, id=id, title="x"))["__typename"] == "NotFound"
    new = await add(offline, token, key="t")
    assert new["id"] != added["id"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"title": " "}, "title"),
    ({"title": "x" * 301}, "title"),
    ({"content": ""}, "content"),
    ({"content": " \n-- "}, "content"),
    ({"content": "a\0b"}, "content"),
    ({"content": "\ud800"}, "content"),
    ({"type": "x" * 61}, "type"),
    ({"category": ""}, "category"),
    ({"language": "english"}, "language"),
    ({"source": "x" * 1001}, "source"),
    ({"key": "x" * 201}, "key"),
    ({"key": ""}, "key"),
]


async def test_what_cannot_be_taken_names_its_field(offline: Running) -> None:
    """Fields out of bounds, names that no reader knows, empty files: nothing is stored."""
    token = await editor(offline)
    for input, field in REFUSED:
        refused = await add(offline, token, **input)
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", field)
    for name, data in (("a.exe", b"x"), ("a", b"x"), ("a.md", b""), (".md", b"x")):
        refused = await upload(offline, token, name, data)
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", "file")
    assert await Document.all().count() == 4


async def test_only_editors_and_admins_change_documents(offline: Running) -> None:
    """Anonymous callers are UNAUTHENTICATED, users FORBIDDEN, and nothing is left behind."""
    user = await offline.login()
    operations: list[tuple[str, dict[str, Any]]] = [
        (ADD, {"i": {"title": "T", "content": "text"}}),
        (UPDATE, {"i": {"id": "x", "title": "T"}}),
        (DELETE, {"id": "x"}),
        (REINDEX, {}),
        (MANIFEST, {"s": "s", "e": []}),
    ]
    for operation, variables in operations:
        assert await offline.code(operation, variables) == "UNAUTHENTICATED"
        assert await offline.code(operation, variables, user) == "FORBIDDEN"
    admin = await offline.login("adam@example.com", Role.ADMIN)
    form = {
        "data": {
            "operations": json.dumps({"query": UPLOAD, "variables": {"i": {"file": None}}}),
            "map": '{"0": ["variables.i.file"]}',
        },
        "files": {"0": ("a.md", b"text")},
        "headers": {"authorization": f"Bearer {user}"},
    }
    errors = (await offline.http.post(offline.url, **form)).json()["errors"]  # type: ignore[arg-type]
    assert errors[0]["extensions"]["code"] == "FORBIDDEN"
    assert await Document.all().count() == 4
    assert (await add(offline, admin))["__typename"] == "Document"


async def test_reindexing_makes_everything_anew_and_nobody_notices(offline: Running) -> None:
    """Passages get new rows; versions, texts and what is found stay."""
    token = await editor(offline)

    async def found() -> list[tuple[str, str, float]]:
        # Equal passages come in the order of their rows, which are new.
        hits = await search(offline, token, "Parcels to Switzerland")
        return sorted((h["document"]["id"], h["text"], round(h["score"], 5)) for h in hits)

    before = await found()
    rows = {row.id: row for row in await Document.all()}
    progress = (await offline.data(REINDEX, token=token))["reindexKnowledge"]
    assert (progress["documents"], progress["failed"]) == (4, 0)
    while await IngestionTask.all().count():
        assert await found() == before
    assert await found() == before
    assert {row.id: (row.version, row.status) for row in await Document.all()} == {
        id: (1, row.status) for id, row in rows.items()
    }


async def test_a_manifest_tells_what_to_send_and_what_is_gone(offline: Running) -> None:
    """New, changed and failed keys are wanted; missing ones are deleted only if that is asked for,
    and never those of other sources."""
    token = await editor(offline)
    ids = {}
    for key in ("a", "b", "c"):
        added = await add(offline, token, key=key, source="wiki", content=f"Text of {key}.")
        ids[key] = added["id"]
    other = await add(offline, token, key="z", source="other", content="Text of z.")

    async def compare(delete: bool | None = None, **texts: str) -> dict[str, Any]:
        entries = [
            {"key": key, "hash": hashlib.sha256(text.encode()).hexdigest()}
            for key, text in texts.items()
        ]
        data = await offline.data(MANIFEST, {"s": "wiki", "e": entries, "d": delete}, token)
        result: dict[str, Any] = data["syncManifest"]
        return result

    same = await compare(a="Text of a.", b="Text of b.", c="Text of c.")
    assert same == {
        "__typename": "ManifestDifference",
        "wanted": [],
        "missing": [],
        "deleted": 0,
    }
    changed = await compare(a="Text of a.", b="New text.", d="Text of d.")
    assert (changed["wanted"], changed["missing"], changed["deleted"]) == (["b", "d"], ["c"], 0)
    # What another source has sent waits to be indexed: it is not this one's to delete.
    gone = row_id("Document", ids["c"])
    await IngestionTask.filter(document_id=gone).delete()
    task = await IngestionTask.create(document_id=gone, kind=TaskKind.STORED, source="other")
    kept = await compare(True, a="Text of a.", b="New text.")
    assert (kept["missing"], kept["deleted"]) == ([], 0)
    await task.delete()
    done = await compare(True, a="Text of a.", b="New text.")
    assert (done["wanted"], done["missing"], done["deleted"]) == (["b"], ["c"], 1)
    assert (await offline.data(READ, {"id": ids["c"]}, token))["node"] is None
    assert (await offline.data(READ, {"id": other["id"]}, token))["node"] is not None
    refused = await compare(True)
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "entries")
    for entries in (
        [{"key": "a", "hash": "x"}],
        [{"key": "", "hash": "0" * 64}],
        [{"key": "a", "hash": "0" * 64}] * 2,
    ):
        data = await offline.data(MANIFEST, {"s": "wiki", "e": entries}, token)
        assert data["syncManifest"]["field"] == "entries"


async def test_the_largest_text_and_the_largest_manifest_fit_into_a_request(
    offline: Running,
) -> None:
    """What the schema promises is not refused for its size on the way."""
    token = await editor(offline)
    text = ("Größe " * 400_000)[: 2_000_000 - 1]
    refused = await add(offline, token, content=text + "xx")
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "content")
    assert "2000001 characters" in refused["problem"]
    entries = [{"key": f"{'k' * 190}{number}", "hash": "0" * 64} for number in range(10_000)]
    data = await offline.data(MANIFEST, {"s": "wiki", "e": entries}, token)
    assert len(data["syncManifest"]["wanted"]) == 10_000
    await refuses_more_than_a_megabyte(offline, text)


async def refuses_more_than_a_megabyte(app: Running, text: str) -> None:
    """From everybody else: people, strangers, forged tokens, keys without the scope; in pieces,
    too. A megabyte is taken."""
    reader, editors = await app.login("ben@example.com"), await editor(app)
    key = """mutation($s: [ApiScope!]!) { createApiKey(input: {name: "k", scopes: $s}) {
      ... on CreatedApiKey { key } } }"""
    keys = {
        scope: (await app.data(key, {"s": [scope]}, editors))["createApiKey"]["key"]
        for scope in ("CHAT", "DOCUMENTS")
    }
    body = json.dumps({"query": "{ __typename }", "variables": {"text": text}}).encode()
    assert 2 * MEGABYTE < len(body) < 8 * MEGABYTE

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    headers = {"content-type": "application/json"}
    for token, status in (
        (None, 413),
        (reader, 413),
        (editors[:-2], 413),
        (keys["CHAT"], 413),
        (keys["DOCUMENTS"], 200),
        (editors, 200),
    ):
        sent = headers if token is None else {**headers, "authorization": f"Bearer {token}"}
        for content in (body, pieces()):
            response = await app.http.post(app.url, headers=sent, content=content)
            assert response.status_code == status, (token, response.text)
    small = b'{"query": "{ __typename }"}'.ljust(MEGABYTE)
    assert (await app.http.post(app.url, headers=headers, content=small)).status_code == 200
    response = await app.http.post(app.url, headers=headers, content=small + b" ")
    assert response.status_code == 413


async def test_the_progress_is_told(offline: Running) -> None:
    """It begins with the state as it is, and tells when a document is ready."""
    token = await editor(offline)
    assert await offline.code(PROGRESS.replace("subscription", "query")) == "BAD_USER_INPUT"
    steps = offline.subscribe(PROGRESS, token=token)
    first = (await anext(steps))["data"]["indexProgress"]
    assert first == {
        "documents": 4,
        "ready": 4,
        "failed": 0,
        "chunks": first["chunks"],
        "warning": None,
    }
    await add(offline, token)
    async for step in steps:
        progress = step["data"]["indexProgress"]
        if progress["ready"] == 5:
            break
    assert progress == {
        "documents": 5,
        "ready": 5,
        "failed": 0,
        "chunks": first["chunks"] + 1,
        "warning": None,
    }
    await steps.aclose()
    while offline.services.knowledge.listeners:  # noqa: ASYNC110 (a plain set)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("role", "told"), [(Role.EDITOR, True), (Role.ADMIN, True), (Role.USER, False)]
)
def test_only_editors_are_told_of_missing_files(role: Role, told: bool) -> None:
    """Other people can do nothing about them."""
    viewer = Viewer(user=User(role=role), login=Login())
    progress = Progress(documents=4, ready=3, failed=1, chunks=9, warning="Files are missing.")
    shown = IndexProgress.from_progress(progress, viewer)
    assert shown.warning == ("Files are missing." if told else None)
    assert (shown.documents, shown.ready, shown.failed, shown.chunks) == (4, 3, 1, 9)
