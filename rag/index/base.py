"""The port of a dense index over chunk vectors, and what its adapters share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.types import FloatMatrix

Ids = NDArray[np.int64]

# Cosines that differ by less are equal: the order of additions changes the last digits.
SAME: Final = 1e-6


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

        Returns ids and cosines, best first, equal ones by id; fewer than k if there are not as
        many. What is found out of an array that cannot be written is kept for the next search with
        the same array.
        """

    def vectors(self, ids: Ids) -> FloatMatrix:
        """The vectors of passages that are present, shape (len(ids), dimension).

        Raises:
            KeyError: an id is unknown.
        """

    def ids(self) -> Ids:
        """All ids, ascending."""

    def held(self, ids: Ids) -> tuple[Ids, FloatMatrix]:
        """Those of the ids that are present, with their vectors."""

    def save(self, path: Path, *, revision: int) -> None:
        """Write atomically, with the model's identity, the store's revision and a checksum.

        Searches go on meanwhile; changes may have to wait.
        """


def check_new(ids: Ids, vectors: FloatMatrix, dimension: int) -> None:
    """Refuse what cannot be added.

    Raises:
        ValueError: the shapes do not fit, an id comes twice, or a number is not finite.
    """
    if vectors.shape != (len(ids), dimension):
        raise ValueError(
            f"{len(ids)} ids need vectors of shape ({len(ids)}, {dimension}), not {vectors.shape}"
        )
    if len(np.unique(ids)) != len(ids):
        raise ValueError("an id must not be added twice")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")


def best_first(ids: Ids, cosines: FloatMatrix, k: int) -> tuple[Ids, FloatMatrix]:
    """The k best, equal ones by id."""
    order = np.lexsort((ids, -np.round(cosines, 6)))[:k]
    return ids[order], cosines[order]


def settled(
    nearest: Callable[[int], tuple[Ids, FloatMatrix]], k: int, count: int
) -> tuple[Ids, FloatMatrix]:
    """The k nearest of `count`, and all others that are as near as the last of them, so that ids
    and not chance decide which of equal ones are found.

    `nearest(n)` gives up to n rows (-1: none) with their cosines, best first.
    """
    if k <= 0 or count <= 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    wanted = min(k + 1, count)
    while True:
        rows, cosines = nearest(wanted)
        found = rows >= 0
        rows, cosines = rows[found], cosines[found]
        complete = len(rows) < wanted or wanted == count
        if complete or cosines[k - 1] - cosines[-1] > SAME:
            return rows, cosines
        wanted = min(4 * wanted, count)
