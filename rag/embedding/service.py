"""Embedding off the event loop: one worker thread, queries first, batched across requests."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import numpy as np

from rag.embedding.base import Embedder, ModelIdentity
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

MAX_QUERY_BATCH: Final = 64
PASSAGE_SLICE: Final = 16
# A query waits for the batch that is being embedded. While queries keep coming, batches of passages
# are so small that this takes about so long; smaller ones would cost throughput and gain nothing
# once a single passage takes longer. Seconds.
BUSY_BATCH: Final = 0.03
# So long after the last query the passages have the model for themselves. Seconds.
_QUIET: Final = 2.0

Progress = Callable[[int, int], None]
Embed = Callable[[Sequence[str]], FloatMatrix]


@dataclass(slots=True)
class _Job:
    texts: list[str]
    future: asyncio.Future[FloatMatrix]


class EmbeddingService:
    """Owns the embedding model and the only thread that touches it.

    Everything asked while the model was busy goes into its next batch; queries go before passages,
    also between the parts of a slice of passages.
    Used from one event loop: `start()` binds it. A caller that is cancelled costs nothing if its
    texts had not been taken up. Errors of the model reach the caller that waits for them.
    """

    def __init__(self, embedder_factory: Callable[[], Embedder], *, cache_size: int = 256) -> None:
        """`embedder_factory` loads the model (slow; called in the worker). `cache_size` query
        vectors are kept, 0 for none."""
        self._factory = embedder_factory
        self._cache_size = cache_size
        self._cache: OrderedDict[str, FloatMatrix] = OrderedDict()
        self._embedder: Embedder | None = None
        self._condition = threading.Condition()
        self._queries: deque[_Job] = deque()
        self._passages: deque[_Job] = deque()
        self._closing = False
        self._last_query = -_QUIET
        self._per_character = 0.0  # seconds that passages have taken of late
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to load the model in the worker thread and return at once."""
        if self._thread is not None:
            raise RuntimeError("the embedding service was started already")
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="embedding", daemon=True)
        self._thread.start()

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            EmbeddingError: it cannot be loaded, or the service is closed or was never started.
        """
        if self._ready is None:
            raise EmbeddingError("the embedding service was not started")
        await asyncio.shield(self._ready)

    @property
    def is_ready(self) -> bool:
        return self._embedder is not None

    @property
    def embedder(self) -> Embedder:
        """The loaded model, for its identity and its token counts only.

        Raises:
            EmbeddingError: it is not loaded yet.
        """
        if self._embedder is None:
            raise EmbeddingError("the embedding model is not loaded yet")
        return self._embedder

    @property
    def identity(self) -> ModelIdentity:
        return self.embedder.identity

    async def embed_query(self, text: str) -> FloatMatrix:
        """The unit vector of one query, shape (dimension,)."""
        vector: FloatMatrix = (await self.embed_queries([text]))[0]
        return vector

    async def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        """The unit vectors of several queries, shape (len(texts), dimension), in one batch."""
        await self.ready()
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        found = {text: self._cache[text] for text in texts if text in self._cache}
        for text in found:
            self._cache.move_to_end(text)
        if missing:
            vectors = await self._submit(self._queries, missing)
            found.update(zip(missing, vectors, strict=True))
            self._remember({text: found[text] for text in missing})
        if not texts:
            return np.zeros((0, self.identity.dimension), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    async def embed_passages(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> FloatMatrix:
        """The unit vectors of passages, shape (len(texts), dimension), in small slices.

        `progress(done, total)` is called on the event loop after each slice.
        """
        await self.ready()
        result = np.zeros((len(texts), self.identity.dimension), dtype=np.float32)
        # Texts of like length together: a batch is padded to its longest text.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), PASSAGE_SLICE):
            part = order[start : start + PASSAGE_SLICE]
            result[part] = await self._submit(self._passages, [texts[index] for index in part])
            if progress is not None:
                progress(start + len(part), len(texts))
        return result

    async def close(self) -> None:
        """End the worker after its current batch; callers that still wait get an error."""
        with self._condition:
            self._closing = True
            waiting = [*self._queries, *self._passages]
            self._queries.clear()
            self._passages.clear()
            self._condition.notify()
        for job in waiting:
            self._fail(job.future, EmbeddingError("the embedding service was closed"))
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._ready is not None and not self._ready.done():
            self._fail(self._ready, EmbeddingError("the embedding service was closed"))
        await asyncio.sleep(0)  # let results that the worker posted reach their callers

    def _remember(self, vectors: dict[str, FloatMatrix]) -> None:
        for text, vector in vectors.items():
            self._cache[text] = vector
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    async def _submit(self, queue: deque[_Job], texts: list[str]) -> FloatMatrix:
        assert self._loop is not None
        job = _Job(texts, self._loop.create_future())
        with self._condition:
            if self._closing:
                raise EmbeddingError("the embedding service was closed")
            queue.append(job)
            self._condition.notify()
        return await job.future

    # ---- in the worker thread ---------------------------------------------------------------

    def _work(self) -> None:
        assert self._ready is not None
        try:
            embedder = self._factory()
        except BaseException as error:
            if not isinstance(error, EmbeddingError):
                wrapped = EmbeddingError(f"the embedding model cannot be loaded: {error}")
                wrapped.__cause__ = error
                error = wrapped
            self._post(self._fail, self._ready, error)
            return
        self._embedder = embedder
        self._post(self._succeed, self._ready, None)
        while True:
            queries, passages = self._next_jobs()
            if queries:
                self._run(queries, embedder.embed_queries)
            elif passages:
                self._run(passages, self._embed_in_parts)
            else:
                return

    def _next_jobs(self) -> tuple[list[_Job], list[_Job]]:
        """The next queries, or else passages, as soon as there are any; none of both when the
        service closes."""
        with self._condition:
            while True:
                if self._closing:
                    return [], []
                if jobs := self._take(self._queries, MAX_QUERY_BATCH):
                    self._last_query = monotonic()
                    return jobs, []
                if jobs := self._take(self._passages, PASSAGE_SLICE):
                    return [], jobs
                self._condition.wait()

    def _embed_in_parts(self, texts: Sequence[str]) -> FloatMatrix:
        """Like the model's `embed`, with the queries that come meanwhile first."""
        assert self._embedder is not None
        parts = []
        place = 0
        while place < len(texts):
            with self._condition:
                queries = self._take(self._queries, MAX_QUERY_BATCH)
                if queries:
                    self._last_query = monotonic()
            if queries:
                self._run(queries, self._embedder.embed_queries)
            part = texts[place : place + self._part_size(texts[place:])]
            characters = sum(map(len, part)) + 1
            begun = monotonic()
            parts.append(self._embedder.embed(part))
            taken = (monotonic() - begun) / characters
            known = self._per_character or taken
            self._per_character = known + 0.3 * (taken - known)
            place += len(part)
        return np.concatenate(parts)

    def _part_size(self, texts: Sequence[str]) -> int:
        """How many of these to embed at once: all, unless somebody is asking."""
        if monotonic() - self._last_query > _QUIET:
            return len(texts)
        size, characters = 0, 0
        for text in texts:
            characters += len(text)
            if size and characters * self._per_character > BUSY_BATCH:
                break
            size += 1
        return size

    @staticmethod
    def _take(queue: deque[_Job], limit: int) -> list[_Job]:
        jobs: list[_Job] = []
        count = 0
        while queue and (not jobs or count + len(queue[0].texts) <= limit):
            job = queue.popleft()
            if not job.future.cancelled():
                jobs.append(job)
                count += len(job.texts)
        return jobs

    def _run(self, jobs: list[_Job], embed: Embed) -> None:
        texts = [text for job in jobs for text in job.texts]
        try:
            vectors = embed(texts)
        except Exception as error:
            if len(jobs) > 1:  # one bad text must not fail the requests that shared its batch
                for job in jobs:
                    self._run([job], embed)
                return
            failure = EmbeddingError(f"the text cannot be embedded: {error}")
            failure.__cause__ = error
            self._post(self._fail, jobs[0].future, failure)
            return
        start = 0
        for job in jobs:
            end = start + len(job.texts)
            self._post(self._succeed, job.future, vectors[start:end])
            start = end

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop was closed without closing the service: nobody waits
            return

    # ---- on the event loop ------------------------------------------------------------------

    @staticmethod
    def _succeed(future: asyncio.Future[Any], result: object) -> None:
        if not future.done():
            future.set_result(result)

    @staticmethod
    def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)
            future.exception()  # nobody may be waiting: that is no reason for a warning
