"""All benchmarks: `python -m benchmarks`. The README's figures come from here."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import (
    embedding,
    first_token,
    footprint,
    history,
    index,
    ingestion,
    logins,
    reply_latency,
    retrieval,
    streaming,
)
from benchmarks.figures import console, load
from benchmarks.index_corpus import VOCABULARY, corpus_of
from benchmarks.sample import index_sample
from rag.evaluate import auroc, mean_reciprocal_rank, recall_at
from rag.relevance import THRESHOLD

NAMES: Final = (
    "footprint", "first-token", "retrieval", "embedding", "ingestion", "streaming", "reply-latency",
    "history", "index", "logins",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Measured:
    text: str
    figures: dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    names = options.only or NAMES
    if wrong := _wrong(options):
        console.print(f"Error: {wrong}")
        return 2
    with ExitStack() as stack:
        if options.data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundql-")))
        else:
            data_dir = options.data_dir
            data_dir.mkdir(parents=True, exist_ok=True)
        runs: dict[str, Callable[[], _Measured]] = {
            "footprint": lambda: _footprint(data_dir, options),
            "first-token": lambda: _first_token(data_dir, options),
            "retrieval": lambda: _retrieval(options),
            "embedding": lambda: _embedding(options),
            "ingestion": lambda: _ingestion(options),
            "streaming": lambda: _streaming(options),
            "reply-latency": lambda: _reply_latency(options),
            "history": lambda: _history(options),
            "index": lambda: _index(options),
            "logins": lambda: _logins(options),
        }
        results: dict[str, Any] = {"load_before": load()}
        for number, name in enumerate(name for name in NAMES if name in names):
            console.print(f"Measuring: {name}")
            measured = runs[name]()
            results[name] = measured.figures
            print("" if number == 0 else "\n", f"== {name} ==\n\n{measured.text}", sep="")
            sys.stdout.flush()
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def _wrong(options: argparse.Namespace) -> str | None:
    """What is wrong with the options' values, if anything is."""
    if options.rounds < 1 or options.starts < 0 or (options.questions or 1) < 1:
        return "--rounds and --questions begin at 1, --starts at 0."
    if (
        min(options.replies or [1]) < 1
        or (1 if options.tokens is None else options.tokens) < 1
        or options.seconds <= 0
    ):
        return "--replies and --tokens begin at 1, --seconds above 0."
    if options.pages < 1:
        return "--pages begins at 1."
    if options.messages < 2 * history.PAGE:
        return f"--messages begins at {2 * history.PAGE}."
    if options.logins < 1 or options.tries < 0:
        return "--logins begins at 1, --tries at 0."
    if min(options.passages or [1]) < 1:
        return "--passages begins at 1."
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure start and memory, the time to the first text of an answer, retrieval, "
        "embedding, indexing, streams of many replies at once, the way of a token to its reader, "
        "pages of a long history, the index with up to a million passages, and many logins at "
        "once. Tables go to stdout, progress to stderr. It takes some minutes, the index half an "
        "hour; other work on the machine spoils the times, ratios less than others.",
    )
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME",
        help=f"measure only this, one of {', '.join(NAMES)}; may be repeated",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    parser.add_argument(
        "--data-dir", type=Path, metavar="FOLDER",
        help="index the sample into this folder and keep it; first-token then reuses it "
        "(footprint indexes anew in a folder beneath)",
    )  # fmt: skip
    parser.add_argument(
        "--kb-dir", type=Path, default=retrieval.KB_DIR, metavar="FOLDER",
        help="the documents (default: kb_docs)",
    )  # fmt: skip
    parser.add_argument(
        "--questions", type=int, metavar="N", help="use only the first N golden questions"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N",
        help="first-token: how often each question is asked; streaming: how often each size is "
        "measured; logins: how often all log in; history: a fifth of how often each page is read "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--starts", type=int, default=5, metavar="N",
        help="footprint: starts after the first one (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--settle", type=float, default=5.0, metavar="SECONDS",
        help="footprint: idle time before memory is read (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--replies", type=int, action="append", metavar="N",
        help="streaming: replies at once; may be repeated (default: "
        f"{', '.join(str(replies) for replies, _ in streaming.SIZES)})",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=int, metavar="N",
        help="streaming: tokens of each reply (default: so many that a round takes seconds)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=10, metavar="S",
        help="reply-latency: how long the replies take; embedding: how long each number of people "
        "asks (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--pages", type=int, default=10_000, metavar="N",
        help="ingestion: pages of Markdown (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--messages", type=int, default=100_000, metavar="N",
        help="history: messages of the session (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--passages", type=int, action="append", metavar="N",
        help="index: passages; may be repeated (default: "
        f"{', '.join(str(size) for size in index.SIZES)}; a million takes 6 GB and half an hour)",
    )  # fmt: skip
    parser.add_argument(
        "--logins", type=int, default=logins.LOGINS, metavar="N",
        help="logins: people who log in at once (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--tries", type=int, default=logins.TRIES, metavar="N",
        help="logins: tries with and without an account; 0: none (default: %(default)s)",
    )  # fmt: skip
    return parser


