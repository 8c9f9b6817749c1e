from __future__ import annotations

import numpy as np
import pytest

from rag.ranking import (
    FOREIGN_DENSE_WEIGHT,
    LEXICAL_WEIGHT,
    SENTENCE_WEIGHT,
    best_sentence_cosine,
    feedback,
    first_stage,
    second_stage,
)


def array(*numbers: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(numbers, dtype=np.float32)


def test_the_first_stage_adds_cosine_and_lexical_score() -> None:
    """Cosines count less in a language that the model does not know."""
    cosines, lexical = array(0.5, 0.1), array(0.0, 0.6)
    bounded = 0.6 * LEXICAL_WEIGHT
    assert first_stage(cosines, lexical).tolist() == pytest.approx([0.5, 0.1 + bounded])
    foreign = first_stage(cosines, lexical, dense_weight=FOREIGN_DENSE_WEIGHT)
    assert foreign.tolist() == pytest.approx(
        [0.5 * FOREIGN_DENSE_WEIGHT, 0.1 * FOREIGN_DENSE_WEIGHT + bounded]
    )


def test_feedback_moves_the_query_towards_the_best_passages() -> None:
    """The first three count, by how close they are to the best; the length stays."""
    vectors = np.eye(5, dtype=np.float32)
    query = 0.5 * vectors[0]
    moved = feedback(query, vectors, array(0.0, 1.0, 0.95, 0.9, 0.5))
    assert float(np.linalg.norm(moved)) == pytest.approx(0.5)
    shares = np.exp([0.0, -1.0, -2.0])
    expected = np.array([1.0, *(shares / shares.sum()), 0.0])
    assert moved.tolist() == pytest.approx((0.5 * expected / np.linalg.norm(expected)).tolist())
    assert feedback(query, vectors[:0], array()) is query
    assert (
        feedback(np.zeros(5, dtype=np.float32), vectors, array(1, 1, 1, 1, 1)).tolist() == [0] * 5
    )


def test_the_second_stage_prefers_what_resembles_the_first_hits() -> None:
    """Of two passages that match equally well, the one near the best passage comes first."""
    query = array(1, 0, 0)
    vectors = np.array([[0.8, 0.6, 0], [0.6, 0.8, 0], [0.6, 0, 0.8]], dtype=np.float32)
    scores = second_stage(query, vectors, array(1.0, 0.2, 0.2), array(0.9, 0.3, 0.3))
    assert np.argsort(-scores).tolist() == [0, 1, 2]
    assert scores[1] - scores[2] > 0.1


def test_the_second_stage_adds_the_best_sentence() -> None:
    """It counts by its weight, and less in a language that the model does not know."""
    query = array(1, 0)
    vectors = np.array([[1, 0], [1, 0]], dtype=np.float32)
    scores = second_stage(query, vectors, array(0, 0), array(0.0, 0.4))
    assert scores.tolist() == pytest.approx([1.0, 1.0 + 0.4 * SENTENCE_WEIGHT])
    foreign = second_stage(query, vectors, array(0, 0), array(0.0, 0.4), dense_weight=0.2)
    assert foreign.tolist() == pytest.approx([0.2, 0.2 + 0.2 * 0.4 * SENTENCE_WEIGHT])


def test_the_best_sentence_counts() -> None:
    """The highest cosine of all sentences; a passage without sentences gets none."""
    query = array(0.6, 0.8, 0.0)
    assert best_sentence_cosine(query, np.eye(3, dtype=np.float32)) == pytest.approx(0.8)
    assert best_sentence_cosine(query, np.zeros((0, 3), dtype=np.float32)) == 0.0
