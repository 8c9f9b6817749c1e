from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from rag.embedding.service import EmbeddingService
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

pytestmark = pytest.mark.anyio


class GatedEmbedder(FakeEmbedder):
    """Waits at each batch until the gate is open; refuses the text "bad"."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.seen: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.entered.release()
        assert self.gate.wait(10)
        self.seen.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad text")
        return super().embed(texts)


@asynccontextmanager
async def running(
    embedder: FakeEmbedder, *, cache_size: int = 0
) -> AsyncIterator[EmbeddingService]:
    service = EmbeddingService(lambda: embedder, cache_size=cache_size)
    service.start()
    try:
        yield service
    finally:
        await service.close()


async def test_queries_that_wait_go_in_one_batch() -> None:
    """What is asked while the model is busy is embedded together, in order."""
    embedder = GatedEmbedder()
    async with running(embedder) as service:
        first = asyncio.create_task(service.embed_query("first"))
        await asyncio.to_thread(embedder.entered.acquire)
        others = [asyncio.create_task(service.embed_query(f"q{n}")) for n in range(100)]
        await asyncio.sleep(0.01)
        embedder.gate.set()
        vectors = await asyncio.gather(first, *others)
        assert [len(batch) for batch in embedder.seen] == [1, 64, 36]
        expected = FakeEmbedder().embed(["first", *(f"q{n}" for n in range(100))])
        np.testing.assert_array_equal(np.stack(vectors), expected)


async def test_a_query_overtakes_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query waits for the current slice of passages only."""
    monkeypatch.setattr("rag.embedding.service.monotonic", lambda: 100.0)  # no passage takes long
    embedder = GatedEmbedder()
    done: list[tuple[int, int]] = []
    async with running(embedder) as service:
        texts = [f"passage {n}" for n in range(40)]
        passages = asyncio.create_task(
            service.embed_passages(texts, progress=lambda *step: done.append(step))
        )
        await asyncio.to_thread(embedder.entered.acquire)
        query = asyncio.create_task(service.embed_query("query"))
        await asyncio.sleep(0.01)
        embedder.gate.set()
        await query
        matrix = await passages
        assert [len(batch) for batch in embedder.seen] == [16, 1, 16, 8]
        assert done == [(16, 40), (32, 40), (40, 40)]
        np.testing.assert_array_equal(matrix, FakeEmbedder().embed(texts))


async def test_a_cancelled_query_is_not_embedded() -> None:
    """A caller that left before its turn costs nothing and harms nobody."""
    embedder = GatedEmbedder()
    async with running(embedder) as service:
        first = asyncio.create_task(service.embed_query("first"))
        await asyncio.to_thread(embedder.entered.acquire)
        left = asyncio.create_task(service.embed_query("left"))
        stays = asyncio.create_task(service.embed_query("stays"))
        await asyncio.sleep(0.01)
        left.cancel()
        first.cancel()
        await asyncio.sleep(0)
        embedder.gate.set()
        await stays
        assert embedder.seen == [["first"], ["stays"]]


async def test_an_error_reaches_its_caller_only() -> None:
    """A text that the model refuses does not fail the requests in the same batch."""
    embedder = GatedEmbedder()
    async with running(embedder) as service:
        first = asyncio.create_task(service.embed_query("first"))
        await asyncio.to_thread(embedder.entered.acquire)
        bad = asyncio.create_task(service.embed_query("bad"))
        good = asyncio.create_task(service.embed_query("good"))
        await asyncio.sleep(0.01)
        embedder.gate.set()
        await asyncio.gather(first, good)
        with pytest.raises(EmbeddingError, match="cannot be embedded"):
            await bad


async def test_query_vectors_are_cached_up_to_the_limit() -> None:
    """A repeated query is not embedded again until it is forgotten; passages are not cached."""
    embedder = FakeEmbedder()
    async with running(embedder, cache_size=2) as service:
        await service.embed_queries(["a", "b", "a"])
        await service.embed_query("a")
        assert embedder.batches == [2]
        await service.embed_query("c")  # forgets b
        await service.embed_queries(["a", "b"])
        assert embedder.batches == [2, 1, 1]
        await service.embed_passages(["a"])
        assert embedder.batches == [2, 1, 1, 1]
        assert (await service.embed_queries([])).shape == (0, 64)


async def test_a_model_that_cannot_be_loaded_fails_every_caller() -> None:
    """The reason of the failed start is told by `ready` and by each request."""

    def fail() -> FakeEmbedder:
        raise OSError("no such file")

    service = EmbeddingService(fail)
    service.start()
    with pytest.raises(EmbeddingError, match="no such file"):
        await service.ready()
    with pytest.raises(EmbeddingError, match="no such file"):
        await service.embed_query("a")
    assert not service.is_ready
    await service.close()


