"""Figures as the benchmarks report them: quantiles, tables, and progress on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# Progress and remarks; the figures alone go to stdout.
console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Spread:
    """How measured values of one kind lie; all in the same unit."""

    count: int
    quartile_1: float
    median: float
    quartile_3: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, middle, high, last = np.percentile(values, [25, 50, 75, 99]).tolist()
        return cls(len(values), low, middle, high, last)

    def to_json(self) -> dict[str, float]:
        return {key: round(value, 3) for key, value in asdict(self).items()}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side: the first one to the left, numbers to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [lines[0], rule, *lines[1:]]
    )


def milliseconds(value: float) -> str:
    return f"{value:.2f}"


def progress() -> Progress:
    """A bar on stderr; on a pipe it prints nothing but its last state."""
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
    )


def load() -> list[float]:
    """The machine's load averages: figures taken beside other work are worth less."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []
