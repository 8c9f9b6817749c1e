"""The queue of documents that wait to be indexed, on each kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tortoise.exceptions import OperationalError

from models.chunk import Chunk
from models.collection import Audience, Collection
from models.document import Document, DocumentStatus
from models.errors import StoreUnavailable
from models.ingestion import IngestionTask, TaskKind
from models.statements import Statement
from models.store import Store
from rag.errors import LoadingError
from rag.types import SourceDocument
from resolvers.knowledge.base import sha256
from resolvers.knowledge.queue import GAVE_UP, MAX_ATTEMPTS, Taken
from resolvers.knowledge.records import content_name
from resolvers.knowledge.submission import (
    Properties,
    Submission,
    file_submission,
)
from tests.resolvers.knowledge.queue_world import TENT, World, row

pytestmark = pytest.mark.anyio


async def test_a_task_becomes_a_version(world: World) -> None:
    """PENDING, then READY with its passages; the task is gone; there is nothing to do again."""
    document = await world.send()
    assert document.status is DocumentStatus.PENDING
    assert await world.found() == []
    assert await world.queue.run_due() == 1
    assert (await row(document)).status is DocumentStatus.READY
    assert await world.found() == [TENT]
    assert await IngestionTask.all().count() == 0
    assert await world.queue.run_due() == 0


async def test_what_fails_for_a_while_is_tried_again(world: World) -> None:
    """Later and later; the version before answers meanwhile; then the new one does."""
    document = await world.send(key="t")
    await world.queue.run_due()
    new = TENT.replace("two", "nine")
    world.embedder.failures = 2
    await world.send(new, key="t")
    assert await world.queue.run_due() == 1
    waiting = await row(document)
    assert (waiting.status, waiting.content) == (DocumentStatus.PENDING, TENT)
    assert await world.queue.run_due() == 0
    world.clock.forward(seconds=10)
    assert await world.queue.run_due() == 1
    world.clock.forward(seconds=19)
    assert await world.queue.run_due() == 0
    assert await world.found() == [TENT]
    world.clock.forward(seconds=1)
    assert await world.queue.run_due() == 1
    assert await world.found() == [new]
    assert ((await row(document)).version, await Chunk.all().count()) == (2, 1)


async def test_what_always_fails_is_given_up(world: World) -> None:
    """FAILED with a sentence after some attempts; what was sent is kept, and works later."""
    document = await world.send()
    world.embedder.failures = MAX_ATTEMPTS
    for _ in range(MAX_ATTEMPTS):
        assert await world.queue.run_due() == 1
        world.clock.forward(hours=1)
    failed = await row(document)
    assert (failed.status, failed.failure) == (DocumentStatus.FAILED, GAVE_UP)
    assert await world.queue.run_due() == 0
    task = await IngestionTask.get(document_id=document.id)
    assert (task.payload, task.next_attempt_at) == (TENT.encode(), None)
    # Sending it again is another try.
    assert (await world.send()).status is DocumentStatus.PENDING
    await world.queue.run_due()
    assert await world.found() == [TENT]
    assert (await row(document)).failure is None


async def test_a_file_that_cannot_be_read_fails_at_once(world: World) -> None:
    """Another try would end in the same way."""
    document = await world.submit(file_submission(Properties(), "a.md", b"\xff", max_mb=20))
    assert await world.queue.run_due() == 1
    failed = await row(document)
    assert failed.status is DocumentStatus.FAILED
    assert failed.failure is not None
    assert "UTF-8" in failed.failure
    assert await world.queue.run_due() == 0


async def test_a_process_that_dies_leaves_nothing_half_done(world: World) -> None:
    """Its lease runs out, or the next server lifts it, and the task is done by another one; after
    many deaths the document is given up."""
    document = await world.send()
    assert await world.queue._claim() != []
    assert (await row(document)).status is DocumentStatus.PROCESSING
    second = world.new_queue()
    assert await second._claim() == []
    world.clock.forward(seconds=30)
    assert await second._claim() != []
    assert await second._claim() == []
    third = world.new_queue()
    await third.release()
    assert await third.run_due() == 1
    assert await world.found() == [TENT]
    other = await world.send(TENT + " Twice.")
    for _ in range(MAX_ATTEMPTS):
        assert await world.queue._claim() != []
        await world.queue.release()
    assert await world.queue._claim() == []
    failed = await row(other)
    assert (failed.status, failed.failure) == (DocumentStatus.FAILED, GAVE_UP)


async def test_who_lost_a_task_stores_nothing(world: World) -> None:
    """Neither its result nor its failure, once another one has taken the task or it was replaced or
    its document deleted."""
    document = await world.send()
    (slow,) = await world.queue._claim()
    await world.queue.release()
    assert await world.new_queue().run_due() == 1
    before = await row(document)
    await world.queue._process(slow)
    await world.queue._fail(slow.task, "too late")
    await world.queue._retry(slow.task)
    assert await row(document) == before
    assert (await row(document)).status is DocumentStatus.READY
    ids = [chunk.id for chunk in await Chunk.all()]

    await world.send(TENT + " A", key="t")
    (replaced,) = await world.queue._claim()
    await world.send(TENT + " B", key="t")
    await world.queue._process(replaced)
    assert [chunk.id for chunk in await Chunk.all()] == ids
    assert await world.queue.run_due() == 1
    assert [row.content for row in await Document.filter(key="t")] == [TENT + " B"]

    await world.send(TENT + " C", key="t")
    (deleted,) = await world.queue._claim()
    await world.knowledge.remove(await Document.get(key="t"))
    await world.queue._process(deleted)
    assert await world.queue.run_due() == 0
    assert not any("C" in text for text in await world.found())


async def test_a_version_is_stored_as_a_whole_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that goes away in the middle of storing leaves the version before as it was."""
    document = await world.send(key="t")
    await world.queue.run_due()
    rows = await Chunk.all().values()
    write = Store.write

    async def broken(store: Store, statements: Sequence[Statement]) -> None:
        await write(store, statements)
        if any("chunk" in statement.sql for statement in statements):
            raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", broken)
        await world.send(TENT.replace("two", "nine"), key="t")
        assert await world.queue.run_due() == 1
    assert await Chunk.all().values() == rows
    assert await world.found() == [TENT]
    assert ((await row(document)).content, (await row(document)).version) == (TENT, 1)
    world.clock.forward(seconds=10)
    await world.queue.run_due()
    assert await world.found() == [TENT.replace("two", "nine")]


