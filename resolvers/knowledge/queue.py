"""The queue of documents that wait to be indexed, and those who work it off."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from tortoise.expressions import F
from tortoise.functions import Length
from tortoise.queryset import QuerySet

from models.document import Document, DocumentStatus
from models.errors import is_unavailable
from models.ingestion import IngestionTask, TaskKind
from models.store import Store
from rag.errors import LoadingError
from rag.loading import FieldMapping
from rag.types import SourceDocument
from resolvers.clock import Clock
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.lanes import AT_ONCE, LONG, Lane
from resolvers.knowledge.parsing import Parser
from resolvers.knowledge.records import is_record_file
from resolvers.knowledge.reembedding import stored_source
from resolvers.knowledge.storing import Lease, Superseded
from resolvers.knowledge.submission import add_records, vanished_records

log = logging.getLogger("groundql.ingestion")

MAX_ATTEMPTS: Final = 6  # with the waits below: over about five minutes
FIRST_WAIT: Final = timedelta(seconds=10)
LONGEST_WAIT: Final = timedelta(minutes=10)
# A worker says so often that it is alive; when it has not for a lease, another one takes over.
LEASE: Final = timedelta(seconds=30)
_RENEWAL: Final = 10.0  # seconds
_POLL: Final = 5.0  # seconds; what this process stores is taken up at once
# Tasks that are begun at once: a few more than can be under way, so that the next are at hand.
IN_FLIGHT: Final = AT_ONCE + 8
# A task that was begun so often without an end is perhaps what the process died of. Of such tasks
# one is under way at a time, so that the others do not share its fate.
_SUSPECT: Final = 2

# Without the payload, which is large.
_TASK: Final = (
    "id",
    "document_id",
    "kind",
    "title",
    "type",
    "category",
    "language",
    "source",
    "file_name",
    "mapping",
    "attempts",
    "next_attempt_at",
)
_DOCUMENT: Final = (
    "id",
    "key",
    "title",
    "type",
    "category",
    "language",
    "source",
    "pages",
    "content_hash",
    "collection_id",
)

GAVE_UP: Final = "It could not be indexed after several attempts; see the server's log."


@dataclass(slots=True, eq=False)
class Taken:
    """A task that is ours, and its document; None if that was deleted.

    `text` is what the task or, for one that is only embedded again, the document holds; None if it
    is so long that it is read when there is room for it. `size` is its size.
    """

    task: IngestionTask
    document: Document | None
    size: int
    text: bytes | str | None = None

    @property
    def lease(self) -> Lease:
        return Lease(self.task.id, self.task.attempts)

    @property
    def is_suspect(self) -> bool:
        return self.task.attempts > _SUSPECT


class IngestionQueue:
    """Takes tasks, what was sent first and of that the oldest, and turns each into the next version
    of its document.

    Any number of processes may work on one database. A task belongs to whoever counted its
    `attempts` up last: only they may store a result, in the transaction that ends the task. So a
    version is stored as a whole, once, or not at all, whenever a process dies.
    """

    def __init__(
        self, *, store: Store, clock: Clock, knowledge: KnowledgeBase, parser: Parser
    ) -> None:
        self._store = store
        self._clock = clock
        self._knowledge = knowledge
        self._parser = parser
        self._woken = asyncio.Event()
        self._held: set[Taken] = set()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to work. Call it once the index is open."""
        await self.release()
        self._worker = asyncio.create_task(self._work(), name="ingestion")

    async def stop(self) -> None:
        """End the work at once; what was begun is begun anew at the next start."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        self._worker = None

    def wake(self) -> None:
        """Something was stored: look now."""
        self._woken.set()

    async def release(self) -> None:
        """Let tasks be taken that a process held which is gone. The one server of a database calls
        this at its start; if the holder lives after all, it loses the task, and nothing else."""
        held = IngestionTask.filter(next_attempt_at__gt=self._clock.now(), attempts__gt=0)
        ids = await held.filter(document__status=DocumentStatus.PROCESSING).values_list("id")
        if ids:
            await IngestionTask.filter(id__in=[id for (id,) in ids]).update(
                next_attempt_at=self._clock.now()
            )

    async def run_due(self) -> int:
        """Work off what is due now; returns how many tasks were taken."""
        count = 0
        running: set[asyncio.Task[None]] = set()
        renewal = asyncio.create_task(self._renew())
        try:
            while taken := await self._claim_beside(running):
                count += len(taken)
                running |= {asyncio.create_task(self._process(one)) for one in taken}
                await self._until_room(running)
        except Exception:
            # What is under way needs no more tasks.
            await asyncio.gather(*running, return_exceptions=True)
            raise
        finally:
            renewal.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if count:
            await self._knowledge.refresh()
            await self._knowledge.report()
        return count

    async def _claim_beside(self, running: set[asyncio.Task[None]]) -> list[Taken]:
        """The next tasks that are due, as soon as there are any; none once nothing is under way
        either."""
        while True:
            self._woken.clear()
            taken = await self._claim(IN_FLIGHT - len(running))
            if taken or not running:
                return taken
            woken = asyncio.create_task(self._woken.wait())
            try:
                ended, _ = await asyncio.wait(
                    {*running, woken}, timeout=_POLL, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                woken.cancel()
            running -= ended
            _raise_errors(ended)

    async def _until_room(self, running: set[asyncio.Task[None]]) -> None:
        """Wait until there is room for a good many, since each look for tasks costs as much as
        for one."""
        while len(running) > IN_FLIGHT // 2:
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running -= ended
            _raise_errors(ended)

    async def _work(self) -> None:
        self._store.bind()
        while True:
            self._woken.clear()
            try:
                await self.run_due()
            except Exception as error:
                if is_unavailable(error):
                    log.warning("Indexing waits for the database: %s", error)
                else:
                    log.exception("Indexing was interrupted; it goes on in a moment")
                await asyncio.sleep(1)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._woken.wait()

    async def _claim(self, limit: int = IN_FLIGHT) -> list[Taken]:
        """The next tasks that are due, now ours."""
        while True:
            now = self._clock.now()
            ids = await self._due(now, limit)
            if not ids:
                return []
            async with self._store.transaction():
                # Of several who saw a task as due, one finds it as it was.
                mine = IngestionTask.filter(id__in=ids, next_attempt_at__lte=now)
                tasks = (
                    await mine.select_for_update(skip_locked=True)
                    .order_by("next_attempt_at", "id")
                    .annotate(size=Length("payload"))
                    .only(*_TASK)
                )
                if not tasks:
                    continue
                await IngestionTask.filter(id__in=[task.id for task in tasks]).update(
                    attempts=F("attempts") + 1, next_attempt_at=now + LEASE
                )
                await Document.filter(id__in=[task.document_id for task in tasks]).update(
                    status=DocumentStatus.PROCESSING
                )
            for task in tasks:
                task.attempts += 1
                if task.attempts > MAX_ATTEMPTS:
                    # The process died each time: perhaps because of this document.
                    await self._fail(task, GAVE_UP)
            tasks = [task for task in tasks if task.attempts <= MAX_ATTEMPTS]
            if tasks:
                return await self._read(tasks)

    async def _due(self, now: datetime, limit: int) -> list[UUID]:
        due = IngestionTask.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "id")
        fresh = due.filter(attempts__lt=_SUSPECT)
        # What was sent goes before what is only cut and embedded again, which may be all.
        sent = fresh.filter(kind__in=[TaskKind.TEXT, TaskKind.FILE])
        found = await sent.limit(limit).values_list("id")
        if len(found) < limit:
            again = fresh.filter(kind=TaskKind.STORED).limit(limit - len(found))
            found += await again.values_list("id")
        if not any(one.is_suspect for one in self._held):
            found += await due.filter(attempts__gte=_SUSPECT).limit(1).values_list("id")
        return [id for (id,) in found]

    async def _read(self, tasks: Sequence[IngestionTask]) -> list[Taken]:
        """What the tasks are about, with the texts that are short."""
        rows = Document.filter(id__in=[task.document_id for task in tasks], deleted_at__isnull=True)
        documents = {
            row.id: row for row in await rows.annotate(size=Length("content")).only(*_DOCUMENT)
        }
        taken = []
        for task in tasks:
            document = documents.get(task.document_id)
            holder: Any = document if task.kind is TaskKind.STORED else task
            taken.append(Taken(task, document, 0 if holder is None else holder.size or 0))
        short = [one for one in taken if one.size <= LONG]
        sent = IngestionTask.filter(
            id__in=[one.task.id for one in short if one.task.kind is not TaskKind.STORED]
        )
        texts: dict[UUID, Any] = dict(await sent.values_list("id", "payload"))
        stored = [one.task.document_id for one in short if one.task.kind is TaskKind.STORED]
        if stored:
            held = Document.filter(id__in=stored, deleted_at__isnull=True)
            texts |= dict(await held.values_list("id", "content"))
        for one in short:
            one.text = texts.get(one.task.id, texts.get(one.task.document_id))
        return taken

    async def _process(self, taken: Taken) -> None:
        task = taken.task
        self._knowledge.counting.soon()
        self._held.add(taken)
        try:
            async with self._knowledge.lanes.lane(taken.size) as lane:
                await self._index(taken, lane)
        except Superseded:
            log.debug("A version of document %s was replaced meanwhile", task.document_id)
        except LoadingError as error:
            log.warning("Document %s was not indexed: %s", task.document_id, error)
            await self._fail(task, str(error))
        except Exception as error:
            if is_unavailable(error):
                log.warning("Indexing of document %s waits: %s", task.document_id, error)
            else:
                log.error("Document %s was not indexed", task.document_id, exc_info=error)
            await self._retry(task)
        finally:
            self._held.discard(taken)
        self._knowledge.counting.soon()

    async def _index(self, taken: Taken, lane: Lane) -> None:
        task, document = taken.task, taken.document
        if document is None:
            await self._owned(task).delete()
            raise Superseded
        source, *records = await self._sources(taken, document)
        await lane.widen(len(source.content))
        properties: dict[str, Any] = {}
        if task.kind is not TaskKind.STORED and task.source is not None:
            properties["source"] = task.source
        await self._knowledge.put(
            document,
            source,
            content_hash=document.content_hash,
            properties=properties,
            lease=taken.lease,
            within=partial(add_records, self._store, self._clock, task, document, records)
            if records
            else None,
        )
        if records:
            self.wake()
        if task.kind is TaskKind.FILE and is_record_file(task.file_name or ""):
            # After the commit: what is cut off here is done with the file's next version.
            gone = await vanished_records(document, task.source, records)
            await self._knowledge.remove_all(gone)

    async def _text(self, taken: Taken) -> Any:
        """What the task holds; empty if it is gone, and its result with it."""
        if taken.text is None and taken.task.kind is TaskKind.STORED:
            found = await Document.filter(id=taken.task.document_id).values_list("content")
            taken.text = found[0][0] if found else ""
        elif taken.text is None:
            sent = await IngestionTask.filter(id=taken.task.id).values_list("payload")
            taken.text = sent[0][0] or b"" if sent else b""
        return taken.text

    async def _sources(self, taken: Taken, document: Document) -> list[SourceDocument]:
        """What the task's next version consists of; further ones are documents of their own."""
        task, text = taken.task, await self._text(taken)
        if task.kind is TaskKind.FILE:
            assert task.file_name is not None
            found = await self._parser.parse(
                task.file_name,
                text,
                mapping=None if task.mapping is None else FieldMapping.from_json(task.mapping),
            )
        else:
            content = text if task.kind is TaskKind.STORED else text.decode()
            found = [stored_source(document, content)]
        first = found[0]
        found[0] = replace(
            first,
            title=task.title or first.title,
            type=task.type or first.type,
            category=task.category or first.category,
            language=task.language or first.language,
        )
        return found

    def _owned(self, task: IngestionTask) -> QuerySet[IngestionTask]:
        """The task's row, if it is still as we took it."""
        return IngestionTask.filter(id=task.id, attempts=task.attempts)

    async def _renew(self) -> None:
        """Say now and then that what was begun is still being worked on."""
        while True:
            await asyncio.sleep(_RENEWAL)
            by_attempts: defaultdict[int, list[UUID]] = defaultdict(list)
            for task_id, attempts in [one.lease for one in self._held]:
                by_attempts[attempts].append(task_id)
            for attempts, ids in by_attempts.items():
                with suppress(Exception):  # at worst somebody else takes the tasks
                    await IngestionTask.filter(id__in=ids, attempts=attempts).update(
                        next_attempt_at=self._clock.now() + LEASE
                    )

    async def _retry(self, task: IngestionTask) -> None:
        """Later again, or not at all. If even that cannot be stored, the lease runs out."""
        if task.attempts >= MAX_ATTEMPTS:
            await self._fail(task, GAVE_UP)
            return
        wait = min(FIRST_WAIT * 2 ** (task.attempts - 1), LONGEST_WAIT)
        async with self._store.transaction():
            if await self._owned(task).update(next_attempt_at=self._clock.now() + wait):
                await Document.filter(id=task.document_id, deleted_at__isnull=True).update(
                    status=DocumentStatus.PENDING
                )

    async def _fail(self, task: IngestionTask, reason: str) -> None:
        """What was sent stays, for `reindexKnowledge`; the version before goes on answering."""
        async with self._store.transaction():
            if await self._owned(task).update(next_attempt_at=None):
                await Document.filter(id=task.document_id, deleted_at__isnull=True).update(
                    status=DocumentStatus.FAILED, failure=reason[:500]
                )


def _raise_errors(ended: Iterable[asyncio.Task[Any]]) -> None:
    for task in ended:
        task.result()
