"""Plots as SVG text, to stand inside a page: no script, no font, no file beside it.

Colours come from the page's variables, so that a dark page gets dark plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 640
_ROW: Final = 26
_LABEL: Final = 170
_RIGHT: Final = 60
_HEIGHT: Final = 200
_BOTTOM: Final = 34
_LEFT: Final = 44


@dataclass(frozen=True, slots=True)
class Bar:
    """A mean with its interval, all 0..1."""

    label: str
    mean: float
    low: float
    high: float


def interval_plot(title: str, bars: Sequence[Bar]) -> str:
    """A dot for each mean and a line for its interval, on an axis from 0 to 1."""
    height = _ROW * len(bars) + _BOTTOM
    span = _WIDTH - _LABEL - _RIGHT

    def place(value: float) -> float:
        return _LABEL + span * value

    parts = [
        f'<line class="grid" x1="{place(tick / 5):.1f}" x2="{place(tick / 5):.1f}" y1="4" '
        f'y2="{height - _BOTTOM + 4}"/>'
        f'<text class="tick" x="{place(tick / 5):.1f}" y="{height - 14}" text-anchor="middle">'
        f"{tick / 5:.1f}</text>"
        for tick in range(6)
    ]
    for number, bar in enumerate(bars):
        y = 4 + _ROW * (number + 0.5)
        parts.append(
            f"<g><title>{escape(bar.label)}: {bar.mean:.4f} ({bar.low:.4f} to {bar.high:.4f})"
            f'</title><text x="{_LABEL - 10}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(_short(bar.label))}</text>"
            f'<line class="interval" x1="{place(bar.low):.1f}" x2="{place(bar.high):.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle class="first" cx="{place(bar.mean):.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text class="value" x="{_WIDTH - _RIGHT + 12}" y="{y + 4:.1f}">{bar.mean:.3f}</text>'
            "</g>"
        )
    return _svg(title, height, parts)


def bar_plot(title: str, labels: Sequence[str], shares: Sequence[float]) -> str:
    """A column for each label; shares are 0..1."""
    top = max([*shares, 0.01])
    slot = (_WIDTH - _LEFT) / len(labels)
    base = _HEIGHT - _BOTTOM
    parts = [_base_line(base)]
    for number, (label, share) in enumerate(zip(labels, shares, strict=True)):
        x = _LEFT + slot * number
        tall = (base - 24) * share / top
        parts.append(
            f"<g><title>{escape(label)}: {share:.1%}</title>"
            f'<rect class="first" x="{x + 3:.1f}" y="{base - tall:.1f}" width="{slot - 6:.1f}" '
            f'height="{tall:.1f}" rx="2"/>'
            f'<text class="value" x="{x + slot / 2:.1f}" y="{base - tall - 6:.1f}" '
            f'text-anchor="middle">{share:.0%}</text>'
            f'<text class="tick" x="{x + slot / 2:.1f}" y="{base + 18}" text-anchor="middle">'
            f"{escape(label)}</text></g>"
        )
    return _svg(title, _HEIGHT, parts)


def histogram_pair(
    title: str,
    first: Sequence[float],
    second: Sequence[float],
    *,
    threshold: float | None,
    bins: int = 25,
) -> str:
    """Two distributions of values 0..1, the first upwards and the second downwards, each with its
    own total as 100 %, and a line at the threshold."""
    upper, lower = _shares(first, bins), _shares(second, bins)
    top = max([*upper, *lower, 0.01])
    middle = _HEIGHT / 2
    room = middle - 22
    slot = (_WIDTH - _LEFT - 16) / bins
    parts = [_base_line(middle)]
    for number in range(bins):
        x = _LEFT + slot * number
        span = f"{number / bins:.2f} to {(number + 1) / bins:.2f}"
        for kind, share, name in (
            ("first", upper[number], "answerable"),
            ("second", lower[number], "unanswerable"),
        ):
            tall = room * share / top
            y = middle - tall if kind == "first" else middle
            parts.append(
                f'<rect class="{kind}" x="{x + 1:.1f}" y="{y:.1f}" width="{slot - 2:.1f}" '
                f'height="{tall:.1f}"><title>{name}, {span}: {share:.1%}</title></rect>'
            )
    for tick in range(6):
        x = _LEFT + slot * bins * tick / 5
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 4}" text-anchor="middle">'
            f"{tick / 5:.1f}</text>"
        )
    if threshold is not None:
        x = _LEFT + slot * bins * threshold
        parts.append(
            f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{_HEIGHT - 18}"/>'
            f'<text class="tick" x="{x + 5:.1f}" y="16">answered from {threshold:.2f}</text>'
        )
    parts.append(f'<text class="tick" x="4" y="{middle - 8:.0f}">yes</text>')
    parts.append(f'<text class="tick" x="4" y="{middle + 16:.0f}">no</text>')
    return _svg(title, _HEIGHT, parts)


def _shares(values: Sequence[float], bins: int) -> list[float]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(value * bins)))] += 1
    return [count / max(1, len(values)) for count in counts]


def _base_line(y: float) -> str:
    return f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _short(label: str) -> str:
    return label if len(label) <= 24 else label[:23] + "…"


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
    )
