from __future__ import annotations

from rag.evaluate.abstention import Abstention, Judged, measure_abstention


def test_rates_are_those_of_the_decisions() -> None:
    """AUROC is of the relevance, refusals are as they were decided."""
    answerable = [Judged(0.9, True), Judged(0.6, True), Judged(0.4, False), Judged(0.7, True)]
    unanswerable = [Judged(0.5, True), Judged(0.1, False)]
    assert measure_abstention(answerable, unanswerable) == Abstention(
        answerable=4,
        unanswerable=2,
        auroc=7 / 8,
        false_refusals=0.25,
        caught=0.5,
        caught_at_reference=0.5,  # the 5 % quantile of the answerable lies at 0.43
    )


def test_without_both_kinds_there_is_nothing_to_tell() -> None:
    """No figure is made up."""
    assert measure_abstention([], [Judged(0.1, False)]) is None
    assert measure_abstention([Judged(0.1, False)], []) is None
