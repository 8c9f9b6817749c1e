"""A small collection on disk, and the command on the fake model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rag.embedding.fake import FakeEmbedder
from rag.evaluate.__main__ import main

DOCUMENTS: Sequence[Mapping[str, Any]] = (
    {"_id": "d1", "title": "Returns", "text": "You may return goods within thirty days."},
    {"_id": "d2", "title": "Shipping", "text": "Express parcels to Austria take two days."},
    {"_id": "d3", "title": "", "text": "Der Garantieantrag wird schriftlich gestellt."},
    {"_id": "d4", "title": "Gift cards never expire", "text": ""},
)
QUERIES: Sequence[Mapping[str, Any]] = (
    {"_id": "q1", "text": "When may I return goods?", "answerability": "ANSWERABLE"},
    {
        "_id": "q2",
        "text": "And how long to Austria?",
        "history": ["user: Do you send express parcels?", "agent: Yes."],
        "answerability": "ANSWERABLE",
    },
    {"_id": "q3", "text": "Zebra xylophone quartz?", "answerability": "UNANSWERABLE"},
    {"_id": "q4", "text": "Is anything known about this one?"},
)
JUDGMENTS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\n"


def write_collection(
    folder: Path,
    *,
    documents: Sequence[Mapping[str, Any]] = DOCUMENTS,
    queries: Sequence[Mapping[str, Any]] = QUERIES,
    judgments: Mapping[str, str] | None = None,
    compressed: bool = False,
) -> Path:
    """The folder, in BEIR form."""
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", documents), ("queries", queries)):
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if compressed:
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(data))
        else:
            (folder / f"{name}.jsonl").write_bytes(data)
    for split, text in (judgments or {"test": JUDGMENTS}).items():
        (folder / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return folder


def run(*arguments: str | Path) -> int:
    """The command's exit code."""
    return main([str(one) for one in arguments], load=lambda _: FakeEmbedder())
