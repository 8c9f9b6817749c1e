"""The queue of documents that wait to be indexed, and those who work it off."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

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
from resolvers.knowledge.parsing import Parser
from resolvers.knowledge.records import is_record_file
from resolvers.knowledge.reembedding import stored_source
from resolvers.knowledge.state import Superseded
from resolvers.knowledge.submission import add_records, vanished_records

log = logging.getLogger("groundql.ingestion")

MAX_ATTEMPTS: Final = 6  # with the waits below: over about five minutes
FIRST_WAIT: Final = timedelta(seconds=10)
LONGEST_WAIT: Final = timedelta(minutes=10)
# A worker says so often that it is alive; when it has not for a lease, another one takes over.
LEASE: Final = timedelta(seconds=30)
_RENEWAL: Final = 10.0  # seconds
_POLL: Final = 5.0  # seconds; what this process stores is taken up at once
# One long document must not hold up the short ones behind it, and the model wants texts to embed
# while another document is being cut or stored.
_WORKERS: Final = 6

GAVE_UP: Final = "It could not be indexed after several attempts; see the server's log."


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
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to work. Call it once the index is open."""
        await self.release()
        self._tasks = [
            asyncio.create_task(self._work(), name=f"ingestion-{number}")
            for number in range(_WORKERS)
        ]

    async def stop(self) -> None:
        """End the work at once; what was begun is begun anew at the next start."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

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
        while (task := await self._claim()) is not None:
            await self._process(task)
            count += 1
        if count:
            await self._knowledge.refresh()
        return count

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

    async def _claim(self) -> IngestionTask | None:
        """The next task that is due, now ours."""
        while True:
            now = self._clock.now()
            due = IngestionTask.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "id")
            # What was sent goes before what is only cut and embedded again, which may be all.
            sent = due.filter(kind__in=[TaskKind.TEXT, TaskKind.FILE])
            task = await sent.first() or await due.first()
            if task is None:
                return None
            async with self._store.transaction():
                # Of several who saw it as due, one finds it as it was.
                mine = IngestionTask.filter(
                    id=task.id, attempts=task.attempts, next_attempt_at__lte=now
                )
                task.attempts += 1
                if not await mine.update(attempts=task.attempts, next_attempt_at=now + LEASE):
                    continue
                await Document.filter(id=task.document_id).update(status=DocumentStatus.PROCESSING)
            if task.attempts > MAX_ATTEMPTS:
                # The process died each time: perhaps because of this document.
                await self._fail(task, GAVE_UP)
                continue
            return task

    async def _process(self, task: IngestionTask) -> None:
        await self._knowledge.report()
        renewal = asyncio.create_task(self._renew(task))
        try:
            await self._index(task)
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
            renewal.cancel()
        await self._knowledge.report()

    async def _index(self, task: IngestionTask) -> None:
        document = await Document.get_or_none(id=task.document_id, deleted_at__isnull=True)
        if document is None:
            await self._owned(task).delete()
            raise Superseded
        source, *records = await self._sources(task, document)
        properties: dict[str, Any] = {}
        if task.kind is not TaskKind.STORED and task.source is not None:
            properties["source"] = task.source

        async def finish() -> None:
            if not await self._owned(task).delete():
                raise Superseded
            await add_records(self._clock, task, document, records)

        await self._knowledge.put(
            document,
            source,
            content_hash=document.content_hash,
            properties=properties,
            within=finish,
        )
        if records:
            self.wake()
        if task.kind is TaskKind.FILE and is_record_file(task.file_name or ""):
            # After the commit: what is cut off here is done with the file's next version.
            for gone in await vanished_records(document, task.source, 1 + len(records)):
                await self._knowledge.remove(gone)

    async def _sources(self, task: IngestionTask, document: Document) -> list[SourceDocument]:
        """What the task's next version consists of; further ones are documents of their own."""
        if task.kind is TaskKind.FILE:
            assert task.file_name is not None
            found = await self._parser.parse(
                task.file_name,
                task.payload or b"",
                mapping=None if task.mapping is None else FieldMapping.from_json(task.mapping),
            )
        elif task.kind is TaskKind.TEXT:
            found = [replace(stored_source(document), content=(task.payload or b"").decode())]
        else:
            found = [stored_source(document)]
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

    async def _renew(self, task: IngestionTask) -> None:
        while True:
            await asyncio.sleep(_RENEWAL)
            with suppress(Exception):  # at worst somebody else takes the task
                await self._owned(task).update(next_attempt_at=self._clock.now() + LEASE)

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
