from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from rag.errors import RerankError
from rag.pipeline import Pipeline
from rag.rerank.fake import FakeReranker
from rag.rerank.service import RerankService
from tests.rag.samples import pipeline_over

pytestmark = pytest.mark.anyio


class Odd(FakeReranker):
    """Answers with what it is given, or fails."""

    def __init__(self, answer: list[float] | None) -> None:
        super().__init__()
        self.answer = answer

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        if self.answer is None:
            raise ValueError("too long")
        return self.answer


class Backwards(FakeReranker):
    """Prefers what came last."""

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        super().score(query, passages)
        return [float(place) for place in range(len(passages))]


async def test_the_model_is_loaded_once_in_its_own_thread() -> None:
    """Loading and scoring never hold up the event loop."""
    threads: list[str] = []

    def load() -> FakeReranker:
        threads.append(threading.current_thread().name)
        return FakeReranker()

    service = RerankService(load)
    await service.open()
    assert await service.scores("a b", ["b", "c", "a b"]) == [0.5, 0.0, 1.0]
    service.close()
    assert [name.rstrip("_0") for name in threads] == ["reranking"]


@pytest.mark.parametrize("answer", [None, [1.0], [1.0, float("nan")]])
async def test_a_failing_model_changes_nothing(
    answer: list[float] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and passages keep their order."""
    service = RerankService(lambda: Odd(answer))
    with caplog.at_level(logging.ERROR, "groundql.rerank"):
        assert await service.scores("q", ["a", "b"]) is None
    service.close()
    assert "keep their order" in caplog.text


async def test_a_model_that_cannot_be_loaded_is_said() -> None:
    """In a sentence of our own, whatever the library raised."""

    def fail() -> FakeReranker:
        raise OSError("no such file")

    service = RerankService(fail)
    with pytest.raises(RerankError, match="the reranking model cannot be loaded: no such file"):
        await service.open()
    service.close()


@pytest.mark.parametrize("limit", [1, 3])
async def test_hits_follow_the_model_and_keep_their_scores(limit: int) -> None:
    """It reads title and text of all close candidates; relevance and decision stay."""
    question = "Within how many days of delivery may I send goods back?"
    model = Backwards()
    service = RerankService(lambda: model)
    async with pipeline_over() as (plain, store):
        pipeline = Pipeline(
            embedding=plain.embedding,
            index=plain.index,
            passages=store,
            generator=plain.generator,
            reranking=service,
        )
        before = await plain.retrieve(question)
        after = await pipeline.retrieve(question, limit=limit)
    service.close()
    assert after.hits == before.hits[::-1][:limit]
    assert after.grounded is before.grounded is True
    assert after.nearest == after.hits[:3]
    ((query, passages),) = model.calls
    assert query == question
    assert len(passages) == 3
    assert passages[0].startswith("Returning goods")


async def test_a_failing_model_leaves_the_hits(caplog: pytest.LogCaptureFixture) -> None:
    """An answer in the order before is better than none."""
    service = RerankService(lambda: Odd(None))
    async with pipeline_over() as (plain, store):
        pipeline = Pipeline(
            embedding=plain.embedding,
            index=plain.index,
            passages=store,
            generator=plain.generator,
            reranking=service,
        )
        assert (await pipeline.retrieve("goods")).hits == (await plain.retrieve("goods")).hits
    service.close()
    assert "failed" in caplog.text
