"""The command line: `python -m rag.evaluate --help`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rag.embedding.backends import Backend, load_embedder
from rag.embedding.base import Embedder
from rag.errors import RagError
from rag.evaluate.baseline import find_drops, golden_summary
from rag.evaluate.cache import CachedEmbedder
from rag.evaluate.collection import Collection, CollectionError, load_collection
from rag.evaluate.golden import GoldenResult, evaluate_golden, load_documents
from rag.evaluate.options import create_parser, default_cache
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


@dataclass(frozen=True, slots=True)
class _Golden:
    name: str
    documents: dict[str, SourceDocument]
    questions: list[Question]


def _loader(options: argparse.Namespace) -> Callable[[str], Embedder]:
    return partial(load_embedder, backend=Backend(options.backend))


def _load_reranker(name: str) -> Reranker:
    from rag.rerank.cross_encoder import CrossEncoderReranker

    return CrossEncoderReranker.load(name)


def main(
    arguments: Sequence[str] | None = None,
    *,
    load: Callable[[str], Embedder] | None = None,
    load_reranker: Callable[[str], Reranker] = _load_reranker,
) -> int:
    """Run the command; returns its exit code. The other two give the model of a name, if
    not the options shall."""
    options = create_parser().parse_args(arguments)
    err = create_console(stderr=True)
    try:
        _check_files(options)
        collections = _load_collections(options, err.print)
        golden = _load_golden(options, err.print)
        before = load_run(options.compare) if options.compare else None
        baseline = _load_baseline(options.baseline) if options.baseline else None
        cache = _cache_folder(options, err.print)  # last: wrong input makes no folder
    except (CollectionError, RunError) as error:
        err.print(f"Error: {error}", markup=False)
        return 2
    steps = Steps(err)
    try:
        results, golden_results = asyncio.run(
            _run(
                options,
                collections,
                golden,
                steps,
                cache,
                load=partial(load or _loader(options), options.model),
                load_reranker=load_reranker,
            )
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
    files: list[tuple[Path | None, Callable[[Path], None]]] = [
        (options.json, partial(write_json, value=figures)),
        (options.run, partial(write_json, value=record)),
        (
            options.report,
            lambda path: write_text(path, render_page(results, golden_results, comparisons)),
        ),
    ]
    failed = False
    for path, write in files:
        try:
            if path is not None:
                write(path)
        except RunError as error:  # a full disk: the others may be on another one
            err.print(f"Error: {error}", markup=False)
            failed = True
    drops = find_drops(baseline, figures, tolerance=options.tolerance) if baseline else []
    for drop in drops:
        err.print(f"Error: {drop}", markup=False)
    return 1 if drops or failed else 0


async def _run(
    options: argparse.Namespace,
    collections: Sequence[Collection],
    golden: _Golden | None,
    steps: Steps,
    cache: Path | None,
    *,
    load: Callable[[], Embedder],
    load_reranker: Callable[[str], Reranker],
) -> tuple[list[Result], list[GoldenResult]]:
    steps.title = "model"
    steps.begin("Loading", 1)
    reranking = RerankService(lambda: load_reranker(options.reranker)) if options.reranker else None
    async with Workbench(
        load, cache=lambda model: CachedEmbedder(model, cache), reranking=reranking
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
        if path is None or (path.exists() and not path.is_file()):
            continue
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-"):
                pass
        except OSError as error:
            raise CollectionError(f"{path} cannot be written: {error.strerror}.") from error


def _cache_folder(options: argparse.Namespace, note: Any) -> Path | None:
    """Where vectors are kept; None for nowhere.

    Raises:
        CollectionError: the folder that was asked for cannot be made.
    """
    if options.no_cache:
        return None
    folder: Path = options.cache or default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if options.cache:
            raise CollectionError(f"{folder} cannot be a cache: {error.strerror}.") from error
        note(f"Vectors are not kept: {folder} cannot be made.", markup=False)
        return None
    return folder


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with contextlib.suppress(BrokenPipeError):
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit(130)