def _footprint(data_dir: Path, options: argparse.Namespace) -> _Measured:
    result = footprint.run(
        data_dir / "footprint", options.kb_dir, starts=options.starts, settle=options.settle
    )
    return _Measured(result.report(), result.to_json())


def _first_token(data_dir: Path, options: argparse.Namespace) -> _Measured:
    # What footprint has indexed in this run serves here too.
    indexed = data_dir / "footprint"
    folder = indexed if (indexed / "groundql.db").exists() else data_dir
    asyncio.run(index_sample(folder, options.kb_dir))
    result = first_token.run(
        folder, options.kb_dir, questions=options.questions, rounds=options.rounds
    )
    return _Measured(result.report(), result.to_json())


def _embedding(options: argparse.Namespace) -> _Measured:
    result = embedding.run(seconds=options.seconds)
    return _Measured(result.report(), result.to_json())


def _ingestion(options: argparse.Namespace) -> _Measured:
    with tempfile.TemporaryDirectory(prefix="groundql-") as folder:
        result = ingestion.run(Path(folder), pages=options.pages)
    return _Measured(result.report(), result.to_json())


def _streaming(options: argparse.Namespace) -> _Measured:
    usual = dict(streaming.SIZES)
    sizes = [
        (replies, options.tokens or usual.get(replies) or max(1, 100_000 // replies))
        for replies in options.replies or usual
    ]
    with tempfile.TemporaryDirectory(prefix="groundql-") as folder:
        result = streaming.run(Path(folder), sizes=sizes, rounds=options.rounds)
    return _Measured(result.report(), result.to_json())


def _reply_latency(options: argparse.Namespace) -> _Measured:
    with tempfile.TemporaryDirectory(prefix="groundql-") as folder:
        result = reply_latency.run(Path(folder), seconds=options.seconds)
    return _Measured(result.report(), result.to_json())


def _history(options: argparse.Namespace) -> _Measured:
    with tempfile.TemporaryDirectory(prefix="groundql-") as folder:
        result = history.run(Path(folder), messages=options.messages, rounds=5 * options.rounds)
    return _Measured(result.report(), result.to_json())


def _logins(options: argparse.Namespace) -> _Measured:
    with tempfile.TemporaryDirectory(prefix="groundql-") as folder:
        result = logins.run(
            Path(folder), logins=options.logins, rounds=options.rounds, tries=options.tries
        )
    return _Measured(result.report(), result.to_json())


def _index(options: argparse.Namespace) -> _Measured:
    from rag.embedding.sentence_transformers import SentenceTransformersEmbedder

    sizes = options.passages or index.SIZES
    corpus = corpus_of(
        options.kb_dir,
        SentenceTransformersEmbedder.load(),
        vocabulary=min(VOCABULARY, 20 * max(sizes)),
    )
    result = index.run(corpus, sizes=sizes, questions=options.questions or index.QUESTIONS)
    return _Measured(result.report(), result.to_json())


def _retrieval(options: argparse.Namespace) -> _Measured:
    questions = retrieval.load_questions()[: options.questions]

    async def ask() -> list[retrieval.Outcome]:
        async with retrieval.knowledge_base(options.kb_dir) as (pipeline, _):
            return await retrieval.ask(pipeline, questions)

    console.print("The documents are indexed in memory first.")
    outcomes = asyncio.run(ask())
    lines: list[str] = []
    figures: dict[str, Any] = {"threshold": THRESHOLD}
    for split in ("dev", "test"):
        half = [outcome for outcome in outcomes if outcome.question.split == split]
        lines.append(retrieval.report(split, half))
        figures[split] = _retrieval_figures(half)
    return _Measured("\n".join(lines), figures)


def _retrieval_figures(outcomes: Sequence[retrieval.Outcome]) -> dict[str, float | None]:
    answerable = [outcome for outcome in outcomes if outcome.question.answerable]
    unanswerable = [outcome for outcome in outcomes if not outcome.question.answerable]
    known = [outcome.best_score for outcome in answerable]
    unknown = [outcome.best_score for outcome in unanswerable]
    ranks = [outcome.rank for outcome in answerable]
    figures = {
        "answerable": len(answerable),
        "unanswerable": len(unanswerable),
        "recall_at_1": recall_at(ranks, 1),
        "recall_at_5": recall_at(ranks, 5),
        "mean_reciprocal_rank": mean_reciprocal_rank(ranks),
        "auroc": auroc(known, unknown),
        "wrongly_refused": sum(score < THRESHOLD for score in known) / max(1, len(known)),
        "wrongly_answered": sum(score >= THRESHOLD for score in unknown) / max(1, len(unknown)),
    }
    # What cannot be computed, for want of questions, is null: JSON has no NaN.
    return {name: None if math.isnan(value) else round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
