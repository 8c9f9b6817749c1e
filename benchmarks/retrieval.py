"""How well the golden questions are answered: `python -m benchmarks.retrieval`.

For both halves it prints whether the answering passage is found (recall at 1 and 5, mean reciprocal
rank) and how well relevance tells answerable from unanswerable questions (AUROC, error rates at
the threshold). Only the development half may guide a change; the test half is reported.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from rag.embedding.backends import load_embedder
from rag.embedding.service import EmbeddingService
from rag.errors import LoadingError
from rag.evaluate import auroc, mean_reciprocal_rank, questions, recall_at
from rag.evaluate.golden import Outcome, ask, rank_of
from rag.evaluate.questions import Question, answers
from rag.generation.offline import OfflineGenerator
from rag.index.knowledge import KnowledgeIndex
from rag.ingest import prepare
from rag.loading import load_file
from rag.passages import MemoryPassages
from rag.pipeline import Pipeline
from rag.relevance import THRESHOLD

__all__ = ["Outcome", "Question", "answers", "ask", "knowledge_base", "load_questions", "rank_of"]

ROOT: Final = Path(__file__).parent.parent
KB_DIR: Final = ROOT / "kb_docs"
QUESTIONS: Final = ROOT / "tests" / "golden" / "questions.jsonl"


def load_questions(path: Path = QUESTIONS) -> list[Question]:
    """The golden questions."""
    return questions.load_questions(path)


@asynccontextmanager
async def knowledge_base(folder: Path = KB_DIR) -> AsyncIterator[tuple[Pipeline, MemoryPassages]]:
    """A pipeline over the documents of a folder, with the default model, all in memory."""
    from rag.index.faiss_flat import FaissFlatIndex
    from rag.lexical import Bm25Index

    embedding = EmbeddingService(load_embedder, cache_size=0)
    embedding.start()
    try:
        await embedding.ready()
        index = KnowledgeIndex(FaissFlatIndex(embedding.identity), Bm25Index())
        store = MemoryPassages()
        for path in _files(folder):
            try:
                document = load_file(path)
            except LoadingError as error:
                print(f"skipped: {error}")
                continue
            prepared = await prepare(document, embedding=embedding)
            store.add(str(path.relative_to(folder)), document, prepared, index)
        index.refresh()
        generator = OfflineGenerator()
        yield (
            Pipeline(embedding=embedding, index=index, passages=store, generator=generator),
            store,
        )
    finally:
        await embedding.close()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def report(name: str, outcomes: Sequence[Outcome], *, threshold: float = THRESHOLD) -> str:
    """The figures of one group of questions, in a few lines."""
    answerable = [outcome for outcome in outcomes if outcome.question.answerable]
    unanswerable = [outcome for outcome in outcomes if not outcome.question.answerable]
    ranks = [outcome.rank for outcome in answerable]
    known = [outcome.best_score for outcome in answerable]
    unknown = [outcome.best_score for outcome in unanswerable]
    refused = sum(score < threshold for score in known) / max(1, len(known))
    accepted = sum(score >= threshold for score in unknown) / max(1, len(unknown))
    return (
        f"{name:<16} {len(answerable):>4} answerable, {len(unanswerable):>3} not   "
        f"recall@1 {recall_at(ranks, 1):.3f}  recall@5 {recall_at(ranks, 5):.3f}  "
        f"MRR {mean_reciprocal_rank(ranks):.3f}   AUROC {auroc(known, unknown):.3f}   "
        f"wrongly refused {refused:.1%}, wrongly answered {accepted:.1%}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--misses", action="store_true", help="list the dev questions that fail")
    arguments = parser.parse_args()
    golden = load_questions()
    async with knowledge_base() as (pipeline, store):
        print(f"{len(store.by_id)} passages, {len(golden)} questions, threshold {THRESHOLD}")
        outcomes = await ask(pipeline, golden)
    for split in ("dev", "test"):
        half = [outcome for outcome in outcomes if outcome.question.split == split]
        print(report(split, half))
        print(report("  follow-ups", [item for item in half if item.question.history]))
        for language in sorted({item.question.language for item in half}):
            group = [item for item in half if item.question.language == language]
            print(report(f"  {language}", group))
    print(report("all", outcomes))
    if arguments.misses:
        for outcome in outcomes:
            if outcome.question.split == "dev":
                _print_miss(outcome)


def _print_miss(outcome: Outcome) -> None:
    question = outcome.question
    if question.answerable and (outcome.rank is None or outcome.rank > 5):
        print(f"not found  {question.id} {question.question!r} in {question.document}")
    if question.answerable != outcome.retrieval.grounded:
        kind = "refused   " if question.answerable else "answered  "
        print(f"{kind} {outcome.best_score:.2f} {question.id} {question.question!r}")


if __name__ == "__main__":
    asyncio.run(main())
