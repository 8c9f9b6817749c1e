"""Measures of a ranking, by ir-measures (trec_eval's code). Importing it imports ir_measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import ir_measures
from ir_measures import RR, R, nDCG

DEPTH: Final = 10
NDCG: Final = "ndcg@10"
RECALL: Final = "recall@10"
MRR: Final = "mrr@10"
MEASURES: Final = (NDCG, RECALL, MRR)

_MEASURES: Final = {nDCG @ DEPTH: NDCG, R @ DEPTH: RECALL, RR @ DEPTH: MRR}

Scores = dict[str, float]


def score_rankings(
    judgments: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, Scores]:
    """nDCG@10, recall@10 and the reciprocal rank within 10 of each ranked question.

    `rankings` are documents, best first, of questions that have a relevant document. nDCG takes
    grades as gains, as trec_eval does.
    """
    # Documents get falling scores, so that ties are not broken by their ids.
    run = {
        query_id: {document: float(-place) for place, document in enumerate(documents)}
        for query_id, documents in rankings.items()
    }
    qrels = {query_id: dict(judgments[query_id]) for query_id in rankings}
    scores: dict[str, Scores] = {query_id: dict.fromkeys(MEASURES, 0.0) for query_id in rankings}
    for metric in ir_measures.iter_calc(list(_MEASURES), qrels, run):
        scores[metric.query_id][_MEASURES[metric.measure]] = float(metric.value)
    return scores
