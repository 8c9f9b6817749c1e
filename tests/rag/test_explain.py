from __future__ import annotations

import pytest

from rag.explain import CandidateOutcome, ExplainedCandidate, Trace, excluded_by
from rag.pipeline import Pipeline
from rag.rerank.fake import FakeReranker
from rag.rerank.service import RerankService
from rag.types import Filter, Turn
from tests.rag.samples import DOCUMENTS, passage, pipeline_over

pytestmark = pytest.mark.anyio

RETURNS = "Within how many days of delivery may I send goods back?"


def by_title(candidates: tuple[ExplainedCandidate, ...]) -> dict[str, ExplainedCandidate]:
    return {one.passage.title: one for one in candidates if one.passage is not None}


async def test_an_explanation_is_of_what_retrieve_does() -> None:
    """Same hits, same scores, same decision, and the prompt that a model would get."""
    async with pipeline_over() as (pipeline, _):
        found = await pipeline.retrieve(RETURNS)
        explained = await pipeline.explain(RETURNS)
        hits = [one for one in explained.candidates if one.number is not None]
        assert [one.number for one in hits] == [1, 2, 3]
        assert [one.chunk_id for one in hits] == [hit.passage.chunk_id for hit in found.hits]
        assert [one.relevance.score for one in hits if one.relevance] == [
            hit.score for hit in found.hits
        ]
        assert [one.dense.score for one in hits] == [hit.cosine for hit in found.hits]
        assert explained.question == explained.searched == RETURNS
        assert explained.grounded is found.grounded is True
        assert explained.relevance == found.hits[0].score > explained.threshold
        assert explained.prompt == pipeline.build_prompt(found)
        assert (explained.passages, explained.allowed) == (3, 3)
        assert [name for name, _ in explained.milliseconds] == [
            "words",
            "embedding",
            "search",
            "prompt",
        ]
        assert all(spent >= 0 for _, spent in explained.milliseconds)


async def test_ranks_are_those_of_each_retriever() -> None:
    """A passage without a common word has no lexical place; without a model there is no reranked
    one."""
    async with pipeline_over() as (pipeline, _):
        explained = by_title((await pipeline.explain(RETURNS)).candidates)
    returns, leave = explained["Returning goods"], explained["Urlaub"]
    assert (returns.dense.rank, returns.fused.rank) == (1, 1)
    assert returns.lexical is not None
    assert returns.lexical.rank == 1
    assert returns.relevance is not None
    assert returns.relevance.rank == 1
    assert leave.lexical is None
    assert leave.reranked is None
    assert {one.outcome for one in explained.values()} == {CandidateOutcome.HIT}


async def test_a_follow_up_shows_the_text_that_was_searched() -> None:
    """With the turn that it leans on, and that turn in the prompt."""
    history = (Turn("user", "Do you send express parcels to Austria?"), Turn("assistant", "Yes."))
    async with pipeline_over() as (pipeline, _):
        explained = await pipeline.explain("How long does it take?", history=history)
    assert explained.searched == ("Do you send express parcels to Austria?\nHow long does it take?")
    assert [message.role for message in explained.prompt.messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


async def test_what_a_filter_removed_is_named_with_its_reasons() -> None:
    """And ranked as it would have been without the filter."""
    async with pipeline_over() as (pipeline, _):
        explained = await pipeline.explain(
            RETURNS, filter=Filter(types=("faq",), languages=("en", "es"))
        )
    shown = by_title(explained.candidates)
    assert shown["Shipping"].outcome is CandidateOutcome.HIT
    assert shown["Returning goods"].outcome is CandidateOutcome.FILTERED
    assert shown["Returning goods"].removed_by == ("type",)
    assert shown["Returning goods"].fused.rank == 1
    assert shown["Urlaub"].removed_by == ("type", "language")
    assert (explained.passages, explained.allowed) == (3, 1)


async def test_duplicates_and_lower_ranks_are_told_apart() -> None:
    """A passage that repeats a better one is no hit; one beyond the limit is lower."""
    documents = {**DOCUMENTS, "copy.md": DOCUMENTS["returns.md"]}
    async with pipeline_over(documents) as (pipeline, store):
        pipeline = Pipeline(
            embedding=pipeline.embedding,
            index=pipeline.index,
            passages=store,
            generator=pipeline.generator,
            top_k=1,
        )
        explained = await pipeline.explain(RETURNS)
        assert [one.outcome for one in explained.candidates] == [
            CandidateOutcome.HIT,
            CandidateOutcome.DUPLICATE,
            CandidateOutcome.LOWER,
            CandidateOutcome.LOWER,
        ]
        del store.by_id[explained.candidates[1].chunk_id]
        gone = (await pipeline.explain(RETURNS)).candidates[1]
        assert (gone.outcome, gone.passage) == (CandidateOutcome.GONE, None)


async def test_candidates_without_a_closer_look_are_beyond() -> None:
    """Only so many are loaded and compared by their sentences."""
    documents = {
        f"{n}.md": f"# Title{n}\n\nGoods number{n} kind{n} colour{n} weigh grams{n}.\n"
        for n in range(45)
    }
    async with pipeline_over(documents) as (pipeline, _):
        explained = await pipeline.explain("Goods?")
    outcomes = [one.outcome for one in explained.candidates]
    assert len(outcomes) == 45
    assert outcomes.count(CandidateOutcome.HIT) == 6
    assert outcomes.count(CandidateOutcome.BEYOND) > 0
    assert set(outcomes[6:]) <= {CandidateOutcome.LOWER, CandidateOutcome.BEYOND}


async def test_a_reranking_model_gives_its_own_places() -> None:
    """The hits follow them, and the relevance does not change."""
    reranking = RerankService(FakeReranker)
    async with pipeline_over() as (pipeline, store):
        pipeline = Pipeline(
            embedding=pipeline.embedding,
            index=pipeline.index,
            passages=store,
            generator=pipeline.generator,
            reranking=reranking,
        )
        explained = await pipeline.explain("send goods back")
    reranking.close()
    first = explained.candidates[0]
    assert first.reranked is not None
    assert (first.reranked.rank, first.reranked.score) == (1, 1.0)
    assert "reranking" in dict(explained.milliseconds)


def test_a_filter_excludes_by_any_of_its_properties() -> None:
    """An empty list of documents excludes all, an empty list of anything else none."""
    found = passage("Text")
    assert excluded_by(found, Filter(), "c") == ()
    assert excluded_by(found, Filter(document_ids=()), "c") == ("document",)
    assert excluded_by(found, Filter(categories=("none",), languages=("en",)), "c") == ("category",)
    assert excluded_by(found, Filter(collections=("c",)), "c") == ()
    assert excluded_by(found, Filter(collections=("d",)), "c") == ("collection",)


def test_steps_add_up() -> None:
    """A step that is taken twice is one figure, also when it fails."""
    trace = Trace()
    for _ in range(2):
        with pytest.raises(ValueError, match="x"), trace.step("search"):
            raise ValueError("x")
    assert list(trace.milliseconds) == ["search"]
