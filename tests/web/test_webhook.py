"""Documents from outside systems, over the signed webhook."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.base import new_id
from models.collection import GENERAL_ID, Collection
from models.document import Document, DocumentStatus
from models.ingestion import WebhookDelivery
from models.security_event import SecurityEvent
from rag.embedding.fake import FakeEmbedder
from schema.node import global_id
from tests.application import Running, running_app, test_settings, write_documents
from web import webhook
from web.webhook import MAX_BODIES, MAX_BODY

pytestmark = pytest.mark.anyio

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
TENT = {"key": "t", "title": "Tents", "content": "The tent Borealis weighs two kilograms."}


@pytest.fixture
async def app(
    anyio_backend: str, empty_database_url: str, tmp_path: Path
) -> AsyncIterator[Running]:
    """The application with the webhook, on each kind of store."""
    write_documents(tmp_path / "kb")
    settings = test_settings(tmp_path, empty_database_url, webhook_secret=SECRET)
    async with running_app(settings, embedder=FakeEmbedder()) as running:
        running.services.store.bind()
        await running.services.knowledge.pipeline()
        yield running


async def call(
    app: Running,
    body: object,
    *,
    id: str = "msg_1",
    age: float = 0,
    key: bytes = KEY,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    moment = str(int(time.time() - age))
    signed = hmac.new(key, f"{id}.{moment}.".encode() + content, hashlib.sha256).digest()
    return await app.http.post(
        app.url.replace("/graphql", "/webhooks/knowledge"),
        content=content,
        headers={
            "webhook-id": id,
            "webhook-timestamp": moment,
            "webhook-signature": "v1,bm9uZQ== v1," + base64.b64encode(signed).decode(),
            **(headers or {}),
        },
    )


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_documents_come_change_and_go(app: Running) -> None:
    """One document, then a list with a deletion; what is acknowledged is searchable soon after."""
    first = await call(app, TENT)
    assert first.status_code == 202
    (told,) = first.json()["documents"]
    assert (told["key"], first.json()["deleted"]) == ("t", [])
    row = await Document.get(key="t")
    more = {
        "documents": [
            {**TENT, "content": "The tent Borealis weighs four kilograms."},
            {**TENT, "key": "b", "title": "Bags", "language": "EN", "source": "shop"},
        ],
        "delete": ["unknown"],
    }
    second = await call(app, more, id="msg_2")
    assert second.status_code == 202
    assert second.json()["documents"][0] == told
    while await Document.exclude(status=DocumentStatus.READY).exists():  # noqa: ASYNC110 (of the store)
        await asyncio.sleep(0.01)
    assert "four" in (await Document.get(id=row.id)).content
    assert (await Document.get(key="b")).language == "en"
    gone = await call(app, {"delete": ["t"]}, id="msg_3")
    assert gone.json() == {"documents": [], "deleted": ["t"]}
    assert (await Document.get(id=row.id)).deleted_at is not None
    # The first call again, late: it answers as it did and brings nothing back.
    assert (await call(app, TENT)).json() == first.json()
    assert not await Document.exists(key="t")


async def test_a_call_that_comes_many_times_counts_once(app: Running) -> None:
    """At the same time and later, with one answer for all."""
    before = await Document.all().count()
    answers = await asyncio.gather(*(call(app, TENT) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert await Document.all().count() == before + 1
    assert await WebhookDelivery.all().count() == 1


async def test_what_is_not_signed_is_refused(app: Running) -> None:
    """A wrong key, another body, an old or future time, no headers, malformed ones."""
    assert error(await call(app, TENT, key=b"x" * 24)) == (401, "UNAUTHENTICATED")
    assert error(await call(app, TENT, age=301)) == (401, "UNAUTHENTICATED")
    assert error(await call(app, TENT, age=-301)) == (401, "UNAUTHENTICATED")
    for wrong in ("v1,", "nonsense", "v1,!", ""):
        sent = {"webhook-signature": wrong}
        assert error(await call(app, TENT, headers=sent)) == (401, "UNAUTHENTICATED")
    sent = {"webhook-timestamp": "x"}
    assert error(await call(app, TENT, headers=sent)) == (401, "UNAUTHENTICATED")
    url = app.url.replace("/graphql", "/webhooks/knowledge")
    assert error(await app.http.post(url, content=b"{}")) == (401, "UNAUTHENTICATED")
    assert error(await call(app, b"\xff")) == (401, "UNAUTHENTICATED")
    assert (await app.http.get(url)).status_code == 405
    assert await WebhookDelivery.all().count() == 0
    assert not await Document.exists(key="t")


WRONG: list[tuple[Any, str]] = [
    ([], "body"),
    ({}, "key"),
    ({"documents": {}}, "documents"),
    ({"documents": []}, "documents"),
    ({"delete": [str(n) for n in range(101)]}, "documents"),
    ({"documents": ["x"]}, "documents[0]"),
    ({"documents": [TENT], "extra": 1}, "extra"),
    ({"documents": [TENT, {**TENT, "key": "u", "title": ""}]}, "documents[1].title"),
    ({"documents": [{**TENT, "title": 1}]}, "documents[0].title"),
    ({"documents": [{**TENT, "language": "english"}]}, "documents[0].language"),
    ({"documents": [{**TENT, "colour": "red"}]}, "documents[0].colour"),
    ({"documents": [{**TENT, "content": None}]}, "documents[0].content"),
    ({"documents": [TENT], "delete": ["t"]}, "documents"),
    ({"delete": [1]}, "delete[0]"),
    ({**TENT, "collectionId": 1}, "collectionId"),
    ({**TENT, "collectionId": "General"}, "collectionId"),
    ({**TENT, "collectionId": global_id("Collection", new_id())}, "collectionId"),
    ({**TENT, "collectionId": global_id("Document", GENERAL_ID)}, "collectionId"),
    ({"delete": ["t"], "collectionId": global_id("Collection", new_id())}, "collectionId"),
    (
        {"documents": [TENT, {**TENT, "key": "u", "collectionId": "x"}]},
        "documents[1].collectionId",
    ),
]


async def test_what_cannot_be_taken_names_its_field(app: Running) -> None:
    """One wrong document and none of the call is taken; the id may be used again."""
    for body, field in WRONG:
        answer = await call(app, body)
        assert error(answer) == (422, "INVALID_INPUT"), body
        assert answer.json()["error"]["field"] == field
    assert error(await call(app, b"{")) == (400, "BAD_REQUEST")
    assert error(await call(app, b"x" * (5 * 1024 * 1024 + 1))) == (413, "TOO_LARGE")
    assert error(await call(app, TENT, id="x" * 201)) == (422, "INVALID_INPUT")
    assert not await Document.exists(key="t")
    assert (await call(app, TENT)).status_code == 202


async def test_a_call_may_name_a_collection(app: Running) -> None:
    """That of the call is for the documents that name none; keys are deleted in it alone."""
    cellar = await Collection.create(name="Cellar")
    attic = await Collection.create(name="Attic")
    cellar_id, attic_id = (global_id("Collection", row.id) for row in (cellar, attic))
    both = {
        "collectionId": cellar_id,
        "documents": [
            TENT,
            {"key": "b", "title": "Bags", "content": "A bag.", "collectionId": attic_id},
        ],
    }
    assert (await call(app, both)).status_code == 202
    alone = {"key": "c", "title": "Caps", "content": "A cap.", "collectionId": attic_id}
    assert (await call(app, alone, id="msg_2")).status_code == 202
    plain = {"key": "d", "title": "Dogs", "content": "A dog.", "collectionId": None}
    assert (await call(app, plain, id="msg_3")).status_code == 202
    placed = dict(await Document.filter(key__isnull=False).values_list("key", "collection_id"))
    assert placed == {"t": cellar.id, "b": attic.id, "c": attic.id, "d": GENERAL_ID}
    gone = {"collectionId": attic_id, "delete": ["t", "b", "d", "unknown"]}
    assert (await call(app, gone, id="msg_4")).json() == {"documents": [], "deleted": ["b"]}
    left = await Document.filter(key__isnull=False).values_list("key", flat=True)
    assert sorted(map(str, left)) == ["c", "d", "t"]


async def test_a_document_of_another_collection_stays_and_nothing_is_deleted(app: Running) -> None:
    """The call is refused as a whole before it changes anything, with the document's place."""
    cellar = await Collection.create(name="Cellar")
    assert (await call(app, TENT)).status_code == 202
    assert (await call(app, {**TENT, "key": "u"}, id="msg_2")).status_code == 202
    body = {
        "collectionId": global_id("Collection", cellar.id),
        "documents": [{**TENT, "key": "new"}, {**TENT, "content": "It weighs ten kilograms."}],
        "delete": ["u"],
    }
    refused = await call(app, body, id="msg_3")
    assert error(refused) == (422, "INVALID_INPUT")
    assert refused.json()["error"]["field"] == "documents[1].collectionId"
    assert "moveDocuments" in refused.json()["error"]["message"]
    assert not await Document.exists(key="new")
    assert await Document.exists(key="u")
    assert (await Document.get(key="t")).collection_id == GENERAL_ID
    assert await WebhookDelivery.all().count() == 2


