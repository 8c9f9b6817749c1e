"""What a person at the terminal sees of an evaluation."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rag.evaluate.abstention import Abstention
from rag.evaluate.golden import GoldenResult
from rag.evaluate.ranking import MEASURES
from rag.evaluate.running import Result
from rag.evaluate.runs import Comparison
from rag.evaluate.statistics import bootstrap_mean

SIGNIFICANT = 0.05
_WIDTH = 150  # of tables in a file


class Steps:
    """A `Reporter`: progress bars on a terminal, a line for each step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self.title = ""

    def begin(self, step: str, total: int) -> None:
        self.close()
        if not self._console.is_terminal:
            self._console.print(f"{self.title}: {step.lower()} ({total})")
            return
        self._bar = Progress(
            TextColumn(f"{self.title}: {step.lower()}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._bar.add_task(step, total=total)

    def advance(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def create_console(*, stderr: bool) -> Console:
    """A console that cuts no table where the output is a file."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr, highlight=False, soft_wrap=stderr, width=None if terminal else _WIDTH
    )


def print_results(console: Console, results: Sequence[Result]) -> None:
    """Tables of ranking, abstention and speed."""
    if not results:
        return
    ranking = Table(title="Ranking: mean and 95 % confidence interval", title_justify="left")
    ranking.add_column("collection")
    for name in ("documents", "passages", "questions", *MEASURES):
        ranking.add_column(name, justify="right")
    for result in results:
        ranking.add_row(
            f"{result.collection.name} ({result.collection.split})",
            f"{len(result.collection.documents):,}",
            f"{result.passages:,}",
            f"{len(result.scores):,}",
            *(_interval(result, name) for name in MEASURES),
        )
    console.print(ranking)
    for result in results:
        if empty := result.collection.empty:
            name = result.collection.name
            console.print(f"{name}: {empty} questions without a text were left out.", markup=False)
    print_abstention(
        console,
        [
            (f"{result.collection.name}{suffix}", measured)
            for result in results
            for suffix, measured in (
                ("", result.abstention),
                (", relevant documents removed", result.without_relevant),
            )
        ],
    )
    speed = Table(title="Speed on this machine, with what else ran on it", title_justify="left")
    speed.add_column("collection")
    for name in (
        "search ms, median",
        "p99",
        "embedding a question ms, median",
        "p99",
        "searches/s",
        "passages indexed/s",
    ):
        speed.add_column(name, justify="right")
    for result in results:
        one = result.speed
        speed.add_row(
            result.collection.name,
            *(f"{value:.1f}" for value in (*one.search_ms, *one.embedding_ms)),
            f"{one.questions_per_second:.0f}",
            "from the cache"
            if one.passages_per_second is None
            else f"{one.passages_per_second:.1f}",
        )
    console.print(speed)


def print_abstention(console: Console, rows: Sequence[tuple[str, Abstention | None]]) -> None:
    """One table of what was measured; none if nothing was."""
    measured = [(name, one) for name, one in rows if one is not None]
    if not measured:
        return
    table = Table(title="Answering or abstaining, at the default threshold", title_justify="left")
    table.add_column("collection")
    for name in (
        "answerable",
        "not",
        "AUROC",
        "wrongly refused",
        "unanswerable caught",
        "caught at 5 % refused",
    ):
        table.add_column(name, justify="right")
    for name, one in measured:
        table.add_row(
            name,
            str(one.answerable),
            str(one.unanswerable),
            f"{one.auroc:.3f}",
            f"{one.false_refusals:.1%}",
            f"{one.caught:.1%}",
            f"{one.caught_at_reference:.1%}",
        )
    console.print(table)


def print_golden(console: Console, results: Sequence[GoldenResult]) -> None:
    """Tables of questions whose answering passages are known."""
    if not results:
        return
    table = Table(title="Answering passages and citations", title_justify="left")
    table.add_column("questions")
    for name in (
        "number",
        "recall@1",
        "recall@5",
        "MRR",
        "citations that hold the answer",
        "answers with such a citation",
    ):
        table.add_column(name, justify="right")
    for one in results:
        table.add_row(
            one.name,
            str(one.questions),
            *(
                "" if math.isnan(value) else f"{value:.3f}"
                for value in (
                    one.recall_at_1,
                    one.recall_at_5,
                    one.mrr,
                    one.citation_precision,
                    one.supported,
                )
            ),
        )
    console.print(table)
    print_abstention(console, [(one.name, one.abstention) for one in results])


def print_comparisons(console: Console, comparisons: Sequence[Comparison]) -> None:
    """What changed since another run, and how likely chance alone would do it."""
    table = Table(
        title="Against the other run (paired randomisation test, two-sided)", title_justify="left"
    )
    for name in ("collection", "measure"):
        table.add_column(name)
    for name in ("questions", "before", "now", "change", "better", "worse", "p"):
        table.add_column(name, justify="right")
    for one in comparisons:
        mark = "*" if one.p < SIGNIFICANT else ""
        table.add_row(
            one.collection,
            one.measure,
            str(one.questions),
            f"{one.before:.4f}",
            f"{one.after:.4f}",
            f"{one.after - one.before:+.4f}{mark}",
            str(one.wins),
            str(one.losses),
            f"{one.p:.4f}",
        )
    console.print(table)


def _interval(result: Result, name: str) -> str:
    interval = bootstrap_mean([row[name] for row in result.scores.values()])
    return f"{interval.mean:.4f} ({interval.low:.3f} to {interval.high:.3f})"
