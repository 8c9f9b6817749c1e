"""Embedding off the event loop: one worker thread, queries first, batched across requests."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rag.embedding.base import Embedder, ModelIdentity
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

MAX_QUERY_BATCH: Final = 64
# A query waits for at most one slice of passages.
PASSAGE_SLICE: Final = 16

Progress = Callable[[int, int], None]
Embed = Callable[[Sequence[str]], FloatMatrix]


@dataclass(slots=True)
class _Job:
    texts: list[str]
    future: asyncio.Future[FloatMatrix]


class EmbeddingService:
    """Owns the embedding model and the only thread that touches it.

    Everything asked while the model was busy goes into its next batch; queries go before passages.
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
            jobs, embed = self._next_jobs(embedder)
            if not jobs:
                return
            self._run(embed, jobs)

    def _next_jobs(self, embedder: Embedder) -> tuple[list[_Job], Embed]:
        """The next batch, as soon as there is one, and what embeds it; empty when the service
        closes."""
        with self._condition:
            while True:
                if self._closing:
                    return [], embedder.embed
                if jobs := self._take(self._queries, MAX_QUERY_BATCH):
                    return jobs, embedder.embed_queries
                if jobs := self._take(self._passages, PASSAGE_SLICE):
                    return jobs, embedder.embed
                self._condition.wait()

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

    def _run(self, embed: Embed, jobs: list[_Job]) -> None:
        texts = [text for job in jobs for text in job.texts]
        try:
            vectors = embed(texts)
        except Exception as error:
            if len(jobs) > 1:  # one bad text must not fail the requests that shared its batch
                for job in jobs:
                    self._run(embed, [job])
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
