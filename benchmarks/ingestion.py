"""How fast documents are indexed, what questions feel of it, and when a change can be found.

The pages go through the queue as the server's do: stored, cut, embedded, committed with passages
and index. The model's own throughput is measured on the texts of a part of these pages, embedded
with nothing else to do, by as many threads of the same priority as the service uses. That is done
before and after every thousand pages, since on a shared machine it is never the same for long.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.embedding import batch_throughput
from benchmarks.figures import Spread, console, load, progress, table
from benchmarks.pages import make_page
from benchmarks.sample import sample_settings
from models.ingestion import IngestionTask
from models.store import Store
from rag.embedding.base import Embedder
from rag.index.knowledge import KnowledgeIndex
from rag.ingest import cut
from rag.lexical import Bm25Index
from rag.pipeline import Pipeline
from rag.types import SourceDocument
from resolvers.clock import SystemClock
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.queue import IngestionQueue
from resolvers.knowledge.submission import Properties, lock_submissions, submit, text_submission
from wiring import Parts, create_knowledge, prepare_knowledge, tune_interpreter

# As many as a call of the webhook may hold.
_SUBMITTED_AT_ONCE: Final = 100
# Pages between two measurements of the model alone and of memory.
_BLOCK: Final = 1_000
# Pages whose texts are embedded alone, for the model's own throughput.
_SAMPLE: Final = 60
_PAUSE: Final = 0.02  # seconds between two questions
_POLL: Final = 0.2  # seconds between two looks at what waits


@dataclass(frozen=True, slots=True)
class Block:
    """Some pages, one after another. Seconds of their indexing and of its processor time, of all
    threads; seconds and processor time that the model alone needs for their texts; MiB of resident
    memory at the end, and of the index in it."""

    pages: int
    seconds: float
    processor: float
    model_seconds: float
    model_processor: float
    resident_mb: float
    index_mb: float

    def to_json(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Rates are per second; `alone` and `beside` are milliseconds of one question, searched for
    with nothing else going on and while pages are indexed; `searchable` are seconds from a
    document's commit until a search finds it. `base_mb` is the resident memory before."""

    pages: int
    texts_per_page: float
    blocks: list[Block]
    base_mb: float
    growth_mb: float
    alone: Spread
    beside: Spread
    searchable: Spread

    @property
    def seconds(self) -> float:
        return sum(block.seconds for block in self.blocks)

    @property
    def pages_per_second(self) -> float:
        return self.pages / self.seconds

    @property
    def model_texts(self) -> float:
        needed = sum(block.model_seconds for block in self.blocks)
        return self.pages * self.texts_per_page / needed

    @property
    def share(self) -> float:
        return self.pages_per_second * self.texts_per_page / self.model_texts

    @property
    def processor_share(self) -> float:
        """The model's part of all processor time: less of it depends on what else runs."""
        used = sum(block.processor for block in self.blocks)
        return sum(block.model_processor for block in self.blocks) / used

    @property
    def other_mb(self) -> list[float]:
        """What memory has grown by in each block, beyond the index."""
        last, index = self.base_mb, 0.0
        grown = []
        for block in self.blocks:
            grown.append(block.resident_mb - last - (block.index_mb - index))
            last, index = block.resident_mb, block.index_mb
        return grown

    def to_json(self) -> dict[str, Any]:
        return {
            "pages": self.pages,
            "pages_per_second": round(self.pages_per_second, 2),
            "texts_per_page": round(self.texts_per_page, 2),
            "model_texts_per_second": round(self.model_texts, 1),
            "share": round(self.share, 3),
            "processor_share": round(self.processor_share, 3),
            "memory_growth_mb": round(self.growth_mb, 1),
            "blocks": [block.to_json() for block in self.blocks],
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
            ["the model's share of all processor time", f"{self.processor_share:.0%}"],
            ["growth of the peak memory, MiB", f"{self.growth_mb:.0f}"],
            ["of that the index, MiB", f"{self.blocks[-1].index_mb:.0f}"],
            [
                "beyond the index, MiB by 1,000 pages",
                " ".join(f"{grown:.0f}" for grown in self.other_mb),
            ],
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
        await tune_interpreter(knowledge)
        sample = [make_page(number) for number in range(min(pages, _SAMPLE))]
        texts = await asyncio.to_thread(_texts, sample, knowledge.embedding.embedder)
        embedder = knowledge.embedding.embedder
        await add([make_page(number) for number in range(min(pages, 20))])
        await _all_ready()
        model = _Model(embedder, texts)
        await model.measure()
        before = await asyncio.to_thread(_reset_peak)
        blocks = await _index(add, pages, model, len(texts) / len(sample), knowledge)
        growth = await asyncio.to_thread(_peak_mb) - before
        console.print("Asking, alone and while pages are indexed")
        alone = await _ask(pipeline, questions)
        beside = await _beside(add, pipeline, questions, first=pages)
        await asyncio.sleep(2.5)
        searchable = [await _until_found(add, pipeline, number) for number in range(changes)]
    return Ingestion(
        pages=pages,
        texts_per_page=len(texts) / len(sample),
        blocks=blocks,
        base_mb=before,
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


class _Model:
    """The model alone, measured again and again: seconds and processor time of a text."""

    def __init__(self, embedder: Embedder, texts: Sequence[str]) -> None:
        self._embedder = embedder
        self._texts = texts
        self._seconds = self._processor = 0.0

    async def measure(self) -> tuple[float, float]:
        """The mean of this time and the last."""
        begun = time.process_time()
        rate = await asyncio.to_thread(
            batch_throughput, self._embedder.embed, self._texts,
            parallel=self._embedder.parallel, times=1, in_background=True,
        )  # fmt: skip
        seconds, processor = 1 / rate, (time.process_time() - begun) / len(self._texts)
        mean = (seconds + self._seconds) / 2, (processor + self._processor) / 2
        self._seconds, self._processor = seconds, processor
        return mean


async def _index(
    add: Add, pages: int, model: _Model, texts_per_page: float, knowledge: KnowledgeBase
) -> list[Block]:
    """Index all pages, with a look at the model and the memory after each block."""
    blocks = []
    with progress() as bar:
        task = bar.add_task("Indexing", total=pages)
        for first in range(0, pages, _BLOCK):
            end = min(pages, first + _BLOCK)
            processor, begun = time.process_time(), time.perf_counter()
            for start in range(first, end, _SUBMITTED_AT_ONCE):
                numbers = range(start, min(end, start + _SUBMITTED_AT_ONCE))
                await add([make_page(number, seed=5) for number in numbers])
                await _until(_half_done)
                bar.update(task, completed=numbers.stop)
            await _all_ready()
            seconds, processor = time.perf_counter() - begun, time.process_time() - processor
            per_text, processor_per_text = await model.measure()
            texts = (end - first) * texts_per_page
            blocks.append(
                Block(
                    pages=end - first,
                    seconds=seconds,
                    processor=processor,
                    model_seconds=texts * per_text,
                    model_processor=texts * processor_per_text,
                    resident_mb=await asyncio.to_thread(_resident_mb),
                    index_mb=_index_mb(knowledge.index),
                )
            )
            console.print(
                f"{end} pages: {(end - first) / seconds:.1f} a second, "
                f"{texts * per_text / seconds:.0%} of the model's own throughput, "
                f"{blocks[-1].resident_mb:.0f} MiB; load {load()[:1]}"
            )
    return blocks


def _index_mb(index: KnowledgeIndex) -> float:
    """MiB of the arrays that the index is made of: vectors, postings, properties."""
    lexical = index._lexical
    assert isinstance(lexical, Bm25Index)
    arrays = [
        array
        for run in lexical._runs
        for array in vars(run).values()
        if isinstance(array, np.ndarray)
    ]
    # The catalogue says of itself how much a passage takes.
    return (sum(a.nbytes for a in arrays) + len(index) * (4 * index.dense.dimension + 60)) / 2**20


async def _all_ready() -> None:
    await _until(_none_waits)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        if await IngestionTask.filter(next_attempt_at__isnull=True).exists():
            raise RuntimeError("A page was not indexed; the log says why.")
        await asyncio.sleep(_POLL)


async def _none_waits() -> bool:
    """By the tasks, which are few: the documents would be looked through each time."""
    return not await IngestionTask.all().exists()


async def _half_done() -> bool:
    return await IngestionTask.all().count() <= _SUBMITTED_AT_ONCE


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


def _resident_mb() -> float:
    """MiB of resident memory now; elsewhere than on Linux its peak."""
    return _status_mb("VmRSS")


def _peak_mb() -> float:
    """The peak of resident memory in MiB."""
    return _status_mb("VmHWM")


def _status_mb(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024 if sys.platform != "darwin" else peak / 1024**2
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
