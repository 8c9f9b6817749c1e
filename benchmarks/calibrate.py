"""Fits the relevance of hits and its threshold: `python -m benchmarks.calibrate`.

It sees the development half of the golden questions only and prints the three constants of
`rag/relevance.py`, to be copied there.

Positive examples are the passages that answer. Negative ones are the best passages of unanswerable
questions, and of answerable ones whose document is taken away: otherwise there would be too few.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval import Question, answers, knowledge_base, load_questions
from rag.passages import MemoryPassages
from rag.pipeline import Pipeline
from rag.relevance import INTERCEPT, SLOPE
from rag.types import Filter, Hit

# The share of answerable questions that may be refused, judged by the best hit of each.
MAX_REFUSED: Final = 0.03
_RIDGE: Final = 1e-3
_DEPTH: Final = 10


async def main() -> None:
    questions = [question for question in load_questions() if question.split == "dev"]
    positive: list[float] = []
    negative: list[float] = []
    best: list[float] = []
    async with knowledge_base() as (pipeline, store):
        for question in questions:
            hits = await _hits(pipeline, question)
            if not question.answerable:
                negative.append(_support(hits[0]))
                continue
            best.append(_support(hits[0]))
            positive += [_support(hit) for hit in hits if answers(question, hit.passage)][:1]
            others = await _hits(pipeline, question, without=_documents(question, store))
            negative.append(_support(others[0]))
    intercept, slope = fit(np.array(positive), np.array(negative))
    limit = float(np.quantile(best, MAX_REFUSED))
    threshold = 1 / (1 + math.exp(-(intercept + slope * limit)))
    print(f"{len(positive)} positive, {len(negative)} negative examples")
    print(f"INTERCEPT: Final = {intercept:.3f}\nSLOPE: Final = {slope:.3f}")
    print(f"THRESHOLD: Final = {math.floor(threshold * 1000) / 1000:.3f}")


def fit(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> tuple[float, float]:
    """Intercept and slope of a logistic regression, both classes weighing the same.

    Newton's method with a slight ridge.
    """
    rows = np.concatenate([positive, negative])
    design = np.column_stack([np.ones(len(rows)), rows])
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    weights = np.concatenate(
        [np.full(len(positive), 0.5 / len(positive)), np.full(len(negative), 0.5 / len(negative))]
    )
    parameters = np.zeros(2)
    for _ in range(50):
        predicted = 1 / (1 + np.exp(-design @ parameters))
        gradient = design.T @ (weights * (predicted - labels)) + _RIDGE * parameters
        curvature = (design * (weights * predicted * (1 - predicted))[:, None]).T @ design
        parameters = parameters - np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient)
    return float(parameters[0]), float(parameters[1])


async def _hits(
    pipeline: Pipeline, question: Question, *, without: frozenset[str] = frozenset()
) -> list[Hit]:
    documents = tuple(sorted(pipeline.index.document_ids() - without))
    retrieval = await pipeline.retrieve(
        question.question,
        history=question.history,
        filter=Filter(document_ids=documents) if without else Filter(),
        limit=_DEPTH,
    )
    return list(retrieval.hits)


def _documents(question: Question, store: MemoryPassages) -> frozenset[str]:
    return frozenset(
        passage.document_id for passage in store.by_id.values() if answers(question, passage)
    )


def _support(hit: Hit) -> float:
    """The support behind a hit's score, whatever constants it was scaled with."""
    return (math.log(hit.score / (1 - hit.score)) - INTERCEPT) / SLOPE


if __name__ == "__main__":
    asyncio.run(main())
