"""The options of the command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import platformdirs

from rag.embedding.backends import Backend

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


def default_cache() -> Path:
    """Where vectors are kept if nothing is said."""
    return platformdirs.user_cache_path("groundql") / "vectors"


def create_parser() -> argparse.ArgumentParser:
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
        "--backend",
        choices=[backend.value for backend in Backend],
        default=Backend.AUTO.value,
        help="what computes the vectors (default: %(default)s: ONNX Runtime for the default model)",
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
        metavar="DIR",
        help="kept by model and text, so that the next run is fast: about 1.5 kB a sentence "
        f"(default: {default_cache()})",
    )
    cache.add_argument("--no-cache", action="store_true", help="embed everything anew")
    return parser
