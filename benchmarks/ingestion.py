"""How fast documents are indexed, what questions feel of it, and when a change can be found.

The pages go through the queue as the server's do: stored, cut, embedded, committed with passages
and index. The model's own throughput is measured on the texts of a part of these pages, embedded
with nothing else to do, by as many threads as the service uses.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.embedding import batch_throughput
from benchmarks.figures import Spread, console, table
from benchmarks.pages import make_page
from benchmarks.sample import sample_settings
from models.ingestion import IngestionTask
from models.store import Store
from rag.embedding.base import Embedder
from rag.ingest import cut
from rag.pipeline import Pipeline
from rag.types import SourceDocument
from resolvers.clock import SystemClock
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.queue import IngestionQueue
from resolvers.knowledge.submission import Properties, lock_submissions, submit, text_submission
from wiring import Parts, create_knowledge, prepare_knowledge

_SUBMITTED_AT_ONCE: Final = 500
# Pages whose texts are embedded alone, for the model's own throughput.
_SAMPLE: Final = 100
_PAUSE: Final = 0.02  # seconds between two questions


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Rates are per second; `alone` and `beside` are milliseconds of one question, searched for
    with nothing else going on and while pages are indexed; `searchable` are seconds from a
    document's commit until a search finds it."""

    pages: int
    texts_per_page: float
    seconds: float
    model_texts: float
    growth_mb: float
    alone: Spread
    beside: Spread
    searchable: Spread

    @property
    def pages_per_second(self) -> float:
        return self.pages / self.seconds

    @property
    def share(self) -> float:
        return self.pages_per_second * self.texts_per_page / self.model_texts

    def to_json(self) -> dict[str, Any]:
        return {
            "pages": self.pages,
            "pages_per_second": round(self.pages_per_second, 2),
            "texts_per_page": round(self.texts_per_page, 2),
            "model_texts_per_second": round(self.model_texts, 1),
            "share": round(self.share, 3),
            "memory_growth_mb": round(self.growth_mb, 1),
            "question_alone_ms": self.alone.to_json(),
            "question_beside_ms": self.beside.to_json(),
            "searchable_s": self.searchable.to_json(),
        }

    def report(self) -> str:
        rows = [
            ["pages per second", f"{self.pages_per_second:.1f}"],
            ["texts embedded per page", f"{self.texts_per_page:.1f}"],
            ["the model's own texts per second", f"{self.model_texts:.0f}"],
            ["share of the model's own throughput", f"{self.share:.0%}"],
            ["growth of the peak memory, MiB", f"{self.growth_mb:.0f}"],
            ["question alone, p50 / p99 ms", f"{self.alone.median:.1f} / {self.alone.p99:.1f}"],
            ["question beside, p50 / p99 ms", f"{self.beside.median:.1f} / {self.beside.p99:.1f}"],
            ["p99 beside against alone", f"{self.beside.p99 / self.alone.p99:.1f}"],
            ["commit to searchable, median s", f"{self.searchable.median:.2f}"],
            ["commit to searchable, longest of all s", f"{self.searchable.p99:.2f}"],
        ]
        return table([f"{self.pages} pages", "figure"], rows)


def run(folder: Path, *, pages: int, questions: int = 200, changes: int = 10) -> Ingestion:
    return asyncio.run(_run(folder, pages=pages, questions=questions, changes=changes))


async def _run(folder: Path, *, pages: int, questions: int, changes: int) -> Ingestion:
    async with _knowledge(folder) as (knowledge, add):
        pipeline = await knowledge.pipeline()
        sample = [make_page(number) for number in range(min(pages, _SAMPLE))]
        texts = await asyncio.to_thread(_texts, sample, knowledge.embedding.embedder)
        console.print(f"Embedding {len(texts)} texts alone")
        model = await asyncio.to_thread(batch_throughput, knowledge.embedding.embedder.embed, texts,
                                        parallel=knowledge.embedding.embedder.parallel)  # fmt: skip
        await add([make_page(number) for number in range(min(pages, 20))])
        await _all_ready()
        alone = await _ask(pipeline, questions)
        await asyncio.sleep(2.5)  # until nobody has asked for a while
        before = await asyncio.to_thread(_reset_peak)
        seconds = await _index(add, pages)
        growth = await asyncio.to_thread(_peak_mb) - before
        console.print("Asking while pages are indexed")
        beside = await _beside(add, pipeline, questions, first=pages)
        await asyncio.sleep(2.5)
        searchable = [await _until_found(add, pipeline, number) for number in range(changes)]
    return Ingestion(
        pages=pages,
        texts_per_page=len(texts) / len(sample),
        seconds=seconds,
        model_texts=model,
        growth_mb=growth,
        alone=Spread.of(alone),
        beside=Spread.of(beside),
        searchable=Spread.of(searchable),
    )


Add = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]


@asynccontextmanager
async def _knowledge(folder: Path) -> AsyncIterator[tuple[KnowledgeBase, Add]]:
    """A knowledge base and its queue, as the server makes them, over no documents."""
    kb_dir = folder / "kb"
    kb_dir.mkdir(parents=True)
    settings = sample_settings(folder, kb_dir)
    store = Store(settings.store_url)
    await store.open()
    try:
        await store.migrate()
        clock = SystemClock()
        knowledge = create_knowledge(settings, Parts(), store)
        queue = IngestionQueue(
            store=store, clock=clock, knowledge=knowledge, parser=knowledge.parser
        )

        async def add(pages: Sequence[tuple[str, str]]) -> None:
            submissions = [text_submission(Properties(title=title), text) for title, text in pages]
            async with store.transaction():
                await lock_submissions(store, submissions)
                for submission in submissions:
                    await submit(store, clock, submission)
            knowledge.documents.forget()
            queue.wake()

        try:
            await prepare_knowledge(knowledge, kb_dir, queue=queue)
            if not knowledge.is_ready:
                raise RuntimeError(f"The knowledge base cannot be opened: {knowledge.failure}")
            yield knowledge, add
        finally:
            await queue.stop()
            await knowledge.embedding.close()
            await knowledge.close()
    finally:
        await store.close()


def _texts(pages: Sequence[tuple[str, str]], embedder: Embedder) -> list[str]:
    texts: list[str] = []
    for title, content in pages:
        _, passages, sentences = cut(SourceDocument(title=title, content=content), embedder)
        texts += [*passages, *sentences]
    return texts


async def _index(add: Add, pages: int) -> float:
    """Seconds from the first page's arrival until all are searchable."""
    begun = time.perf_counter()
    for first in range(0, pages, _SUBMITTED_AT_ONCE):
        numbers = range(first, min(pages, first + _SUBMITTED_AT_ONCE))
        await add([make_page(number, seed=5) for number in numbers])
        await _all_ready()
        console.print(f"{numbers.stop} pages, {time.perf_counter() - begun:.0f} s")
    return time.perf_counter() - begun


async def _all_ready() -> None:
    await _until(_none_waits)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        if await IngestionTask.filter(next_attempt_at__isnull=True).exists():
            raise RuntimeError("A page was not indexed; the log says why.")
        await asyncio.sleep(0.05)


async def _none_waits() -> bool:
    """By the tasks, which are few: the documents would be looked through each time."""
    return not await IngestionTask.all().exists()


async def _few_wait() -> bool:
    return await IngestionTask.all().count() <= 10


async def _ask(pipeline: Pipeline, count: int) -> list[float]:
    """Milliseconds of single questions, embedding and search."""
    taken = []
    for number in range(count):
        title, _ = make_page(number, seed=6)
        begun = time.perf_counter()
        await pipeline.retrieve(f"How often must the {title} be checked?")
        taken.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(_PAUSE)
    return taken


async def _beside(add: Add, pipeline: Pipeline, count: int, *, first: int) -> list[float]:
    """The same while pages are indexed all the time."""
    stopped = False

    async def feed() -> None:
        number = first
        while not stopped:
            await add([make_page(number + more, seed=7) for more in range(20)])
            number += 20
            await _until(_few_wait)

    feeding = asyncio.create_task(feed())
    await asyncio.sleep(1)
    try:
        return await _ask(pipeline, count)
    finally:
        stopped = True
        await feeding
        await _all_ready()


async def _until_found(add: Add, pipeline: Pipeline, number: int) -> float:
    """Seconds from the commit of a new document to the first search that finds it."""
    name = f"Quarzwal{number}"
    await add([(name, f"# {name}\n\nThe visitors' code of {name} is {7000 + number}.\n")])
    begun = time.perf_counter()
    while True:
        found = await pipeline.retrieve(f"What is the visitors' code of {name}?", limit=1)
        if found.hits and found.hits[0].passage.title == name:
            return time.perf_counter() - begun
        if time.perf_counter() - begun > 60:
            raise RuntimeError("A new document was not found within a minute.")
        await asyncio.sleep(0.05)


def _reset_peak() -> float:
    """Forget the process' peak of resident memory, which loading has made; MiB of now. On systems
    other than Linux the peak stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_mb()


def _peak_mb() -> float:
    """The peak of resident memory in MiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024 if sys.platform != "darwin" else peak / 1024**2
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