async def test_it_must_be_started_and_is_started_once() -> None:
    """Use before the start and a second start are errors."""
    service = EmbeddingService(FakeEmbedder)
    with pytest.raises(EmbeddingError, match="not started"):
        await service.embed_query("a")
    with pytest.raises(EmbeddingError, match="not loaded"):
        _ = service.embedder
    service.start()
    with pytest.raises(RuntimeError, match="already"):
        service.start()
    await service.close()


async def test_closing_fails_those_who_wait() -> None:
    """`close` waits for the running batch and refuses the rest."""
    embedder = GatedEmbedder()
    service = EmbeddingService(lambda: embedder)
    service.start()
    running_query = asyncio.create_task(service.embed_query("running"))
    await asyncio.to_thread(embedder.entered.acquire)
    waiting = asyncio.create_task(service.embed_query("waiting"))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0.01)
    embedder.gate.set()
    await closing
    assert (await running_query).shape == (64,)
    with pytest.raises(EmbeddingError, match="closed"):
        await waiting
    with pytest.raises(EmbeddingError, match="closed"):
        await service.embed_query("late")


async def test_loading_does_not_block_the_event_loop() -> None:
    """`start` returns while the model is still being loaded."""
    gate = threading.Event()

    def load() -> FakeEmbedder:
        assert gate.wait(10)
        return FakeEmbedder()

    service = EmbeddingService(load)
    service.start()
    waiting = asyncio.create_task(service.embed_query("a"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert not service.is_ready
    gate.set()
    await waiting
    assert service.identity.name == "fake"
    await service.close()


async def test_queries_come_between_the_parts_of_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    """While people ask, passages go in parts that are short enough to be waited for; once nobody
    has asked for a while, in whole slices."""
    now = 100.0
    monkeypatch.setattr("rag.embedding.service.monotonic", lambda: now)

    class SlowEmbedder(GatedEmbedder):
        """Takes 5 ms of a clock of its own for each text of a hundred characters."""

        def embed(self, texts: Sequence[str]) -> FloatMatrix:
            nonlocal now
            vectors = super().embed(texts)
            now += sum(map(len, texts)) * 0.00005
            return vectors

    embedder = SlowEmbedder()
    texts = [f"{number:02}".ljust(100, "x") for number in range(16)]
    async with running(embedder) as service:
        embedder.gate.set()
        await service.embed_passages(texts)
        assert [len(batch) for batch in embedder.seen] == [16]
        embedder.seen.clear()

        await service.embed_query("a question")
        embedder.gate.clear()
        while embedder.entered.acquire(blocking=False):
            pass
        work = asyncio.create_task(service.embed_passages(texts))
        await asyncio.to_thread(embedder.entered.acquire)
        question = asyncio.create_task(service.embed_query("another one"))
        await asyncio.sleep(0.01)
        embedder.gate.set()
        await question
        vectors = await work
        sizes = [len(batch) for batch in embedder.seen]
        assert embedder.seen[0] == ["a question"]
        assert embedder.seen[2] == ["another one"]
        assert sizes[1:2] + sizes[3:] == [6, 6, 4]
        np.testing.assert_allclose(vectors, FakeEmbedder().embed(texts), atol=1e-6)

        embedder.seen.clear()
        now += 3
        await service.embed_passages(texts)
        assert [len(batch) for batch in embedder.seen] == [16]


class ParallelEmbedder(GatedEmbedder):
    """Several threads may use it; `inside` counts those that are in it."""

    def __init__(self) -> None:
        super().__init__()
        self.query_gate = threading.Event()
        self.query_gate.set()
        self.queries_entered = threading.Semaphore(0)

    @property
    def parallel(self) -> bool:
        return True

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        self.queries_entered.release()
        assert self.query_gate.wait(10)
        self.seen.append(list(texts))
        return FakeEmbedder().embed(texts)


@asynccontextmanager
async def running_parallel(
    embedder: ParallelEmbedder, threads: int
) -> AsyncIterator[EmbeddingService]:
    service = EmbeddingService(lambda: embedder, cache_size=0, threads=threads)
    service.start()
    try:
        yield service
    finally:
        embedder.gate.set()
        await service.close()


async def test_a_query_does_not_wait_for_passages() -> None:
    """With a model for several threads, one is always there for queries."""
    embedder = ParallelEmbedder()
    async with running_parallel(embedder, threads=2) as service:
        texts = [f"passage {n}" for n in range(40)]
        passages = asyncio.create_task(service.embed_passages(texts))
        for _ in range(2):  # both threads are busy
            assert await asyncio.to_thread(embedder.entered.acquire, timeout=10)
        vector = await service.embed_query("query")
        assert embedder.seen == [["query"]]
        embedder.gate.set()
        np.testing.assert_array_equal(await passages, FakeEmbedder().embed(texts))
        np.testing.assert_array_equal(vector, FakeEmbedder().embed(["query"])[0])
        assert sorted(len(batch) for batch in embedder.seen) == [1, 8, 16, 16]


@pytest.mark.parametrize("background", [True, False])
async def test_passages_yield_to_others_unless_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    """A server's threads for passages become less urgent; those of a measurement do not."""
    calls: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda *call: calls.append(call), raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    service = EmbeddingService(ParallelEmbedder, threads=2, background=background)
    service.start()
    await service.ready()
    await service.close()
    assert len(calls) == (2 if background else 0)


async def test_passages_leave_a_core_to_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a query one thread fewer embeds passages; once nobody asks, all do again."""
    now = 100.0
    monkeypatch.setattr("rag.embedding.service.monotonic", lambda: now)
    embedder = ParallelEmbedder()
    async with running_parallel(embedder, threads=2) as service:
        await service.embed_query("query")
        passages = asyncio.create_task(service.embed_passages([f"passage {n}" for n in range(80)]))
        assert await asyncio.to_thread(embedder.entered.acquire, timeout=10)
        assert not await asyncio.to_thread(embedder.entered.acquire, timeout=0.05)
        now += 3
        more = asyncio.create_task(service.embed_passages(["more"]))  # makes the threads look
        assert await asyncio.to_thread(embedder.entered.acquire, timeout=10)
        embedder.gate.set()
        assert (await passages).shape == (80, 64)
        assert (await more).shape == (1, 64)


async def test_waiting_queries_are_shared_among_the_threads() -> None:
    """Each thread takes its part of what waits, but no less than eight."""
    embedder = ParallelEmbedder()
    embedder.query_gate.clear()
    async with running_parallel(embedder, threads=2) as service:
        first = []
        for number in range(3):  # all threads are busy then
            first.append(asyncio.create_task(service.embed_query(f"first {number}")))
            assert await asyncio.to_thread(embedder.queries_entered.acquire, timeout=10)
        others = [asyncio.create_task(service.embed_query(f"q{n}")) for n in range(20)]
        await asyncio.sleep(0.01)
        embedder.query_gate.set()
        await asyncio.gather(*first, *others)
        assert sorted(len(batch) for batch in embedder.seen) == [1, 1, 1, 2, 8, 10]


async def test_documents_share_batches() -> None:
    """Short texts of many documents fill one batch, each vector in its place."""
    embedder = GatedEmbedder()
    async with running(embedder) as service:
        first = asyncio.create_task(service.embed_passages(["first"]))
        await asyncio.to_thread(embedder.entered.acquire)
        documents = [[f"short {n}", f"a much longer passage {n}" * 9] for n in range(8)]
        others = [asyncio.create_task(service.embed_passages(texts)) for texts in documents]
        await asyncio.sleep(0.01)
        embedder.gate.set()
        await first
        for texts, vectors in zip(documents, await asyncio.gather(*others), strict=True):
            np.testing.assert_array_equal(vectors, FakeEmbedder().embed(texts))
        assert [len(batch) for batch in embedder.seen] == [1, 16]
        assert (await service.embed_passages([])).shape == (0, 64)


async def test_texts_are_made_in_threads_that_end_with_the_service() -> None:
    """Short documents one after another, long ones beside them; afterwards no thread is left and
    nothing is begun."""
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()
    gate = threading.Event()

    def make(embedder: Embedder) -> int:
        name = threading.current_thread().name
        under_way[name] += 1
        most[name] = max(most[name], under_way[name])
        count = embedder.count_tokens("one two three")
        under_way[name] -= 1
        return count

    async with running(FakeEmbedder()) as service:
        long = asyncio.create_task(service.before_embedding(lambda _: gate.wait(10), size=200_000))
        counts = await asyncio.gather(
            *(service.before_embedding(make, size=1_000) for _ in range(20))
        )
        assert counts == [FakeEmbedder().count_tokens("one two three")] * 20
        assert not long.done()
        gate.set()
        assert await long
    assert list(most.values()) == [1]
    assert not [one for one in threading.enumerate() if one.name.startswith("cutting")]
    with pytest.raises(EmbeddingError, match="closed"):
        await service.before_embedding(make, size=1)
