"""Vectors that all lie in one corner are moved apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.embedding.centred import CROWDED, CentredEmbedder, centred
from rag.embedding.fake import FakeEmbedder
from rag.types import FloatMatrix

TEXTS = ["returns of goods", "the opening hours", "a gift card", "goods that come back"]


class Crowded(FakeEmbedder):
    """The fake's vectors with a large common part: unrelated texts have cosines about 0.8."""

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        vectors = super().embed(texts)
        common = np.zeros(vectors.shape[1], dtype=np.float32)
        common[0] = 2.0
        moved = vectors + common
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        return self.embed(texts)


def unrelated(vectors: FloatMatrix) -> float:
    """The mean cosine of different texts."""
    return float((vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)].mean())


def test_a_model_with_room_is_left_alone() -> None:
    """Its vectors and its identity stay, and so does everything indexed with it."""
    embedder = FakeEmbedder()
    assert centred(embedder) is embedder


def test_crowded_vectors_get_the_room_of_others() -> None:
    """Their lengths are 1, and the nearest text stays the nearest."""
    crowded = Crowded()
    assert unrelated(crowded.embed(TEXTS)) > CROWDED
    moved = centred(crowded)
    assert isinstance(moved, CentredEmbedder)
    vectors = moved.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert unrelated(vectors) < 0.2
    before, after = crowded.embed(TEXTS), moved.embed_queries(TEXTS)
    assert np.argsort(before[1:] @ before[0])[-1] == np.argsort(after[1:] @ after[0])[-1]


def test_its_vectors_are_those_of_another_model() -> None:
    """So an index of vectors that were not moved is made anew."""
    crowded = Crowded()
    moved = centred(crowded)
    assert moved.identity.name == crowded.identity.name
    assert moved.identity.key != crowded.identity.key
    assert (moved.backend, moved.parallel) == (crowded.backend, crowded.parallel)
    assert moved.max_tokens == crowded.max_tokens
    assert moved.count_tokens("two words") == crowded.count_tokens("two words")
