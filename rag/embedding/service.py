"""Embedding off the event loop: queries first, batched across requests."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, Final, TypeVar

import numpy as np

from rag.embedding.base import Embedder, ModelIdentity
from rag.embedding.processor import cores, yield_to_others
from rag.embedding.waiting import Part, Progress, Request, WaitingPassages
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

__all__ = ["EmbeddingService", "Progress"]

MAX_QUERY_BATCH: Final = 64
# Queries that wait are shared among the threads, but not in smaller shares than this.
MIN_QUERY_BATCH: Final = 8
PASSAGE_SLICE: Final = 16
# Where one thread does it all, a query waits for the batch that is being embedded. While queries
# keep coming, batches of passages are so small that this takes about so long; smaller ones would
# cost throughput and gain nothing once a single passage takes longer. Seconds.
BUSY_BATCH: Final = 0.03
# So long after the last query the passages have all cores for themselves. Seconds.
_QUIET: Final = 2.0
# Characters; cutting so many takes a quarter of a second.
_LONG_DOCUMENT: Final = 100_000
# More threads than this share the interpreter's lock for too much of their time.
_MAX_THREADS: Final = 8

T = TypeVar("T")
Embed = Callable[[Sequence[str]], FloatMatrix]


class EmbeddingService:
    """Owns the embedding model and the only threads that touch it.

    Everything asked while the model was busy goes into its next batch; queries go before passages.
    A model that several threads may use at once gets one thread for queries alone, and one for each
    core that takes queries and passages; while people ask, passages leave a core free. Any other
    model gets one thread, which looks for queries between the parts of a slice of passages.
    Used from one event loop: `start()` binds it. A caller that is cancelled costs nothing if its
    texts had not been taken up. Errors of the model reach the caller that waits for them.
    """

    def __init__(
        self,
        embedder_factory: Callable[[], Embedder],
        *,
        cache_size: int = 256,
        threads: int | None = None,
        background: bool = True,
    ) -> None:
        """`embedder_factory` loads the model (slow; called in a thread). `cache_size` query vectors
        are kept, 0 for none. `threads` embed passages, if the model allows several: one for each
        core. With `background` they have a lower priority than the rest of the machine."""
        self._factory = embedder_factory
        self._cache_size = cache_size
        self._background = background
        self._cache: OrderedDict[str, FloatMatrix] = OrderedDict()
        self._embedder: Embedder | None = None
        self._condition = threading.Condition()
        self._queries: deque[Request] = deque()
        self._passages = WaitingPassages()
        self._wanted_threads = threads or min(cores(), _MAX_THREADS)
        self._shares = 1  # threads that may embed at once
        self._at_passages = 0  # threads that embed passages now
        self._closing = False
        self._last_query = -_QUIET
        self._per_character = 0.0  # seconds that passages have taken of late
        self._threads: list[threading.Thread] = []
        self._cutting = ThreadPoolExecutor(1, "cutting")
        self._cutting_long = ThreadPoolExecutor(1, "cutting-long")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to load the model in a thread and return at once."""
        if self._threads:
            raise RuntimeError("the embedding service was started already")
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._begin_thread("embedding", self._work)

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
            request = self._request(missing)
            with self._condition:
                self._refuse_if_closing()
                self._queries.append(request)
                self._condition.notify()
            found.update(zip(missing, await request.future, strict=True))
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
        request = self._request(list(texts), progress)
        if not texts:
            return request.vectors
        with self._condition:
            self._refuse_if_closing()
            self._passages.add(request)
            # All: the thread that only takes queries may be the first to hear it.
            self._condition.notify_all()
        return await request.future

    async def before_embedding(self, work: Callable[[Embedder], T], *, size: int) -> T:
        """Run work that makes texts for the model out of a document of `size` characters, with the
        model for its token counts. One document goes after another: several threads would be no
        faster, since Python runs one at a time, and the event loop would have to wait for each of
        them before its turn. Only long documents have a thread of their own, since others would
        wait for them for many seconds.

        Raises:
            EmbeddingError: the model is not available.
        """
        await self.ready()
        self._refuse_if_closing()
        thread = self._cutting if size <= _LONG_DOCUMENT else self._cutting_long
        return await asyncio.get_running_loop().run_in_executor(thread, work, self.embedder)

    async def close(self) -> None:
        """End the threads after their current work; callers that still wait get an error."""
        with self._condition:
            self._closing = True
            waiting = [*self._queries, *self._passages.clear()]
            self._queries.clear()
            self._condition.notify_all()
        for request in waiting:
            self._fail(request.future, EmbeddingError("the embedding service was closed"))
        while self._threads:  # the first one may be about to begin the others
            await asyncio.to_thread(self._threads.pop(0).join)
        for thread in (self._cutting, self._cutting_long):
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)
        if self._ready is not None and not self._ready.done():
            self._fail(self._ready, EmbeddingError("the embedding service was closed"))
        await asyncio.sleep(0)  # let results that the threads posted reach their callers

    def _request(self, texts: list[str], progress: Progress | None = None) -> Request:
        assert self._loop is not None
        vectors = np.zeros((len(texts), self.identity.dimension), dtype=np.float32)
        return Request(texts, self._loop.create_future(), vectors, progress)

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise EmbeddingError("the embedding service was closed")

    def _remember(self, vectors: dict[str, FloatMatrix]) -> None:
        for text, vector in vectors.items():
            self._cache[text] = vector
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    # ---- in the threads ---------------------------------------------------------------------

    def _begin_thread(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

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
        if embedder.parallel:
            self._shares = self._wanted_threads
            for number in range(self._shares):
                self._begin_thread(f"embedding-{number + 1}", self._serve_all)
        self._post(self._succeed, self._ready, None)
        if embedder.parallel:
            self._serve(passages=False)
        else:
            self._serve(passages=True)

    def _serve_all(self) -> None:
        if self._background:
            yield_to_others()
        self._serve(passages=True)

    def _serve(self, *, passages: bool) -> None:
        embedder = self.embedder
        embed_passages = embedder.embed if embedder.parallel else self._embed_in_parts
        while True:
            queries, parts = self._next(passages=passages)
            if queries:
                self._run(queries, embedder.embed_queries)
            elif parts:
                self._run(parts, embed_passages)
                with self._condition:
                    self._at_passages -= 1
                    if self._passages:
                        self._condition.notify_all()
            else:
                return

    def _next(self, *, passages: bool) -> tuple[list[Part], list[Part]]:
        """The next queries, or else passages, as soon as there are any; none of both when the
        service closes."""
        with self._condition:
            while True:
                if self._closing:
                    return [], []
                if queries := self._take_queries():
                    return queries, []
                if passages and self._at_passages < self._threads_for_passages():
                    if parts := self._passages.take(PASSAGE_SLICE):
                        self._at_passages += 1
                        return [], parts
                    self._condition.wait()
                else:  # a core is kept free for queries, until nobody has asked for a while
                    self._condition.wait(_QUIET if passages and self._passages else None)

    def _threads_for_passages(self) -> int:
        return self._shares if self._is_quiet() else max(1, self._shares - 1)

    def _is_quiet(self) -> bool:
        return monotonic() - self._last_query > _QUIET

    def _take_queries(self) -> list[Part]:
        """This thread's share of the queries that wait. The caller holds the lock."""
        if not self._queries:
            return []
        self._last_query = monotonic()
        waiting = sum(len(request.texts) for request in self._queries)
        share = -(-waiting // self._shares)
        limit = min(MAX_QUERY_BATCH, max(MIN_QUERY_BATCH, share))
        parts: list[Part] = []
        count = 0
        while self._queries and (not parts or count + len(self._queries[0].texts) <= limit):
            request = self._queries.popleft()
            if not request.future.done():
                parts.append(Part(request, list(range(len(request.texts)))))
                count += len(request.texts)
        return parts

    def _embed_in_parts(self, texts: Sequence[str]) -> FloatMatrix:
        """Like the model's `embed`, with the queries that come meanwhile first."""
        embedder = self.embedder
        parts = []
        place = 0
        while place < len(texts):
            with self._condition:
                queries = self._take_queries()
            if queries:
                self._run(queries, embedder.embed_queries)
            part = texts[place : place + self._part_size(texts[place:])]
            characters = sum(map(len, part)) + 1
            begun = monotonic()
            parts.append(embedder.embed(part))
            taken = (monotonic() - begun) / characters
            known = self._per_character or taken
            self._per_character = known + 0.3 * (taken - known)
            place += len(part)
        return np.concatenate(parts)

    def _part_size(self, texts: Sequence[str]) -> int:
        """How many of these to embed at once: all, unless somebody is asking."""
        if self._is_quiet():
            return len(texts)
        size, characters = 0, 0
        for text in texts:
            characters += len(text)
            if size and characters * self._per_character > BUSY_BATCH:
                break
            size += 1
        return size

    def _run(self, parts: list[Part], embed: Embed) -> None:
        texts = [text for part in parts for text in part.texts]
        try:
            vectors = embed(texts)
        except Exception as error:
            if len(parts) > 1:  # one bad text must not fail the requests that shared its batch
                for part in parts:
                    self._run([part], embed)
                return
            failure = EmbeddingError(f"the text cannot be embedded: {error}")
            failure.__cause__ = error
            self._post(self._fail, parts[0].request.future, failure)
            return
        # In one call: each wakes the event loop, and a batch may have texts of many documents.
        self._post(self._deliver_all, parts, vectors)

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop was closed without closing the service: nobody waits
            return

    # ---- on the event loop ------------------------------------------------------------------

    def _deliver_all(self, parts: Sequence[Part], vectors: FloatMatrix) -> None:
        start = 0
        for part in parts:
            end = start + len(part.rows)
            self._deliver(part, vectors[start:end])
            start = end

    def _deliver(self, part: Part, vectors: FloatMatrix) -> None:
        request = part.request
        if request.future.done():
            return
        request.vectors[part.rows] = vectors
        request.done += len(part.rows)
        if request.progress is not None:
            request.progress(request.done, len(request.texts))
        if request.done == len(request.texts):
            request.future.set_result(request.vectors)

    @staticmethod
    def _succeed(future: asyncio.Future[Any], result: object) -> None:
        if not future.done():
            future.set_result(result)

    @staticmethod
    def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)
            future.exception()  # nobody may be waiting: that is no reason for a warning
