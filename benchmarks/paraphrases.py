"""Chooses the threshold of approved answers, and measures it on the half that it did not see.

    python -m benchmarks.paraphrases FOLDER

FOLDER is a collection in BEIR form whose titles are questions and whose queries are paraphrases of
them, such as StackFAQ. Each question has an approved answer. A paraphrase should get its own; the
same paraphrase with its own question taken away should get none.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rag.embedding.sentence_transformers import SentenceTransformersEmbedder
from rag.paraphrase import THRESHOLD, same_details
from rag.types import FloatMatrix


def main(folder: Path) -> None:
    """Print precision and recall for some thresholds on both halves."""
    titles = {str(row["_id"]): str(row["title"]) for row in _rows(folder / "corpus.jsonl.gz")}
    own: dict[str, str] = {}
    for path in sorted((folder / "qrels").glob("*.tsv")):
        for line in path.read_text().splitlines()[1:]:
            query, document, _ = line.split("\t")
            own[query] = titles[document]
    queries = [row for row in _rows(folder / "queries.jsonl.gz") if row["_id"] in own]
    questions = sorted(set(own.values()))
    embedder = SentenceTransformersEmbedder.load()
    approved = embedder.embed(questions)
    asked = embedder.embed([row["text"] for row in queries])
    cosines = asked @ approved.T
    print(f"{len(questions)} approved questions, {len(queries)} paraphrases")
    for name in ("development", "test"):
        rows = [n for n, row in enumerate(queries) if _half(own[row["_id"]]) == name]
        print(name, len(rows))
        _report(rows, queries, own, questions, cosines)
    print(f"The threshold in use is {THRESHOLD}.")


def _report(
    rows: list[int],
    queries: list[dict[str, Any]],
    own: dict[str, str],
    questions: list[str],
    cosines: FloatMatrix,
) -> None:
    for threshold in (*np.arange(0.70, 0.96, 0.025).round(3).tolist(), THRESHOLD):
        right = wrong = without = 0
        for n in rows:
            text, mine = queries[n]["text"], own[queries[n]["_id"]]
            best = int(np.argmax(cosines[n]))
            given = cosines[n, best] >= threshold and same_details(text, questions[best])
            right += given and questions[best] == mine
            wrong += given and questions[best] != mine
            others = np.where([question == mine for question in questions], -1.0, cosines[n])
            other = int(np.argmax(others))
            without += bool(others[other] >= threshold and same_details(text, questions[other]))
        precision = right / max(1, right + wrong)
        print(
            f"  {threshold:.3f}: recall {right / len(rows):.3f}, precision {precision:.3f}, "
            f"answered though its question is not there {without / len(rows):.3f}"
        )


def _half(question: str) -> str:
    """By the question, so that no question has paraphrases in both halves."""
    return "test" if hashlib.sha256(question.encode()).digest()[0] % 2 else "development"


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
