from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from rag.errors import EmbeddingError, ProviderTimeout
from rag.generation.base import GenerationEvent, TextPiece, UsageReport
from rag.generation.scripted import ScriptedGenerator
from rag.pipeline import Pipeline
from rag.types import Filter, Retrieval, Turn
from tests.rag.samples import pipeline_over

pytestmark = pytest.mark.anyio

RETURNS = "Within how many days of delivery may I send goods back?"


def titles(retrieval: Retrieval) -> list[str]:
    return [hit.passage.title for hit in retrieval.hits]


async def events_of(pipeline: Pipeline, retrieval: Retrieval) -> list[GenerationEvent]:
    prompt = pipeline.build_prompt(retrieval)
    return [event async for event in pipeline.answer(prompt)]


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPiece))


async def test_a_question_is_answered_with_a_verified_quote() -> None:
    """From question to citation: the quote is the document's text at its offsets."""
    async with pipeline_over() as (pipeline, _):
        found = await pipeline.retrieve(RETURNS)
        assert found.grounded
        assert titles(found)[0] == "Returning goods"
        assert found.question == found.query == RETURNS
        scores = [hit.score for hit in found.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score < 1 for score in scores)
        text = text_of(await events_of(pipeline, found))
        assert text.startswith("You may send goods back within 30 days of delivery. [1]")
        (cited, *_) = pipeline.cite(text, found)
        assert cited.quote == "You may send goods back within 30 days of delivery."
        passage = found.hits[0].passage
        assert passage.text[cited.start - passage.start : cited.end - passage.start] == cited.quote


async def test_nothing_relevant_is_not_grounded_and_cites_nothing() -> None:
    """An unrelated question keeps its nearest topics but gives no citation."""
    async with pipeline_over() as (pipeline, _):
        found = await pipeline.retrieve("Who painted xylophones?")
        assert not found.grounded
        assert found.nearest
        text = text_of(await events_of(pipeline, found))
        assert text.startswith("The documents do not cover this. The nearest topics")
        assert pipeline.cite("Made up [1].", found) == []


async def test_an_empty_knowledge_base_gives_no_hits() -> None:
    """Without documents there is an answer all the same."""
    async with pipeline_over({}) as (pipeline, _):
        found = await pipeline.retrieve(RETURNS)
        assert (found.hits, found.nearest, found.grounded) == ((), (), False)
        assert text_of(await events_of(pipeline, found)) == "The documents do not cover this."


async def test_filters_and_limit() -> None:
    """Only passages with the asked properties, at most `limit`; values are alternatives."""
    async with pipeline_over() as (pipeline, _):
        for filter, expected in (
            (Filter(categories=("shipping",)), {"Shipping"}),
            (Filter(types=("policy",), languages=("de",)), {"Urlaub"}),
            (Filter(types=("policy", "faq"), languages=("en",)), {"Returning goods", "Shipping"}),
            (Filter(document_ids=("urlaub.md", "gone.md")), {"Urlaub"}),
            (Filter(document_ids=()), set()),
            (Filter(categories=("none",)), set()),
        ):
            found = await pipeline.retrieve(RETURNS, filter=filter)
            assert set(titles(found)) == expected
        assert len((await pipeline.retrieve(RETURNS, limit=1)).hits) == 1
        assert len((await pipeline.retrieve(RETURNS, limit=0)).hits) == 1


async def test_a_vanished_passage_is_skipped() -> None:
    """A passage deleted between search and load is no hit."""
    async with pipeline_over() as (pipeline, store):
        best = (await pipeline.retrieve(RETURNS)).hits[0].passage.chunk_id
        del store.by_id[best]
        found = await pipeline.retrieve(RETURNS)
        assert best not in [hit.passage.chunk_id for hit in found.hits]
        store.by_id.clear()
        assert (await pipeline.retrieve(RETURNS)).hits == ()


async def test_a_follow_up_is_completed_from_the_turn_before() -> None:
    """A question that leans on the conversation finds what the conversation is about."""
    history = [
        Turn("user", "What do express parcels to Austria cost?"),
        Turn("assistant", "Nine euros [1]."),
    ]
    async with pipeline_over() as (pipeline, _):
        found = await pipeline.retrieve("And how long does it take?", history=history)
        assert titles(found)[0] == "Shipping"
        assert found.question == "And how long does it take?"
        assert found.query.startswith("What do express parcels")
        changed = await pipeline.retrieve(
            "Within how many days of delivery may customers send goods back for a refund?",
            history=history,
        )
        assert titles(changed)[0] == "Returning goods"
        assert "Austria" not in changed.query


