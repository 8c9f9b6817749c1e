"""What a conversation costs questions that stand alone: `python -m benchmarks.follow_ups FOLDER…`.

Each folder is a test collection in BEIR form whose questions stand alone. Some are asked once more
after two other questions of the collection, each with the beginning of a document that answers it:
"unrelated" are questions that share no relevant document with the one that is asked, "related" ones
that do. What nDCG@10 loses is the harm of completing questions; the gain is measured by
`rag.evaluate` on a collection with conversations.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rag.embedding.backends import load_embedder
from rag.evaluate.cache import CachedEmbedder
from rag.evaluate.collection import Collection, Query, load_collection
from rag.evaluate.ranking import score_rankings
from rag.evaluate.running import Workbench, ask
from rag.evaluate.statistics import randomisation_test
from rag.evaluate.terminal import Steps, create_console
from rag.pipeline import Pipeline
from rag.types import Turn

QUESTIONS: Final = 200
_BEFORE: Final = 2
_ANSWER: Final = 600  # characters
_SEED: Final = 7
_MEASURE: Final = "ndcg@10"


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, help="a folder for vectors")
    options = parser.parse_args()
    steps = Steps(create_console(stderr=True))
    workbench = Workbench(load_embedder, cache=lambda model: CachedEmbedder(model, options.cache))
    async with workbench:
        for folder in options.folders:
            collection = load_collection(folder)
            steps.title = collection.name
            indexed = await workbench.index(collection.documents, steps)
            queries = [query for query in collection.queries if collection.relevant(query.id)]
            chosen = random.Random(_SEED).sample(queries, min(QUESTIONS, len(queries)))
            for kind in ("unrelated", "related"):
                after = [
                    replace(query, history=turns)
                    for query in chosen
                    if (turns := _turns(collection, queries, query, related=kind == "related"))
                ]
                if after:
                    await _report(indexed.pipeline, collection, kind, after)
    steps.close()


def _turns(
    collection: Collection, queries: Sequence[Query], query: Query, *, related: bool
) -> tuple[Turn, ...]:
    """Other questions with their answers; none if there are not enough."""
    mine = collection.relevant(query.id)
    others = [
        other
        for other in queries
        if other.id != query.id and bool(mine & collection.relevant(other.id)) == related
    ]
    count = 1 if related else _BEFORE
    if len(others) < count:
        return ()
    turns: list[Turn] = []
    for other in random.Random(query.id).sample(others, count):
        document = collection.documents.get(min(collection.relevant(other.id)))
        turns.append(Turn("user", other.text))
        turns.append(Turn("assistant", document.content[:_ANSWER] if document else ""))
    return tuple(turns)


async def _report(
    pipeline: Pipeline, collection: Collection, kind: str, after: Sequence[Query]
) -> None:
    alone = await _scores(pipeline, collection, [replace(query, history=()) for query in after])
    told = await _scores(pipeline, collection, after)
    before, now = sum(alone) / len(alone), sum(told) / len(told)
    print(
        f"{collection.name:<16} {kind:<10} {len(after):>4} questions   alone {before:.4f}   "
        f"after others {now:.4f} ({now - before:+.4f}, p {randomisation_test(told, alone):.4f})"
    )


async def _scores(
    pipeline: Pipeline, collection: Collection, queries: Sequence[Query]
) -> list[float]:
    found = {query.id: (await ask(pipeline, query)).documents for query in queries}
    scores = score_rankings({query.id: collection.judgments[query.id] for query in queries}, found)
    return [scores[query.id][_MEASURE] for query in queries]


if __name__ == "__main__":
    asyncio.run(main())
