"""Exact inner-product search with FAISS. Importing this module imports faiss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import faiss as untyped_faiss
import numpy as np

from rag.embedding.base import ModelIdentity
from rag.errors import IndexFileError
from rag.index.base import Ids, best_first, check_new, settled
from rag.index.file import FLAT, Write, header_of, open_file, write_file
from rag.index.lock import SharedLock
from rag.index.rows import AllowedRows, RowMap, Rows
from rag.types import FloatMatrix

# Its type hints lack much of what it has.
faiss: Any = untyped_faiss

# Up to this share of all rows it is faster to go to each allowed one than to pass by the others.
_FEW: Final = 0.5


class FaissFlatIndex:
    """A `DenseIndex` that compares with every vector: exact, 0.5 ms for 10,000 of 384 numbers."""

    kind: Final = FLAT

    def __init__(self, identity: ModelIdentity) -> None:
        self._identity = identity
        self._lock = SharedLock()
        self._index: Any = faiss.IndexFlatIP(identity.dimension)
        self._rows = RowMap()
        self._allowed = AllowedRows()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def dimension(self) -> int:
        return self._identity.dimension

    def ids(self) -> Ids:
        """All ids, ascending."""
        with self._lock.shared():
            return self._rows.ids()

    def add(self, ids: Ids, vectors: FloatMatrix) -> None:
        """Add vectors of shape (n, dimension); an id that is present already is replaced.

        Raises:
            ValueError: the shapes do not fit, an id comes twice, or a number is not finite.
        """
        check_new(ids, vectors, self._identity.dimension)
        if not len(ids):
            return
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        with self._lock.exclusive():
            self._rows.remove(ids)
            rows = self._rows.add(ids)
            known = self._index.ntotal
            self._index.add(vectors[rows >= known])
            self._matrix()[rows[rows < known]] = vectors[rows < known]
            self._allowed.clear()

    def remove(self, ids: Sequence[int]) -> None:
        with self._lock.exclusive():
            if len(self._rows.remove(np.asarray(ids, dtype=np.int64))):
                self._allowed.clear()
                if self._rows.holes > len(self._rows):
                    self._pack()

    def search(
        self, vector: FloatMatrix, k: int, *, allowed: Ids | None = None
    ) -> tuple[Ids, FloatMatrix]:
        """The k nearest of `allowed` (all, if None) to one vector of shape (dimension,).

        Equal cosines come in the order of their ids.
        """
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        # One query runs on one thread anyway; waking the others costs milliseconds on a busy
        # machine. The setting belongs to the calling thread.
        faiss.omp_set_num_threads(1)
        with self._lock.shared():
            # The selector keeps a pointer to the rows or bits, which must outlive the search.
            count, selector, _kept = self._select(allowed)
            parameters = None if selector is None else faiss.SearchParameters(sel=selector)

            def nearest(wanted: int) -> tuple[Ids, FloatMatrix]:
                cosines, rows = self._index.search(query, wanted, params=parameters)
                return rows[0], cosines[0]

            rows, cosines = settled(nearest, k, count)
            return best_first(self._rows.ids_of(rows), cosines, k)

    def vectors(self, ids: Ids) -> FloatMatrix:
        """The vectors of passages that are present, shape (len(ids), dimension).

        Raises:
            KeyError: an id is unknown.
        """
        with self._lock.shared():
            rows, present = self._rows.rows_of(ids)
            if not present.all():
                raise KeyError(int(np.min(ids[~present])))
            return self._matrix()[rows]

    def held(self, ids: Ids) -> tuple[Ids, FloatMatrix]:
        """Those of the ids that are present, with their vectors."""
        with self._lock.shared():
            rows, present = self._rows.rows_of(ids)
            return ids[present], self._matrix()[rows[present]]

    def save(self, path: Path, *, revision: int) -> None:
        """Write atomically, with the model's identity, the store's revision and a checksum.

        Searches go on meanwhile, changes wait.
        """
        with self._lock.shared():
            # As FAISS keeps vectors with ids of their own.
            rows = np.flatnonzero(self._rows.used)
            index = faiss.IndexIDMap2(faiss.IndexFlatIP(self.dimension))
            index.add_with_ids(self._matrix()[rows], self._rows.ids_of(rows))
            header = header_of(self._identity, count=len(rows), revision=revision)

            def payload(write: Write) -> None:
                faiss.write_index(index, faiss.PyCallbackIOWriter(write))

            write_file(path, header, payload)

    @classmethod
    def load(cls, path: Path, *, identity: ModelIdentity, revision: int) -> FaissFlatIndex:
        """Read an index file that was made by `identity` from exactly this `revision`.

        Raises:
            IndexFileError: it is missing, damaged, stale or made by another model.
        """
        header, file = open_file(path, identity=identity, revision=revision)
        with file:
            try:
                saved: Any = faiss.read_index(faiss.PyCallbackIOReader(file.read))
                ids = faiss.vector_to_array(saved.id_map)
            except (RuntimeError, AttributeError) as error:
                raise IndexFileError("the index cannot be read by this version of FAISS") from error
        index = cls(identity)
        if (
            len(set(ids.tolist())) != header.get("count")
            or len(ids) != saved.ntotal
            or saved.d != identity.dimension
        ):
            raise IndexFileError("the index does not hold what its header says")
        index._index = faiss.downcast_index(saved.index)
        saved.own_fields = False
        index._rows.add(ids)
        return index

    def _select(self, allowed: Ids | None) -> tuple[int, Any, object]:
        """How many rows are allowed, FAISS' selector of them (None: no need), and what it needs."""
        if allowed is None:
            if not self._rows.holes:
                return len(self._rows), None, None
            bits = np.packbits(self._rows.used, bitorder="little")
            return len(self._rows), faiss.IDSelectorBitmap(bits), bits
        chosen = self._allowed.of(allowed, self._rows)
        if len(chosen.rows) <= _FEW * len(self._rows):
            return len(chosen.rows), faiss.IDSelectorArray(chosen.rows), chosen
        return len(chosen.rows), faiss.IDSelectorBitmap(chosen.bits), chosen

    def _matrix(self) -> FloatMatrix:
        """FAISS' own memory, not a copy; rows that belong to no id included."""
        if not self._index.ntotal:
            return np.zeros((0, self.dimension), dtype=np.float32)
        numbers = faiss.rev_swig_ptr(self._index.get_xb(), self._index.ntotal * self.dimension)
        matrix: FloatMatrix = numbers.reshape(self._index.ntotal, self.dimension)
        return matrix

    def _pack(self) -> None:
        """Give back the room of what is gone."""
        rows: Rows = np.flatnonzero(self._rows.used)
        vectors, ids = self._matrix()[rows], self._rows.ids_of(rows)
        self._index = faiss.IndexFlatIP(self.dimension)
        self._rows = RowMap()
        self._rows.add(ids)
        self._index.add(vectors)