async def test_several_workers_take_different_tasks(world: World) -> None:
    """Twenty tasks and four workers: each is done once."""
    for number in range(20):
        await world.send(f"{TENT} Number {number}.")
    taken = await asyncio.gather(*(world.new_queue().run_due() for _ in range(4)))
    assert sum(taken) == 20
    assert await Document.filter(status=DocumentStatus.READY).count() == 20
    assert await Chunk.all().count() == 20 == len(world.knowledge.index)


async def test_what_is_stored_is_taken_up_at_once(world: World) -> None:
    """A started queue waits for no clock when it is woken, and leaves nothing behind when it
    stops."""
    await world.queue.start()
    document = await world.send()
    world.queue.wake()
    while await world.found() != [TENT]:  # noqa: ASYNC110 (of the index)
        await asyncio.sleep(0.01)
    await world.queue.stop()
    assert (await row(document)).status is DocumentStatus.READY


async def test_a_file_of_records_becomes_many_documents(world: World) -> None:
    """The first is the document that was sent; the others are known by its key and their number,
    and stored with it."""

    class Records:
        async def parse(
            self, name: str, data: bytes, *, mapping: Any = None
        ) -> list[SourceDocument]:
            if data == b"none":
                raise LoadingError("There is no record in it.")
            return [
                SourceDocument(
                    title=f"Record {n}", content=f"Text {n} {data.decode()}", key=f"k{n}"
                )
                for n in range(3)
            ]

    queue = world.new_queue(Records())
    first = await world.submit(file_submission(Properties(key="r"), "a.md", b"one", max_mb=20))
    assert await queue.run_due() == 3
    rows = {document.key: document for document in await Document.all()}
    assert {key: document.title for key, document in rows.items()} == {
        "r": "Record 0",
        "r#=k1": "Record 1",
        "r#=k2": "Record 2",
    }
    assert rows["r"].id == first.id
    await world.submit(file_submission(Properties(key="r"), "a.md", b"two", max_mb=20))
    assert await queue.run_due() == 3
    assert {document.version for document in await Document.all()} == {2}
    assert await Document.all().count() == 3