async def test_embedding_can_begin_before_retrieval() -> None:
    """A started query gives the same result; a cancelled one leaves nothing behind."""
    async with pipeline_over() as (pipeline, _):
        started = pipeline.start_query(RETURNS)
        assert await pipeline.retrieve(RETURNS, started=started) == await pipeline.retrieve(RETURNS)
        abandoned = pipeline.start_query(RETURNS)
        abandoned.cancel()
        await asyncio.sleep(0.01)
        assert abandoned.vectors.cancelled()


async def test_a_cancelled_retrieval_gives_its_embedding_up() -> None:
    """The caller that leaves takes its query along."""
    async with pipeline_over() as (pipeline, _):
        started = pipeline.start_query(RETURNS)
        retrieving = asyncio.create_task(pipeline.retrieve(RETURNS, started=started))
        await asyncio.sleep(0)
        retrieving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await retrieving
        assert started.vectors.cancelled()


async def test_without_a_model_retrieval_says_so() -> None:
    """The error of the embedding service reaches the caller, and only a caller."""
    async with pipeline_over() as (pipeline, _):
        await pipeline.embedding.close()
        pipeline.start_query(RETURNS)
        with pytest.raises(EmbeddingError, match="closed"):
            await pipeline.retrieve(RETURNS)


async def test_a_large_index_is_searched_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search does not hold up the event loop; a small one is over before a thread starts."""
    async with pipeline_over() as (pipeline, _):
        threads: list[object] = []
        to_thread = asyncio.to_thread

        async def record(*arguments: object, **named: object) -> object:
            threads.append(arguments[0])
            return await to_thread(*arguments, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(asyncio, "to_thread", record)
        found = await pipeline.retrieve(RETURNS)
        assert threads == []
        monkeypatch.setattr("rag.pipeline._INLINE_SEARCH_LIMIT", 1)
        assert await pipeline.retrieve(RETURNS) == found
        assert threads == [pipeline._prepare, pipeline._search]


async def test_wrong_markers_are_removed_from_the_stream() -> None:
    """A marker split over pieces is mended; held text comes before the usage."""
    usage = UsageReport(10, 5)
    generator = ScriptedGenerator(["Yes [", "1", "] and [9", "]", ". End [", usage])
    async with pipeline_over(generator=generator) as (pipeline, _):
        found = await pipeline.retrieve(RETURNS)
        events = await events_of(pipeline, found)
        assert text_of(events) == "Yes [1] and. End ["
        assert events[-1] == usage
        assert all(event.text for event in events if isinstance(event, TextPiece))
        assert generator.prompts[0].retrieval is found
        assert generator.finished == 1


async def test_closing_the_answer_closes_the_generator() -> None:
    """A reply that is stopped stops the provider's stream at once."""
    generator = ScriptedGenerator(["one ", "two ", asyncio.Event()])
    async with pipeline_over(generator=generator) as (pipeline, _):
        found = await pipeline.retrieve(RETURNS)
        answer = pipeline.answer(pipeline.build_prompt(found))
        assert await anext(answer) == TextPiece("one")
        await answer.aclose()
        assert (generator.aborted, generator.finished) == (1, 0)


async def test_a_failure_keeps_what_came_before() -> None:
    """The error passes through after the pieces."""
    generator = ScriptedGenerator(["one ", 0.0, ProviderTimeout("slow")])
    async with pipeline_over(generator=generator) as (pipeline, _):
        found = await pipeline.retrieve(RETURNS)
        answer = pipeline.answer(pipeline.build_prompt(found))
        assert await anext(answer) == TextPiece("one")
        with pytest.raises(ProviderTimeout):
            await anext(answer)
        assert generator.finished == 0
        await generator.close()
        assert generator.closed


def test_importing_the_pipeline_is_light() -> None:
    """Neither torch nor FAISS nor SciPy is loaded before it is needed."""
    program = (
        "import sys, rag.pipeline, rag.ingest, rag.loading, rag.generation.offline;"
        "print([name for name in ('torch', 'faiss', 'scipy', 'sentence_transformers',"
        " 'transformers', 'strawberry', 'tortoise') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert shown.stdout.strip() == b"[]"
