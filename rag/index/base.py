"""The port of a dense index over chunk vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.types import FloatMatrix

Ids = NDArray[np.int64]


class DenseIndex(Protocol):
    """Inner-product search over unit vectors, keyed by chunk id. Thread-safe."""

    def __len__(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def add(self, ids: Ids, vectors: FloatMatrix) -> None:
        """Add vectors of shape (n, dimension); an id that is present already is replaced."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; unknown ids are ignored."""

    def search(
        self, vector: FloatMatrix, k: int, *, allowed: Ids | None = None
    ) -> tuple[Ids, FloatMatrix]:
        """The k nearest of `allowed` (all, if None) to one vector of shape (dimension,).

        Returns ids and cosines, best first; fewer than k if there are not as many.
        """

    def vectors(self, ids: Ids) -> FloatMatrix:
        """The vectors of passages that are present, shape (len(ids), dimension).

        Raises:
            KeyError: an id is unknown.
        """

    def save(self, path: Path, *, revision: int) -> None:
        """Write atomically, with the model's identity, the store's revision and a checksum."""
