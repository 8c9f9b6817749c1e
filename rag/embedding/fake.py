"""A deterministic embedding model for tests: texts that share words are near each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from rag.embedding.base import ModelIdentity
from rag.types import FloatMatrix

_WORD = re.compile(r"\w+")
_MIN_STEM: Final = 5


class FakeEmbedder:
    """Sums a pseudo-random vector per word, with a word's first letters standing for its stem.

    `batches` records how many texts each call embedded.
    """

    def __init__(
        self, *, dimension: int = 64, max_tokens: int = 256, parallel: bool = False
    ) -> None:
        self._identity = ModelIdentity("fake", dimension, hashlib.sha256(b"fake").hexdigest())
        self._max_tokens = max_tokens
        self._parallel = parallel
        self.batches: list[int] = []

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def backend(self) -> str:
        return "fake"

    @property
    def parallel(self) -> bool:
        return self._parallel

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def count_tokens(self, text: str) -> int:
        return len(_WORD.findall(text)) + 2

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.batches.append(len(texts))
        vectors = np.zeros((len(texts), self._identity.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in _WORD.findall(text.lower())[: self._max_tokens - 2]:
                row += _word_vector(word[:_MIN_STEM], self._identity.dimension)
            length = float(np.linalg.norm(row))
            if length:
                row /= length
            else:
                row[0] = 1.0
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        return self.embed(texts)


@lru_cache(maxsize=10_000)
def _word_vector(stem: str, dimension: int) -> FloatMatrix:
    seed = int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
