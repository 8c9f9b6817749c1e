"""Questions about a folder of documents, each with the passage that answers it.

What a collection of judged documents cannot tell is measured here: whether the answering passage is
found, and whether the answer cites it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rag.errors import LoadingError
from rag.evaluate.abstention import Abstention, Judged, measure_abstention
from rag.evaluate.collection import CollectionError
from rag.evaluate.measures import mean_reciprocal_rank, recall_at
from rag.evaluate.questions import Question, answers, quotes_answer
from rag.evaluate.running import Indexed, Reporter, Workbench, decision
from rag.generation.base import TextPiece
from rag.loading import load_file
from rag.pipeline import Pipeline
from rag.types import Hit, Retrieval, SourceDocument


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rank` is that of the answering passage, from 1, None if not found. `citations` say of each
    citation of the answer whether its quote holds the answering passage."""

    question: Question
    retrieval: Retrieval
    rank: int | None
    citations: tuple[bool, ...] = ()

    @property
    def judged(self) -> Judged:
        return decision(self.retrieval)

    @property
    def best_score(self) -> float:
        return self.judged.relevance


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """The figures of one group of questions.

    `citation_precision` is the share of citations whose quote holds the answering passage, over
    all answers to answerable questions; `supported` the share of these answers with such a
    citation. NaN where there is nothing to take a share of.
    """

    name: str
    questions: int
    recall_at_1: float
    recall_at_5: float
    mrr: float
    citation_precision: float
    supported: float
    abstention: Abstention | None
    outcomes: tuple[Outcome, ...] = field(repr=False, default=())


def load_documents(folder: Path) -> tuple[dict[str, SourceDocument], list[str]]:
    """The readable documents of a folder by their paths in it, and why others were left out.

    Raises:
        CollectionError: there are none.
    """
    documents: dict[str, SourceDocument] = {}
    skipped = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        try:
            documents[name.as_posix()] = load_file(path)
        except LoadingError as error:
            skipped.append(f"Left out: {error}")
    if not documents:
        raise CollectionError(f"{folder} holds no document that can be read.")
    return documents, skipped


async def ask(
    pipeline: Pipeline, questions: Sequence[Question], *, reporter: Reporter | None = None
) -> list[Outcome]:
    """Search for each question with the pipeline's own settings."""
    outcomes = []
    for question in questions:
        retrieval = await pipeline.retrieve(question.question, history=question.history)
        outcomes.append(Outcome(question, retrieval, rank_of(question, retrieval.hits)))
        if reporter is not None:
            reporter.advance()
    return outcomes


async def evaluate_golden(
    workbench: Workbench,
    documents: Mapping[str, SourceDocument],
    questions: Sequence[Question],
    *,
    name: str,
    reporter: Reporter,
) -> list[GoldenResult]:
    """Index the documents, ask the questions, let each answerable one be answered from what was
    found, and give the figures of each split, by name.

    Raises:
        EmbeddingError: the model cannot be loaded.
    """
    indexed = await workbench.index(documents, reporter)
    reporter.begin("Asking", len(questions))
    outcomes = [
        await _with_citations(indexed, documents, outcome)
        for outcome in await ask(indexed.pipeline, questions, reporter=reporter)
    ]
    splits = sorted({question.split for question in questions})
    return [
        measure(f"{name}/{split}", [item for item in outcomes if item.question.split == split])
        for split in splits
    ]


def measure(name: str, outcomes: Sequence[Outcome]) -> GoldenResult:
    """The figures of a group of questions."""
    answerable = [outcome for outcome in outcomes if outcome.question.answerable]
    ranks = [outcome.rank for outcome in answerable]
    answered = [outcome.citations for outcome in answerable if outcome.retrieval.grounded]
    citations = [right for each in answered for right in each]
    return GoldenResult(
        name=name,
        questions=len(outcomes),
        recall_at_1=recall_at(ranks, 1),
        recall_at_5=recall_at(ranks, 5),
        mrr=mean_reciprocal_rank(ranks),
        citation_precision=_share(citations),
        supported=_share([any(each) for each in answered]),
        abstention=measure_abstention(
            [outcome.judged for outcome in answerable],
            [outcome.judged for outcome in outcomes if not outcome.question.answerable],
        ),
        outcomes=tuple(outcomes),
    )


def rank_of(question: Question, hits: Sequence[Hit]) -> int | None:
    """The first hit that holds the answering passage or shares most of it."""
    return next(
        (rank for rank, hit in enumerate(hits, start=1) if answers(question, hit.passage)), None
    )


async def _with_citations(
    indexed: Indexed, documents: Mapping[str, SourceDocument], outcome: Outcome
) -> Outcome:
    question = outcome.question
    if not question.answerable or not outcome.retrieval.grounded:
        return outcome
    pipeline = indexed.pipeline
    retrieval = await pipeline.retrieve_sources(question.question, history=question.history)
    prompt = pipeline.build_prompt(retrieval, question.history)
    text = "".join(
        [event.text async for event in pipeline.answer(prompt) if isinstance(event, TextPiece)]
    )
    return Outcome(
        question,
        outcome.retrieval,
        outcome.rank,
        tuple(
            quotes_answer(question, cited, documents[cited.document_id].content)
            for cited in pipeline.cite(text, retrieval)
        ),
    )


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else float("nan")
