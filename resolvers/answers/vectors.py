"""Vectors of questions: their form in the database, and the nearest of many."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from rag.types import FloatMatrix


def to_bytes(vector: FloatMatrix) -> bytes:
    """Little-endian float32, as in the chunk table."""
    return np.asarray(vector, dtype="<f4").tobytes()


def from_bytes(data: bytes) -> FloatMatrix:
    """What `to_bytes` stored."""
    return np.frombuffer(data, dtype="<f4")


class NearestVectors:
    """Unit vectors by id, few enough to compare a question with each."""

    def __init__(self, ids: Sequence[UUID] = (), vectors: Sequence[bytes] = ()) -> None:
        self._ids = list(ids)
        self._matrix: FloatMatrix = (
            np.stack([from_bytes(vector) for vector in vectors])
            if vectors
            else np.zeros((0, 0), dtype=np.float32)
        )

    def __len__(self) -> int:
        return len(self._ids)

    def nearest(self, vector: FloatMatrix, *, threshold: float) -> list[UUID]:
        """The ids of those whose cosine is at or above the threshold, nearest first."""
        if not self._ids:
            return []
        cosines = self._matrix @ vector
        order = np.argsort(-cosines, kind="stable")
        return [self._ids[place] for place in order if cosines[place] >= threshold]

    def add(self, key: UUID, vector: FloatMatrix) -> None:
        """One more."""
        row = np.asarray(vector, dtype=np.float32)[np.newaxis]
        self._matrix = np.concatenate([self._matrix, row]) if self._ids else row
        self._ids.append(key)
