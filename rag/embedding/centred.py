"""Models whose vectors all lie in one corner of the space.

The cosine of two texts that have nothing to do with each other is about 0.1 with MiniLM, and 0.75
with E5, whose cosines keep to a quarter of the scale. Ranking and relevance add cosines to other
scores and compare them with thresholds, so such vectors are moved: the mean of vectors of unrelated
texts is taken away from each (Mu and Viswanath, "All-but-the-Top", 2018, without its second step).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rag.embedding.base import Embedder, ModelIdentity
from rag.types import FloatMatrix

# The mean cosine of unrelated texts from which on vectors are moved.
CROWDED: Final = 0.4

# Sentences about different matters, in the languages that we have texts for.
_UNRELATED: Final = (
    "The ferry to the island leaves every two hours.",
    "My grandmother baked bread with rye flour.",
    "The invoice must be paid within two weeks.",
    "Stars that collapse become very dense.",
    "He scored the winning goal in the last minute.",
    "Press the red button to stop the engine.",
    "The court rejected the appeal in March.",
    "She bought a blue coat in the sale.",
    "Der Regen hat die ganze Ernte verdorben.",
    "Das Passwort muss zwölf Zeichen haben.",
    "Im Museum hängt ein Bild aus dem Mittelalter.",
    "Der Zahnarzt hat erst im Mai einen Termin.",
    "El volcán no ha entrado en erupción desde hace un siglo.",
    "La reunión empieza a las nueve en punto.",
    "Los niños juegan en el patio de la escuela.",
    "El precio del aceite ha subido mucho.",
    "Le chat dort sur le radiateur.",
    "Le pont a été construit en pierre.",
    "Cette imprimante ne reconnaît pas le papier.",
    "Le médecin conseille de boire davantage d'eau.",
)


def centred(embedder: Embedder) -> Embedder:
    """The embedder itself, or one that moves its vectors if they lie crowded."""
    passages, questions = embedder.embed(_UNRELATED), embedder.embed_queries(_UNRELATED)
    cosines = questions @ passages.T
    unrelated = cosines[~np.eye(len(_UNRELATED), dtype=bool)]
    if float(unrelated.mean()) < CROWDED:
        return embedder
    return CentredEmbedder(embedder, passages.mean(axis=0), questions.mean(axis=0))


class CentredEmbedder:
    """An `Embedder` whose vectors are another one's, less the mean of all texts, of length 1."""

    def __init__(
        self, embedder: Embedder, passage_mean: FloatMatrix, query_mean: FloatMatrix
    ) -> None:
        """Both means have the shape (dimension,)."""
        self._embedder = embedder
        self._passage_mean, self._query_mean = passage_mean, query_mean
        own = embedder.identity
        marked = hashlib.sha256(f"{own.weights_sha256}\0centred".encode()).hexdigest()
        self._identity = replace(own, weights_sha256=marked)

    @property
    def identity(self) -> ModelIdentity:
        """Not the model's own: its vectors are not comparable with these."""
        return self._identity

    @property
    def backend(self) -> str:
        return self._embedder.backend

    @property
    def parallel(self) -> bool:
        return self._embedder.parallel

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    def count_tokens(self, text: str) -> int:
        return self._embedder.count_tokens(text)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        return _moved(self._embedder.embed(texts), self._passage_mean)

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        return _moved(self._embedder.embed_queries(texts), self._query_mean)


def _moved(vectors: FloatMatrix, mean: FloatMatrix) -> FloatMatrix:
    moved = vectors - mean
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.maximum(lengths, 1e-12), dtype=np.float32)
