"""Questions per second through the embedding service, for torch and for this machine's backend.

Both are measured in one process, one after another, so that their ratios count whatever else the
machine does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.figures import Spread, console, table
from benchmarks.retrieval import load_questions
from rag.embedding.backends import Backend, load_embedder
from rag.embedding.base import Embedder
from rag.embedding.processor import cores, yield_to_others
from rag.embedding.service import MAX_QUERY_BATCH, EmbeddingService
from rag.types import FloatMatrix

ASKERS: Final = (1, 8, 64)

_SLICE: Final = 16  # texts that a thread takes at once
_TIMES: Final = 3


@dataclass(frozen=True, slots=True)
class BackendSpeed:
    """Questions per second by the number of askers, and what batches give without the service."""

    backend: str
    single: Spread
    rates: dict[int, float]
    batches: float

    def to_json(self) -> dict[str, Any]:
        return {
            "question_ms": self.single.to_json(),
            "questions_per_second": {str(n): round(rate, 1) for n, rate in self.rates.items()},
            "batch_questions_per_second": round(self.batches, 1),
            "share": {str(n): round(rate / self.batches, 3) for n, rate in self.rates.items()},
        }


@dataclass(frozen=True, slots=True)
class Result:
    """`cosine` are the least and the mean cosine between both backends' vectors of a text."""

    speeds: list[BackendSpeed]
    cosine: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return {
            **{speed.backend: speed.to_json() for speed in self.speeds},
            "cosine": {"least": round(self.cosine[0], 5), "mean": round(self.cosine[1], 5)},
        }

    def report(self) -> str:
        rows = []
        for speed in self.speeds:
            single = f"{speed.single.median:.1f} / {speed.single.p99:.1f}"
            rates = [f"{rate:.0f} ({rate / speed.batches:.0%})" for rate in speed.rates.values()]
            rows.append([speed.backend, single, *rates, f"{speed.batches:.0f}"])
        head = [
            "backend",
            "one, p50 / p99 ms",
            *(f"{n} asking, q/s" for n in ASKERS),
            "batches, q/s",
        ]
        least, mean = self.cosine
        return (
            f"{table(head, rows)}\n\n"
            f"cosine of both backends' vectors of a question: least {least:.4f}, mean {mean:.4f}"
        )


def run(*, seconds: float) -> Result:
    questions = list(dict.fromkeys(question.question for question in load_questions()))
    embedders: list[Embedder] = []
    for backend in (Backend.TORCH, Backend.AUTO):
        embedder = load_embedder(backend=backend)
        if embedder.backend not in [other.backend for other in embedders]:
            embedders.append(embedder)
    speeds = []
    for embedder in embedders:
        console.print(f"Asking: {embedder.backend}")
        speeds.append(asyncio.run(_measure(embedder, questions, seconds)))
    first, last = (embedder.embed_queries(questions) for embedder in (embedders[0], embedders[-1]))
    cosines = np.einsum("ij,ij->i", first, last)
    return Result(speeds, (float(cosines.min()), float(cosines.mean())))


async def _measure(embedder: Embedder, questions: Sequence[str], seconds: float) -> BackendSpeed:
    service = EmbeddingService(lambda: embedder, cache_size=0)
    service.start()
    try:
        await service.ready()
        await service.embed_queries(questions[:8])
        single = []
        for question in questions:
            begun = time.perf_counter()
            await service.embed_query(question)
            single.append((time.perf_counter() - begun) * 1000)
        rates = {count: await _rate(service, questions, count, seconds) for count in ASKERS}
    finally:
        await service.close()
    batches = await asyncio.to_thread(
        batch_throughput, embedder.embed_queries, questions, parallel=embedder.parallel
    )
    return BackendSpeed(embedder.backend, Spread.of(single), rates, batches)


async def _rate(
    service: EmbeddingService, questions: Sequence[str], askers: int, seconds: float
) -> float:
    """Questions per second of so many who each ask as soon as they are answered."""
    answered = 0
    end = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            await service.embed_query(questions[number % len(questions)])
            number += askers
            answered += 1

    begun = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(askers)))
    return answered / (time.perf_counter() - begun)


def batch_throughput(
    embed: Callable[[Sequence[str]], FloatMatrix],
    texts: Sequence[str],
    *,
    parallel: bool,
    times: int = _TIMES,
    in_background: bool = False,
) -> float:
    """Texts per second of the model with nothing else to do: sorted by length, by one thread for
    each core if it allows several. The best of so many times. `in_background` gives the threads
    the low priority that passages have, which counts where others use the machine."""
    ordered = sorted(texts, key=len)
    size = _SLICE if parallel else MAX_QUERY_BATCH
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    best = float("inf")
    begin = yield_to_others if in_background and parallel else None
    with ThreadPoolExecutor(cores() if parallel else 1, initializer=begin) as threads:
        for _ in range(times):
            begun = time.perf_counter()
            list(threads.map(embed, batches))
            best = min(best, time.perf_counter() - begun)
    return len(texts) / best
