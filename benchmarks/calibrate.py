"""Fits how relevance is computed: `python -m benchmarks.calibrate FOLDER… [--golden]`.

Each folder is a test collection in BEIR form. A question with relevant documents is a positive
example, and the same question without those documents a negative one; in a collection that says
which questions can be answered, that counts instead. Only questions whose number in the collection
is even are used; the others are for measuring. With `--golden` so are the golden questions: the
development half is fitted, the test half is for measuring.

It prints what each collection gets, with all its questions, from weights that were fitted on the
others, and then the constants of `rag/relevance.py`, fitted on all, to be copied there, with what
some thresholds do, and how well the probabilities hold, on the questions that were not used.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval import KB_DIR, QUESTIONS
from rag.embedding.backends import load_embedder
from rag.evaluate.cache import CachedEmbedder
from rag.evaluate.collection import ANSWERABLE, UNANSWERABLE, Collection, Query, load_collection
from rag.evaluate.golden import load_documents
from rag.evaluate.measures import auroc
from rag.evaluate.questions import Question, answers, load_questions
from rag.evaluate.running import Indexed, Workbench
from rag.evaluate.terminal import Steps, create_console
from rag.explain import Trace
from rag.passages import MemoryPassages
from rag.pipeline import Pipeline
from rag.relevance import Evidence
from rag.types import Filter

# The share of answerable questions that may be refused.
MAX_REFUSED: Final = 0.05
THRESHOLDS: Final = (0.1, 0.15, 0.2, 0.25, 0.3)
_RIDGE: Final = 1e-4
_BIN: Final = 0.1

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Features of the best hits, shape (n, features); the halves are by even and odd number."""

    name: str
    positive: Matrix
    negative: Matrix
    held_positive: Matrix
    held_negative: Matrix


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--cache", type=Path, help="a folder for vectors")
    options = parser.parse_args()
    known: list[Examples] = []
    foreign: list[Examples] = []
    steps = Steps(create_console(stderr=True))
    workbench = Workbench(
        load_embedder,
        cache=lambda embedder: CachedEmbedder(embedder, options.cache),
    )
    async with workbench:
        for folder in options.folders:
            collection = load_collection(folder)
            steps.title = collection.name
            indexed = await workbench.index(collection.documents, steps)
            await workbench.embed_questions(indexed.pipeline, collection.queries, steps)
            _sort(collection.name, await _of_collection(indexed, collection), known, foreign)
        if options.golden:
            steps.title = "golden"
            documents, _ = load_documents(KB_DIR)
            indexed = await workbench.index(documents, steps)
            _sort("golden", await _of_golden(indexed), known, foreign)
    steps.close()
    for name, group in (("WEIGHTS", known), ("FOREIGN_WEIGHTS", foreign)):
        if group:
            _report(name, group)


Pair = tuple[Evidence, bool, int]


async def _of_collection(indexed: Indexed, collection: Collection) -> list[Pair]:
    pipeline = indexed.pipeline
    pairs: list[Pair] = []
    stated = any(query.answerability for query in collection.queries)
    for number, query in enumerate(collection.queries):
        if stated:
            if query.answerability in (ANSWERABLE, UNANSWERABLE):
                evidence = await _evidence(pipeline, query)
                pairs.append((evidence, query.answerability == ANSWERABLE, number))
            continue
        relevant = collection.relevant(query.id)
        rest = tuple(key for key in collection.documents if key not in relevant)
        pairs.append((await _evidence(pipeline, query), True, number))
        without = await _evidence(pipeline, query, Filter(document_ids=rest))
        pairs.append((without, False, number))
    return pairs


async def _of_golden(indexed: Indexed) -> list[Pair]:
    """All of them; those of the test half count as left out."""
    pairs: list[Pair] = []
    for question in load_questions(QUESTIONS):
        half = int(question.split != "dev")
        query = Query(question.id, question.question, question.history)
        pairs.append((await _evidence(indexed.pipeline, query), question.answerable, half))
        if question.answerable:
            documents = _without(question, indexed.passages)
            filter = Filter(document_ids=documents)
            pairs.append((await _evidence(indexed.pipeline, query, filter), False, half))
    return pairs


def _without(question: Question, store: MemoryPassages) -> tuple[str, ...]:
    every = {passage.document_id for passage in store.by_id.values()}
    wanted = {passage.document_id for passage in store.by_id.values() if answers(question, passage)}
    return tuple(sorted(every - wanted))


async def _evidence(pipeline: Pipeline, query: Query, filter: Filter = Filter()) -> Evidence:  # noqa: B008
    trace = Trace()
    await pipeline.retrieve(query.text, history=query.history, filter=filter, trace=trace)
    return trace.evidence or Evidence(0.0, 0.0, 0.0, 0.0, 0.0)


