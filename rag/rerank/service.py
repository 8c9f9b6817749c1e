"""Reranking off the event loop, in one thread that owns the model."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from rag.errors import RerankError
from rag.rerank.base import Reranker

log = logging.getLogger("groundql.rerank")


class RerankService:
    """Owns the model and the only thread that touches it."""

    def __init__(self, load: Callable[[], Reranker]) -> None:
        """`load` makes the model (slow; called in the thread)."""
        self._load = load
        self._model: Reranker | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reranking")

    async def open(self) -> None:
        """Load the model, if it is not yet.

        Raises:
            RerankError: it cannot be loaded.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._ready)

    async def scores(self, query: str, passages: Sequence[str]) -> list[float] | None:
        """A number for each passage, higher for a better one; None if the model failed on them,
        which is logged: an answer in the order before is better than none.

        Raises:
            RerankError: the model cannot be loaded.
        """
        await self.open()
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._score, query, list(passages))
        except Exception:
            log.exception("The reranking model failed; passages keep their order")
            return None
        if len(found) != len(passages) or not all(math.isfinite(score) for score in found):
            log.error("The reranking model gave no number for each passage; they keep their order")
            return None
        return found

    def close(self) -> None:
        """Let the thread end once it has finished."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ready(self) -> Reranker:
        if self._model is None:
            try:
                self._model = self._load()
            except RerankError:
                raise
            except Exception as error:
                raise RerankError(f"the reranking model cannot be loaded: {error}") from error
        return self._model

    def _score(self, query: str, passages: list[str]) -> list[float]:
        return self._ready().score(query, passages)
