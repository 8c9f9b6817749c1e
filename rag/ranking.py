"""How passages are ordered: pure functions over the scores of the retrievers.

score = d * cos(q', p) + LEXICAL_WEIGHT * lexical + d * SENTENCE_WEIGHT * (best sentence's cosine)

A sum of bounded parts keeps their absolute meaning, which ranks and scores scaled per query lose
(Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", 2023). q' is the
question moved towards the best passages (`feedback`). d is 1, and less where the embedding model
does not know the question's language.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.types import FloatMatrix

Scores = NDArray[np.float32]

LEXICAL_WEIGHT: Final = 0.75
# Finds the one sentence that answers in a passage about several matters.
SENTENCE_WEIGHT: Final = 1.0
# What cosines count in a language that the model was not trained on: they mean little there.
FOREIGN_DENSE_WEIGHT: Final = 0.12

_FEEDBACK_DEPTH: Final = 3
_FEEDBACK_WEIGHT: Final = 1.0
# Hits whose score is so much lower than the best one's have 1/e of its part in the feedback.
_FEEDBACK_WIDTH: Final = 0.05


def first_stage(cosines: Scores, lexical: Scores, *, dense_weight: float = 1.0) -> Scores:
    """The score without sentences and feedback, by which candidates are chosen."""
    return np.asarray(dense_weight * cosines + LEXICAL_WEIGHT * lexical, dtype=np.float32)


def second_stage(
    query_vector: FloatMatrix,
    vectors: FloatMatrix,
    lexical: Scores,
    sentences: Scores,
    *,
    dense_weight: float = 1.0,
) -> Scores:
    """The final score of candidates: `vectors` has shape (n, dimension), the others (n,).

    `query_vector` may be shorter than 1: a mean of several.
    """
    rest = LEXICAL_WEIGHT * lexical + dense_weight * SENTENCE_WEIGHT * sentences
    moved = feedback(query_vector, vectors, dense_weight * (vectors @ query_vector) + rest)
    return np.asarray(dense_weight * (vectors @ moved) + rest, dtype=np.float32)


def feedback(query_vector: FloatMatrix, vectors: FloatMatrix, scores: Scores) -> FloatMatrix:
    """The query moved towards the passages with the highest scores; its length stays.

    Rocchio's relevance feedback without judgments (Rocchio, "Relevance Feedback in Information
    Retrieval", 1971; for dense vectors: Li et al., "Pseudo Relevance Feedback with Deep Language
    Models and Dense Retrievers", 2023).
    """
    length = float(np.linalg.norm(query_vector))
    if not len(scores) or not length:
        return query_vector
    first = np.argsort(-scores, kind="stable")[:_FEEDBACK_DEPTH]
    weights = np.exp((scores[first] - scores[first[0]]) / _FEEDBACK_WIDTH)
    centre = (weights / weights.sum()) @ vectors[first]
    moved = query_vector / length + _FEEDBACK_WEIGHT * centre
    size = float(np.linalg.norm(moved))
    return np.asarray(moved * (length / size) if size else query_vector, dtype=np.float32)


def best_sentence_cosine(query_vector: FloatMatrix, sentence_vectors: FloatMatrix) -> float:
    """The highest cosine of a passage's sentences with the question; 0 without sentences."""
    if not len(sentence_vectors):
        return 0.0
    return float(np.max(sentence_vectors @ query_vector))