async def test_without_a_secret_there_is_no_webhook(scripted: Running) -> None:
    """The address does not exist."""
    assert (await call(scripted, TENT)).status_code == 404


async def test_a_call_is_taken_as_a_whole_or_not_at_all(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash at the end of it leaves what it would have deleted, in the database and in the
    index; sent again, all of it is done."""
    await call(app, TENT)
    while not await Document.exists(key="t", status=DocumentStatus.READY):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    body = {"documents": [{**TENT, "key": "b", "content": "Bags."}], "delete": ["t"]}

    async def crash(**_: object) -> None:
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(WebhookDelivery, "create", crash)
        assert (await call(app, body, id="msg_2")).status_code == 500
    assert await Document.exists(key="t", deleted_at__isnull=True)
    assert not await Document.exists(key="b")
    row = await Document.get(key="t")
    assert str(row.id) in app.services.knowledge.index.document_ids()
    again = await call(app, body, id="msg_2")
    assert (again.status_code, again.json()["deleted"]) == (202, ["t"])
    assert not await Document.exists(key="t")
    assert str(row.id) not in app.services.knowledge.index.document_ids()


async def test_an_address_may_call_so_often(app: Running) -> None:
    """Calls are counted before their bodies are read, good ones and bad ones alike; then the sender
    is told when to come again, and nothing is stored."""
    rates = app.services.rates
    rates._allowances = replace(rates._allowances, webhook_calls=2)
    assert (await call(app, TENT)).status_code == 202
    assert (await call(app, TENT, id="msg_2", key=b"x" * 24)).status_code == 401
    refused = await call(app, {**TENT, "key": "u"}, id="msg_3")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "RATE_LIMITED"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert await Document.filter(key="u").count() == 0


async def test_what_is_clearly_wrong_is_refused_before_its_body(app: Running) -> None:
    """The answer comes though the body does not: for headers that are missing, doubled, old or
    malformed, and for a length that is too large."""
    moment = str(int(time.time()))
    fits = "v1," + base64.b64encode(b"x" * 32).decode()
    good = {"webhook-id": "m", "webhook-timestamp": moment, "webhook-signature": fits}
    for change, length, status in (
        ({"webhook-id": ""}, 10, 401),
        ({"webhook-timestamp": "x"}, 10, 401),
        ({"webhook-timestamp": "9" * 5_000}, 10, 401),
        ({"webhook-timestamp": "1"}, 10, 401),
        ({"webhook-signature": "v1,AAAA"}, 10, 401),
        ({"webhook-signature": "v2," + fits[3:]}, 10, 401),
        ({"webhook-signature": "x " * 20 + fits}, 10, 401),
        ({"webhook-id": "m\r\nwebhook-id: n"}, 10, 401),
        ({}, MAX_BODY + 1, 413),
    ):
        assert await head_alone(app, {**good, **change}, length) == status, change
    events = await SecurityEvent.filter(kind="CALL_REFUSED")
    assert [(one.detail, one.actor_id) for one in events] == [("WEBHOOK_SIGNATURE", None)]


async def test_so_many_bodies_at_once(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told to come again, while those are read whose senders are slow; then it may."""
    monkeypatch.setattr(webhook, "_PATIENCE", 0.05)
    moment = str(int(time.time()))
    fits = "v1," + base64.b64encode(b"x" * 32).decode()
    good = {"webhook-id": "m", "webhook-timestamp": moment, "webhook-signature": fits}
    async with AsyncExitStack() as stack:
        for _ in range(MAX_BODIES):
            await stack.enter_async_context(opened(app, good, 10))
        refused = await call(app, TENT)
        while refused.status_code == 202:  # not all were there yet
            refused = await call(app, TENT)
        assert error(refused) == (503, "SERVICE_UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"
    while (again := await call(app, TENT, id="msg_2")).status_code == 503:
        pass
    assert again.status_code == 202


@asynccontextmanager
async def opened(
    app: Running, headers: dict[str, str], length: int
) -> AsyncIterator[asyncio.StreamReader]:
    """A call whose head alone is sent."""
    host, _, port = app.url.removeprefix("http://").partition("/")[0].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = ["POST /webhooks/knowledge HTTP/1.1", "host: x", f"content-length: {length}", *lines]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def head_alone(app: Running, headers: dict[str, str], length: int) -> int:
    """The status that such a call gets."""
    async with opened(app, headers, length) as reader:
        return int((await reader.readline()).split()[1])
