"""Figures as files: the summary for other programs, and runs that a later one is compared with."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rag.errors import RagError
from rag.evaluate.ranking import MEASURES
from rag.evaluate.running import Result
from rag.evaluate.statistics import randomisation_test

_VERSION: Final = 1


class RunError(RagError):
    """A file of an earlier run cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of a collection in two runs, over the questions that both have. `p` is that of
    a paired randomisation test; `wins` and `losses` count questions."""

    collection: str
    measure: str
    questions: int
    before: float
    after: float
    wins: int
    losses: int
    p: float


def means(result: Result) -> dict[str, float]:
    """The mean of each measure over the judged questions."""
    rows = list(result.scores.values())
    return {name: sum(row[name] for row in rows) / len(rows) for name in MEASURES}


def summary(results: Sequence[Result]) -> dict[str, dict[str, float | None]]:
    """The three measures and `abstention_auroc` by collection. The last is null where no question
    is marked ANSWERABLE or none UNANSWERABLE."""
    return {
        result.collection.name: {
            **means(result),
            "abstention_auroc": result.abstention.auroc if result.abstention else None,
        }
        for result in results
    }


def run_record(results: Sequence[Result]) -> dict[str, Any]:
    """What a later run needs for a comparison: every question's scores, decision and documents."""
    return {
        "version": _VERSION,
        "collections": {
            result.collection.name: {
                "split": result.collection.split,
                "model": result.model,
                "questions": {
                    key: {
                        **result.scores.get(key, {}),
                        "relevance": outcome.judged.relevance,
                        "grounded": outcome.judged.grounded,
                        "documents": list(outcome.documents),
                    }
                    for key, outcome in result.outcomes.items()
                },
            }
            for result in results
        },
    }


def load_run(path: Path) -> dict[str, Any]:
    """What `run_record` made and `write_json` wrote.

    Raises:
        RunError: the file is not that.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as a run: {error}.") from error
    if not isinstance(record, dict) or record.get("version") != _VERSION:
        raise RunError(f"{path} is not a run that --run has written.")
    return record


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Comparison]:
    """Two runs on the collections that both have, measure by measure."""
    comparisons = []
    for name, now in after["collections"].items():
        then = before["collections"].get(name)
        if then is None:
            continue
        for measure in MEASURES:
            pairs = [
                (then["questions"][key][measure], scores[measure])
                for key, scores in now["questions"].items()
                if measure in scores and measure in then["questions"].get(key, {})
            ]
            if not pairs:
                continue
            old, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            comparisons.append(
                Comparison(
                    collection=name,
                    measure=measure,
                    questions=len(pairs),
                    before=math.fsum(old) / len(old),
                    after=math.fsum(new) / len(new),
                    wins=sum(b > a for a, b in pairs),
                    losses=sum(b < a for a, b in pairs),
                    p=randomisation_test(new, old),
                )
            )
    return comparisons


def write_json(path: Path, value: object) -> None:
    """Write a file as `write_text` does.

    Raises:
        RunError
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; a device such as /dev/stdout is written to.

    Raises:
        RunError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False
        ) as file:
            try:
                file.write(text)
                file.close()
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error
