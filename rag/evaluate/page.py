"""The report of an evaluation as one HTML file. Importing it imports jinja2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rag.evaluate.abstention import Abstention, Judged
from rag.evaluate.collection import ANSWERABLE, UNANSWERABLE
from rag.evaluate.golden import GoldenResult
from rag.evaluate.plots import Bar, bar_plot, histogram_pair, interval_plot
from rag.evaluate.ranking import DEPTH, MEASURES, NDCG
from rag.evaluate.running import Result
from rag.evaluate.runs import Comparison
from rag.evaluate.statistics import bootstrap_mean

_WORST: Final = 20


@dataclass(frozen=True, slots=True)
class _Plot:
    title: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class _Worst:
    question: str
    score: float
    relevant: str
    found: str


def render_page(
    results: Sequence[Result],
    golden: Sequence[GoldenResult],
    comparisons: Sequence[Comparison],
    *,
    now: datetime | None = None,
) -> str:
    """A page that needs no other file and no network."""
    environment = Environment(
        loader=PackageLoader("rag.evaluate", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        now=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        results=results,
        golden=golden,
        comparisons=comparisons,
        measures=MEASURES,
        overview=[_overview(results, name) for name in MEASURES] if results else [],
        intervals=[
            [bootstrap_mean([row[name] for row in result.scores.values()]) for name in MEASURES]
            for result in results
        ],
        abstention=_abstention_rows(results, golden),
        plots=[_plots(result) for result in results],
        worst=[_worst(result) for result in results],
        golden_plots=[_golden_plot(one) for one in golden],
    )


def _overview(results: Sequence[Result], name: str) -> _Plot:
    bars = []
    for result in results:
        interval = bootstrap_mean([row[name] for row in result.scores.values()])
        bars.append(Bar(result.collection.name, interval.mean, interval.low, interval.high))
    return _Plot(name, Markup(interval_plot(name, bars)))


def _abstention_rows(
    results: Sequence[Result], golden: Sequence[GoldenResult]
) -> list[tuple[str, Abstention]]:
    rows = []
    for result in results:
        if result.abstention:
            rows.append((result.collection.name, result.abstention))
        if result.without_relevant:
            rows.append(
                (f"{result.collection.name}, relevant documents removed", result.without_relevant)
            )
    rows += [(one.name, one.abstention) for one in golden if one.abstention]
    return rows


def _plots(result: Result) -> list[_Plot]:
    plots = [_first_places(result)]
    outcomes = list(result.outcomes.values())
    known = [one.judged for one in outcomes if one.query.answerability == ANSWERABLE]
    unknown = [one.judged for one in outcomes if one.query.answerability == UNANSWERABLE]
    if known and unknown:
        plots.append(
            _relevance("Relevance of answerable and unanswerable questions", known, unknown)
        )
    if result.removed:
        known = [result.outcomes[key].judged for key in result.removed]
        title = "Relevance with the relevant documents, and with them removed"
        plots.append(_relevance(title, known, list(result.removed.values())))
    return plots


def _first_places(result: Result) -> _Plot:
    counts = [0] * (DEPTH + 1)
    for key in result.scores:
        relevant = result.collection.relevant(key)
        places = [
            place for place, one in enumerate(result.outcomes[key].documents) if one in relevant
        ]
        counts[places[0] if places else DEPTH] += 1
    labels = [*(str(place + 1) for place in range(DEPTH)), "none"]
    title = "Where the first relevant document stands"
    shares = [count / len(result.scores) for count in counts]
    return _Plot(title, Markup(bar_plot(title, labels, shares)))


def _golden_plot(one: GoldenResult) -> _Plot | None:
    known = [o.judged for o in one.outcomes if o.question.answerable]
    unknown = [o.judged for o in one.outcomes if not o.question.answerable]
    if not known or not unknown:
        return None
    return _relevance(f"{one.name}: relevance of questions", known, unknown)


def _relevance(title: str, known: Sequence[Judged], unknown: Sequence[Judged]) -> _Plot:
    answered = [one.relevance for one in (*known, *unknown) if one.grounded]
    svg = histogram_pair(
        title,
        [one.relevance for one in known],
        [one.relevance for one in unknown],
        threshold=min(answered) if answered else None,
    )
    return _Plot(title, Markup(svg))


def _worst(result: Result) -> list[_Worst]:
    """The questions with the lowest nDCG, without those that are perfect."""
    keys = sorted(result.scores, key=lambda key: (result.scores[key][NDCG], key))[:_WORST]
    return [
        _Worst(
            question=result.outcomes[key].query.text,
            score=result.scores[key][NDCG],
            relevant=_titles(result, sorted(result.collection.relevant(key))[:3]),
            found=_titles(result, result.outcomes[key].documents[:3]),
        )
        for key in keys
        if result.scores[key][NDCG] < 1
    ]


def _titles(result: Result, documents: Sequence[str]) -> str:
    texts = []
    for key in documents:
        document = result.collection.documents.get(key)
        title = document.title or document.content[:60] if document else ""
        texts.append(f"{key} {title[:60]}".strip())
    return "; ".join(texts)