def _sort(name: str, pairs: Sequence[Pair], known: list[Examples], foreign: list[Examples]) -> None:
    """Enter a collection's examples among those of known or of foreign languages, or of both."""
    for group, is_foreign in ((known, False), (foreign, True)):
        parts = [
            np.array(
                [
                    evidence.features()
                    for evidence, positive, number in pairs
                    if evidence.foreign == is_foreign and positive == wanted and number % 2 == rest
                ]
            )
            for rest in (0, 1)
            for wanted in (True, False)
        ]
        if all(len(part) >= 10 for part in parts[:2]):
            group.append(Examples(name, *parts))


def _report(name: str, group: Sequence[Examples]) -> None:
    print(f"\n{name}\nfitted on the others: AUROC, unanswerable caught at 5 % false refusals")
    for examples in group:
        others = [other for other in group if other is not examples] or [examples]
        _print_line(
            examples.name,
            np.concatenate([examples.positive, examples.held_positive]),
            np.concatenate([examples.negative, examples.held_negative]),
            fit(others),
        )
    weights = fit(group)
    print(
        "fitted on all, on the questions left out: the same, and at each threshold wrongly refused "
        "and caught"
    )
    for examples in group:
        _print_line(
            examples.name, examples.held_positive, examples.held_negative, weights, THRESHOLDS
        )
    _print_reliability(group, weights)
    print(f"{name}: Final = ({', '.join(f'{weight:.3f}' for weight in weights)})")


def _print_line(
    name: str,
    positive: Matrix,
    negative: Matrix,
    weights: Matrix,
    thresholds: Sequence[float] = (),
) -> None:
    if not len(positive) or not len(negative):
        return
    high, low = _predict(positive, weights), _predict(negative, weights)
    caught = float((low < np.quantile(high, MAX_REFUSED)).mean())
    line = f"  {name:<16} {auroc(high.tolist(), low.tolist()):.3f}  {caught:.2f}"
    for threshold in thresholds:
        refused, right = (high < threshold).mean(), (low < threshold).mean()
        line += f"   {threshold:.2f}: {refused:.3f} {right:.3f}"
    print(line)


def _print_reliability(group: Sequence[Examples], weights: Matrix) -> None:
    """Whether of the left out questions with a relevance of 0.7, say, 70 % can be answered.

    Collections weigh the same, and both kinds of questions within each, as where they are fitted.
    """
    predicted, right, shares = [], [], []
    for item in group:
        for part, label in ((item.held_positive, 1.0), (item.held_negative, 0.0)):
            predicted.append(_predict(part, weights))
            right.append(np.full(len(part), label))
            shares.append(np.full(len(part), 1 / max(1, len(part))))
    relevance, answerable = np.concatenate(predicted), np.concatenate(right)
    share = np.concatenate(shares)
    print("of the questions left out: relevance, mean, share that can be answered, questions")
    for low in np.arange(0.0, 1.0, _BIN):
        inside = (relevance >= low) & (relevance < low + _BIN)
        if inside.any():
            part = share[inside] / share[inside].sum()
            print(
                f"  {low:.1f} to {low + _BIN:.1f}   {part @ relevance[inside]:.2f}   "
                f"{part @ answerable[inside]:.2f}   {inside.sum()}"
            )


def _predict(features: Matrix, weights: Matrix) -> Matrix:
    return np.asarray(1 / (1 + np.exp(-(weights[0] + features @ weights[1:]))))


def fit(group: Sequence[Examples]) -> Matrix:
    """Intercept and weights of a logistic regression in which all collections weigh the same, and
    both classes within each. A weight that would be negative is left at 0: evidence never speaks
    against an answer.

    Newton's method with a slight ridge.
    """
    rows = np.concatenate([part for item in group for part in (item.positive, item.negative)])
    labels = np.concatenate(
        [
            np.full(len(part), label)
            for item in group
            for part, label in ((item.positive, 1.0), (item.negative, 0.0))
        ]
    )
    shares = np.concatenate(
        [
            np.full(len(part), 0.5 / len(part) / len(group))
            for item in group
            for part in (item.positive, item.negative)
        ]
    )
    kept = list(range(rows.shape[1]))
    while True:
        design = np.column_stack([np.ones(len(rows)), rows[:, kept]])
        weights = _newton(design, labels, shares)
        negative = [place for place, weight in enumerate(weights[1:]) if weight < 0]
        if not negative:
            break
        kept.remove(kept[min(negative, key=lambda place: weights[1 + place])])
    full = np.zeros(1 + rows.shape[1])
    full[0] = weights[0]
    full[[1 + place for place in kept]] = weights[1:]
    return full


def _newton(design: Matrix, labels: Matrix, shares: Matrix) -> Matrix:
    weights = np.zeros(design.shape[1])
    ridge = _RIDGE * np.eye(design.shape[1])
    for _ in range(50):
        predicted = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (shares * (predicted - labels)) + ridge @ weights
        curvature = (design * (shares * predicted * (1 - predicted))[:, None]).T @ design
        weights = weights - np.linalg.solve(curvature + ridge, gradient)
    return weights


if __name__ == "__main__":
    asyncio.run(main())