async def test_a_database_that_is_away_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers go on once it is back."""
    claim = world.queue._claim
    calls = 0

    async def away(limit: int) -> list[Taken]:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise StoreUnavailable("away") if calls == 1 else OperationalError("odd")
        return await claim(limit)

    monkeypatch.setattr(world.queue, "_claim", away)
    await world.send()
    await world.queue.start()
    while not await world.found():
        world.queue.wake()  # else they look again after some seconds
        await asyncio.sleep(0.05)
    await world.queue.stop()
    assert calls >= 3


async def test_records_follow_their_file(world: World) -> None:
    """A further record of a file stays in the collection that it was moved to, and goes when a
    later version of the file does not have it; what only has a similar key stays."""
    properties = Properties(key="faq", source="crm")

    async def upload(*texts: str) -> None:
        lines = "".join(f'{{"content": "{text}"}}\n' for text in texts).encode()
        await world.submit(file_submission(properties, "faq.jsonl", lines, max_mb=1))
        await world.queue.run_due()

    async def there() -> dict[str | None, str]:
        rows = await Document.filter(deleted_at__isnull=True)
        assert {row.status for row in rows} == {DocumentStatus.READY}
        return {row.key: row.content for row in rows}

    for key, source in (("faq#7", "other"), ("faq#7x", "crm"), ("faq#x#7", "crm")):
        await world.send(f"About {key}.", key=key, source=source)
    others = {key: f"About {key}." for key in ("faq#7", "faq#7x", "faq#x#7")}
    two, three = (f"faq#{content_name(text)}" for text in ("Two.", "Three."))
    await upload("One.", "Two.", "Three.")
    assert await there() == others | {"faq": "One.", two: "Two.", three: "Three."}
    board = await Collection.create(name="Board", audience=Audience.NAMED)
    second = await Document.get(key=two)
    await world.knowledge.move([second.id], board.id)
    between = f"faq#{content_name('Between.')}"
    await upload("One.", "Between.", "Two.")
    assert await there() == others | {"faq": "One.", between: "Between.", two: "Two."}
    assert await row(second) == second
    assert ((await row(second)).collection_id, (await row(second)).version) == (board.id, 1)
    assert "Three." not in await world.found("Three.")
    # As earlier versions of this product have named it.
    await Document.filter(id=second.id).update(key="faq#2")
    await upload("One.", "Two.")
    assert await there() == others | {"faq": "One.", two: "Two."}
    assert ((await row(second)).collection_id, (await row(second)).version) == (board.id, 1)
    await upload("Only one.")
    assert await there() == others | {"faq": "Only one."}


async def test_a_text_with_a_key_is_known_by_the_hash_of_what_was_sent(world: World) -> None:
    """Whatever ends its lines, so that a manifest does not want it for ever."""
    sent = "One line.\r\nAnother."
    document = await world.send(sent, key="a")
    assert (await row(document)).content_hash == sha256(sent.encode())
    await world.queue.run_due()
    assert (await row(document)).content == "One line.\nAnother."
    assert (await row(document)).content_hash == sha256(sent.encode())
    again = await world.send(sent, key="a")
    assert (again.id, again.status) == (document.id, DocumentStatus.READY)


async def test_what_was_sent_goes_before_what_is_embedded_again(world: World) -> None:
    """A change of a document does not wait for the end of reindexKnowledge."""
    documents = [await world.send(f"Document {number}.") for number in range(3)]
    await world.queue.run_due()
    now = world.clock.now()
    for document in documents:
        await IngestionTask.create(document=document, kind=TaskKind.STORED, next_attempt_at=now)
    world.clock.forward(seconds=1)
    fresh = await world.send("A new one.")
    claimed = await world.queue._claim(1)
    assert [one.task.document_id for one in claimed] == [fresh.id]


async def test_a_task_without_its_document_goes(world: World) -> None:
    """A document that was deleted just before its task was made leaves nothing behind."""
    document = await world.send()
    await world.queue.run_due()
    await world.knowledge.remove(document)
    await IngestionTask.create(
        document=document, kind=TaskKind.STORED, next_attempt_at=world.clock.now()
    )
    assert await world.queue.run_due() == 1
    assert await IngestionTask.all().count() == 0


async def test_a_change_that_the_index_did_not_take_is_caught_up_with(world: World) -> None:
    """It is committed, so the index is made again from the database."""
    document = await world.send()
    index, real = world.knowledge.index, world.knowledge.index.apply

    def fail(*_: Any) -> None:
        raise MemoryError

    index.apply = fail  # type: ignore[method-assign,assignment]
    await world.queue.run_due()
    index.apply = real  # type: ignore[method-assign]
    assert (await row(document)).status is DocumentStatus.READY
    assert await world.found() == []
    assert await world.knowledge.catch_up() is True
    assert await world.found() == [TENT]


async def test_what_failed_and_is_sent_again_gets_its_new_title(world: World) -> None:
    """At once, since there is no version whose title it could be; also if it fails again."""

    def broken(title: str | None, name: str) -> Submission:
        return file_submission(Properties(title=title), name, b"\xff", max_mb=1)

    document = await world.submit(broken("Old", "old.md"))
    await world.queue.run_due()
    for title, name, shown in (("New", "old.md", "New"), (None, "newest.md", "newest.md")):
        again = await world.submit(broken(title, name))
        assert (again.id, again.title, again.status) == (document.id, shown, DocumentStatus.PENDING)
        await world.queue.run_due()
        failed = await row(document)
        assert (failed.title, failed.status) == (shown, DocumentStatus.FAILED)
    assert failed.source == "newest.md"
