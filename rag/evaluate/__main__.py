"""The command line: `python -m rag.evaluate --help`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import platformdirs

from rag.embedding.base import Embedder
from rag.errors import RagError
from rag.evaluate.baseline import find_drops, golden_summary
from rag.evaluate.cache import CachedEmbedder
from rag.evaluate.collection import Collection, CollectionError, load_collection
from rag.evaluate.golden import GoldenResult, evaluate_golden, load_documents
from rag.evaluate.page import render_page
from rag.evaluate.questions import Question, load_questions
from rag.evaluate.running import Result, Workbench, evaluate
from rag.evaluate.runs import (
    Comparison,
    RunError,
    compare,
    load_run,
    run_record,
    summary,
    write_json,
    write_text,
)
from rag.evaluate.terminal import (
    Steps,
    create_console,
    print_comparisons,
    print_golden,
    print_results,
)
from rag.rerank.base import Reranker
from rag.rerank.service import RerankService
from rag.types import SourceDocument

TOLERANCE: Final = 0.02

_DESCRIPTION: Final = """\
Measure how well questions find their documents, with the code and the settings of the server.

A FOLDER is a test collection in BEIR form:
  corpus.jsonl   {"_id": "d1", "title": "...", "text": "..."}      one document a line
  queries.jsonl  {"_id": "q1", "text": "..."}                      one question a line
  qrels/*.tsv    q1 <tab> d1 <tab> 1                               which documents are relevant
The first two may end in .gz. A question may have "history", a list of earlier turns such as
"user: ..." and "agent: ...", which makes it a follow-up, and "answerability", ANSWERABLE or
UNANSWERABLE, which gives the figures of abstention."""

_EPILOG: Final = """\
examples:
  python -m rag.evaluate my_collection
  python -m rag.evaluate my_collection --run before.json
  python -m rag.evaluate my_collection --compare before.json --report report.html
  python -m rag.evaluate --golden my_questions.jsonl --documents my_documents

Exit codes: 0 done, 1 worse than the baseline or the model cannot be loaded, 2 wrong input."""


@dataclass(frozen=True, slots=True)
class _Golden:
    name: str
    documents: dict[str, SourceDocument]
    questions: list[Question]


def _load_embedder(name: str) -> Embedder:
    from rag.embedding.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder.load(name)


def _load_reranker(name: str) -> Reranker:
    from rag.rerank.cross_encoder import CrossEncoderReranker

    return CrossEncoderReranker.load(name)


def main(
    arguments: Sequence[str] | None = None,
    *,
    load: Callable[[str], Embedder] = _load_embedder,
    load_reranker: Callable[[str], Reranker] = _load_reranker,
) -> int:
    """Run the command; returns its exit code. The other two give the model of a name."""
    options = _parser().parse_args(arguments)
    err = create_console(stderr=True)
    try:
        _check_files(options)
        collections = _load_collections(options, err.print)
        golden = _load_golden(options, err.print)
        before = load_run(options.compare) if options.compare else None
        baseline = _load_baseline(options.baseline) if options.baseline else None
    except (CollectionError, RunError) as error:
        err.print(f"Error: {error}", markup=False)
        return 2
    steps = Steps(err)
    try:
        results, golden_results = asyncio.run(
            _run(options, collections, golden, steps, lambda: load(options.model), load_reranker)
        )
    except RagError as error:
        err.print(f"Error: {error}", markup=False)
        return 1
    finally:
        steps.close()
    figures: dict[str, Any] = {**summary(results), **golden_summary(golden_results)}
    comparisons: list[Comparison] = []
    out = create_console(stderr=False)
    print_results(out, results)
    print_golden(out, golden_results)
    record = run_record(results)
    if before is not None:
        comparisons = compare(before, record)
        print_comparisons(out, comparisons)
    if options.json:
        write_json(options.json, figures)
    if options.run:
        write_json(options.run, record)
    if options.report:
        write_text(options.report, render_page(results, golden_results, comparisons))
    drops = find_drops(baseline, figures, tolerance=options.tolerance) if baseline else []
    for drop in drops:
        err.print(f"Error: {drop}", markup=False)
    return 1 if drops else 0


async def _run(
    options: argparse.Namespace,
    collections: Sequence[Collection],
    golden: _Golden | None,
    steps: Steps,
    load: Callable[[], Embedder],
    load_reranker: Callable[[str], Reranker],
) -> tuple[list[Result], list[GoldenResult]]:
    folder = None if options.no_cache else options.cache
    steps.title = "model"
    steps.begin("Loading", 1)
    reranking = RerankService(lambda: load_reranker(options.reranker)) if options.reranker else None
    async with Workbench(
        load,
        cache=lambda embedder: CachedEmbedder(embedder, folder),
        reranking=reranking,
    ) as workbench:
        results = []
        for collection in collections:
            steps.title = collection.name
            results.append(
                await evaluate(
                    workbench,
                    collection,
                    reporter=steps,
                    without_relevant=options.without_relevant,
                )
            )
        golden_results = []
        if golden is not None:
            steps.title = golden.name
            golden_results = await evaluate_golden(
                workbench, golden.documents, golden.questions, name=golden.name, reporter=steps
            )
        steps.close()
    return results, golden_results


def _load_collections(options: argparse.Namespace, note: Any) -> list[Collection]:
    """All collections, before any is evaluated: what is wrong is said in the first second."""
    if not options.folders and options.golden is None:
        raise CollectionError("name a FOLDER, or questions with --golden and --documents.")
    collections: list[Collection] = []
    for folder in options.folders:
        collection = load_collection(folder, split=options.split)
        if any(other.name == collection.name for other in collections):
            raise CollectionError(
                f"two folders are called {collection.name}; the figures go by that name."
            )
        for text in collection.notes:
            note(f"{collection.name}: {text}", markup=False)
        collections.append(collection)
    return collections


def _load_golden(options: argparse.Namespace, note: Any) -> _Golden | None:
    if (options.golden is None) != (options.documents is None):
        raise CollectionError("--golden and --documents go together.")
    if options.golden is None:
        return None
    questions = load_questions(options.golden)
    if options.split is not None:
        questions = [question for question in questions if question.split == options.split]
        if not questions:
            raise CollectionError(f"{options.golden} has no question of the split {options.split}.")
    if not options.documents.is_dir():
        raise CollectionError(f"{options.documents} is not a folder.")
    documents, skipped = load_documents(options.documents)
    for text in skipped:
        note(text, markup=False)
    return _Golden(options.golden.resolve().parent.name, documents, questions)


def _load_baseline(path: Path) -> dict[str, Any]:
    try:
        baseline = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
    if not isinstance(baseline, dict) or not all(
        isinstance(figures, dict) for figures in baseline.values()
    ):
        raise RunError(f"{path} is not a file that --json has written.")
    return baseline


def _check_files(options: argparse.Namespace) -> None:
    """Nobody should wait for minutes to learn that the result has no place.

    Raises:
        CollectionError: a file could not be written.
    """
    for path in (options.json, options.run, options.report):
        if path is not None and (not path.parent.is_dir() or path.is_dir()):
            raise CollectionError(f"{path} cannot be written: there is no folder {path.parent}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rag.evaluate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", nargs="*", type=Path, metavar="FOLDER", help="test collections, see above")
    add(
        "--split",
        metavar="NAME",
        help="judgments qrels/NAME.tsv, and golden questions with that split; else the only file "
        "of judgments, or the first of test, dev and train, and all golden questions",
    )
    golden = parser.add_argument_group("questions with answering passages")
    golden.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="JSON lines with question, answerable, document, passage (see docs/evaluation.md)",
    )
    golden.add_argument(
        "--documents", type=Path, metavar="FOLDER", help="the files that they are about"
    )
    measured = parser.add_argument_group("what is measured")
    measured.add_argument(
        "--without-relevant",
        action="store_true",
        help="ask each question again with its relevant documents taken away: nothing can answer "
        "it then, and the figures say how often that is noticed",
    )
    measured.add_argument(
        "--model",
        default="all-MiniLM-L6-v2",
        metavar="NAME",
        help="name or folder of a sentence-transformers model (default: %(default)s)",
    )
    measured.add_argument(
        "--reranker",
        metavar="NAME",
        help="name or folder of a cross-encoder that orders the best passages anew",
    )
    files = parser.add_argument_group("results")
    files.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="the means by collection; abstention_auroc is null where answerability is missing",
    )
    files.add_argument(
        "--run", type=Path, metavar="FILE", help="every question's scores, for a later --compare"
    )
    files.add_argument(
        "--report", type=Path, metavar="FILE.html", help="a page with plots, in one file"
    )
    files.add_argument(
        "--compare",
        type=Path,
        metavar="RUN",
        help="compare with a run that --run has written, with a significance test",
    )
    files.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="figures that --json has written: exit with 1 if one of them got worse",
    )
    files.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="X",
        help="by how much a figure may fall below the baseline (default: %(default)s)",
    )
    cache = parser.add_argument_group("cache of vectors")
    cache.add_argument(
        "--cache",
        type=Path,
        default=platformdirs.user_cache_path("groundql") / "vectors",
        metavar="DIR",
        help="kept by model and text, so that the next run is fast: about 1.5 kB a sentence "
        "(default: %(default)s)",
    )
    cache.add_argument("--no-cache", action="store_true", help="embed everything anew")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with contextlib.suppress(BrokenPipeError):
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit(130)
