"""Approximate inner-product search with FAISS, for many vectors. Importing it imports faiss.

Vectors lie in lists around centroids (Jégou, Douze and Schmid, "Product Quantization for Nearest
Neighbor Search", 2011, section IV: an inverted file), each number in 16 bits. A search looks into
the lists whose centroids are nearest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import faiss as untyped_faiss
import numpy as np
from numpy.typing import NDArray

from rag.embedding.base import ModelIdentity
from rag.errors import IndexFileError
from rag.index.base import Ids, best_first, check_new, settled
from rag.index.file import IVF, Write, header_of, open_file, write_file
from rag.index.lock import SharedLock
from rag.index.rows import Allowed, AllowedRows, KeptByObject, RowMap, Rows
from rag.types import FloatMatrix

# Its type hints lack much of what it has.
faiss: Any = untyped_faiss

_MIN_LISTS: Final = 16
_MAX_LISTS: Final = 4096
# Vectors per list that the centroids are learnt from, and rounds of learning: at most 164,000
# vectors, 250 MB for 384 numbers each.
_SAMPLE: Final = 40
_ROUNDS: Final = 8
_BLOCK: Final = 8192
# How many lists are searched: so many that this share of the true neighbours is found, for some of
# the stored vectors taken as questions, and never less than one in 64. Questions lie farther from
# passages than passages from each other, so it is well above what is asked for (0.97).
_RECALL: Final = 0.99
_NEIGHBOURS: Final = 10
_ASKED: Final = 48
_LEAST_SHARE: Final = 64
# Passing by a vector that a filter excludes takes this part of comparing one: measured 0.2.
_PASSING: Final = 0.2
# Up to so many allowed vectors are all compared. They are copied out of the lists (a millisecond
# for a thousand) and kept for the next search with the same ones: 13 MB at most for 384 numbers.
_FEW: Final = 16_384
_KEPT: Final = 6


class Source(Protocol):
    """Where vectors come from while an index is built; it may change meanwhile."""

    def held(self, ids: Ids) -> tuple[Ids, FloatMatrix]: ...


class FaissIvfIndex:
    """A `DenseIndex` that looks at a part: some 1 ms and 0.8 GB for a million of 384 numbers.

    Make one with `build`. `vectors` come back as they are kept: rounded to 11 bits.
    """

    kind: Final = IVF

    def __init__(self, identity: ModelIdentity, index: Any, *, trained: int, probes: int) -> None:
        self._identity = identity
        self._lock = SharedLock()
        self._index = index
        self._rows = RowMap()
        self._lists = np.zeros(0, dtype=np.int32)  # by row: the list that it lies in
        self._allowed = AllowedRows()
        # Of allowed rows: how many lie in each list, and copies of few of them.
        self._counts = KeptByObject[Allowed, NDArray[np.int64]](_KEPT)
        self._copies = KeptByObject[Allowed, Any](_KEPT)
        self._centroids = index.quantizer.reconstruct_n(0, index.nlist)
        # Of how many vectors the centroids were learnt, and how many lists a search looks into.
        self.trained = trained
        self.probes = probes

    @classmethod
    def build(
        cls, identity: ModelIdentity, ids: Ids, source: Source, *, probes: int | None = None
    ) -> FaissIvfIndex:
        """An index of what `source` holds of these ids, at least one. It takes about a minute for
        a million, on one thread. `probes` None: as many as measured to be enough."""
        faiss.omp_set_num_threads(1)
        count = len(ids)
        lists = _list_count(count)
        random = np.random.default_rng(0)
        size = min(count, _SAMPLE * lists)
        sample = source.held(np.sort(random.choice(ids, size, replace=False)))[1]
        lists = max(1, min(lists, len(sample)))
        quantizer = faiss.IndexFlatIP(identity.dimension)
        clustering = faiss.Clustering(identity.dimension, lists)
        clustering.niter, clustering.spherical, clustering.seed = _ROUNDS, True, 1
        clustering.min_points_per_centroid = 1  # no warning on standard output
        clustering.train(sample, quantizer)
        del sample
        index = faiss.IndexIVFScalarQuantizer(
            quantizer,
            identity.dimension,
            lists,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.train(np.zeros((1, identity.dimension), dtype=np.float32))
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        made = cls(identity, index, trained=count, probes=lists)
        made._fill(ids, source)
        made.probes = made._enough() if probes is None else min(probes, lists)
        return made

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
        faiss.omp_set_num_threads(1)
        self._enter(ids, vectors, self._index.quantizer.search(vectors, 1)[1].ravel())

    def _fill(self, ids: Ids, source: Source) -> None:
        """Add what `source` holds of ids, ascending, to an empty index."""
        lists = np.zeros(len(ids), dtype=np.int64)
        for start in range(0, len(ids), _BLOCK):
            block, vectors = source.held(ids[start : start + _BLOCK])
            lists[ids.searchsorted(block)] = self._index.quantizer.search(vectors, 1)[1].ravel()
        # Lists that grow as they like take up to twice their room.
        for number, size in enumerate(np.bincount(lists, minlength=self._index.nlist).tolist()):
            self._index.invlists.resize(number, size)
            self._index.invlists.resize(number, 0)
        for start in range(0, len(ids), _BLOCK):
            # What has changed meanwhile is brought over afterwards, whatever list it is put into.
            block, vectors = source.held(ids[start : start + _BLOCK])
            self._enter(block, vectors, lists[ids.searchsorted(block)])

    def _enter(self, ids: Ids, vectors: FloatMatrix, nearest: NDArray[np.int64]) -> None:
        if not len(ids):
            return
        with self._lock.exclusive():
            self._drop(ids)
            rows = self._rows.add(ids)
            if self._rows.end > len(self._lists):
                room = np.zeros(self._rows.end + self._rows.end // 4, dtype=np.int32)
                room[: len(self._lists)] = self._lists
                self._lists = room
            self._lists[rows] = nearest
            self._index.add_core(
                len(rows), faiss.swig_ptr(vectors), faiss.swig_ptr(rows), faiss.swig_ptr(nearest)
            )
            self._forget_allowed()

    def remove(self, ids: Sequence[int]) -> None:
        with self._lock.exclusive():
            self._drop(np.asarray(ids, dtype=np.int64))

    def search(
        self, vector: FloatMatrix, k: int, *, allowed: Ids | None = None
    ) -> tuple[Ids, FloatMatrix]:
        """The k nearest of `allowed` (all, if None) to one vector of shape (dimension,), as far as
        they lie in the lists that are searched.

        Equal cosines come in the order of their ids. Few allowed ones are all compared. For more,
        their nearest may lie farther away, so more lists are searched than without a filter: as
        many as take no longer, since most of what is in them is passed by.
        """
        query = np.ascontiguousarray(vector, dtype=np.float32)
        faiss.omp_set_num_threads(1)
        with self._lock.shared():
            if allowed is None:
                rows, cosines = self._search_all(query, k)
            else:
                chosen = self._allowed.of(allowed, self._rows)
                if len(chosen.rows) <= _FEW:
                    rows, cosines = self._search_few(query, k, chosen)
                else:
                    rows, cosines = self._search_allowed(query, k, chosen)
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
            return self._vectors(rows)

    def held(self, ids: Ids) -> tuple[Ids, FloatMatrix]:
        """Those of the ids that are present, with their vectors."""
        with self._lock.shared():
            rows, present = self._rows.rows_of(ids)
            return ids[present], self._vectors(rows[present])

    def save(self, path: Path, *, revision: int) -> None:
        """Write atomically, with the model's identity, the store's revision and a checksum.

        Searches go on meanwhile, changes wait.
        """
        with self._lock.shared():
            header = header_of(self._identity, count=len(self._rows), revision=revision) | {
                "kind": IVF,
                "rows": self._rows.end,
                "trained": self.trained,
                "probes": self.probes,
            }

            def payload(write: Write) -> None:
                # The id of each row, -1 for one that belongs to none; then the lists.
                used = self._rows.used
                ids = np.full(len(used), -1, dtype="<i8")
                ids[used] = self._rows.ids_of(np.flatnonzero(used))
                write(ids.tobytes())
                faiss.write_index(self._index, faiss.PyCallbackIOWriter(write))

            write_file(path, header, payload)

    @classmethod
    def load(cls, path: Path, *, identity: ModelIdentity, revision: int) -> FaissIvfIndex:
        """Read an index file that was made by `identity` from exactly this `revision`.

        Raises:
            IndexFileError: it is missing, damaged, stale or made by another model.
        """
        header, file = open_file(path, identity=identity, revision=revision)
        with file:
            ids = np.frombuffer(file.read(8 * header["rows"]), dtype="<i8").astype(np.int64)
            try:
                index: Any = faiss.read_index(faiss.PyCallbackIOReader(file.read))
            except RuntimeError as error:
                raise IndexFileError("the index cannot be read by this version of FAISS") from error
        used = ids >= 0
        if int(used.sum()) != header["count"] or index.ntotal != header["count"]:
            raise IndexFileError("the index does not hold what its header says")
        made = cls(identity, index, trained=header["trained"], probes=header["probes"])
        made._rows = RowMap.of(ids)
        made._lists = np.zeros(len(ids), dtype=np.int32)
        for number in range(index.nlist):
            size = index.invlists.list_size(number)
            if size:
                made._lists[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
        return made

    def _drop(self, ids: Ids) -> None:
        rows = self._rows.remove(ids)
        if len(rows):
            self._index.remove_ids(faiss.IDSelectorArray(rows))
            self._forget_allowed()

    def _forget_allowed(self) -> None:
        self._allowed.clear()
        self._counts.clear()
        self._copies.clear()

    def _vectors(self, rows: Rows) -> FloatMatrix:
        found: FloatMatrix = np.empty((len(rows), self.dimension), dtype=np.float32)
        if len(rows):
            self._index.reconstruct_batch(np.ascontiguousarray(rows), x=found)
        return found

    def _search_all(self, query: FloatMatrix, k: int) -> tuple[Rows, FloatMatrix]:
        parameters = faiss.SearchParametersIVF(nprobe=self.probes)

        def nearest(wanted: int) -> tuple[Rows, FloatMatrix]:
            cosines, rows = self._index.search(query[None], wanted, params=parameters)
            return rows[0], cosines[0]

        return settled(nearest, k, len(self._rows))

    def _search_few(self, query: FloatMatrix, k: int, allowed: Allowed) -> tuple[Rows, FloatMatrix]:
        def copied() -> Any:
            few = faiss.IndexScalarQuantizer(
                self.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            few.add(self._vectors(allowed.rows))
            return few

        few = self._copies.of(allowed, copied)

        def nearest(wanted: int) -> tuple[Rows, FloatMatrix]:
            cosines, places = few.search(query[None], wanted)
            return places[0], cosines[0]

        places, cosines = settled(nearest, k, len(allowed.rows))
        return allowed.rows[places], cosines

    def _search_allowed(
        self, query: FloatMatrix, k: int, allowed: Allowed
    ) -> tuple[Rows, FloatMatrix]:
        counts = self._counts.of(
            allowed, lambda: np.bincount(self._lists[allowed.rows], minlength=self._index.nlist)
        )
        share = len(allowed.rows) / len(self._rows)
        probes = self.probes / (_PASSING + (1 - _PASSING) * share)
        # Not by NumPy, whose threads take milliseconds to wake on a busy machine.
        scores = np.empty(len(self._centroids), dtype=np.float32)
        faiss.fvec_inner_products_ny(
            faiss.swig_ptr(scores),
            faiss.swig_ptr(query),
            faiss.swig_ptr(self._centroids),
            self.dimension,
            len(scores),
        )
        lists = _lists_to_search(scores, counts, probes)
        parameters = faiss.SearchParametersIVF(
            nprobe=len(lists), sel=faiss.IDSelectorBitmap(allowed.bits)
        )
        distances = np.zeros(len(lists), dtype=np.float32)  # only residual codes need them

        def nearest(wanted: int) -> tuple[Rows, FloatMatrix]:
            cosines = np.empty(wanted, dtype=np.float32)
            rows = np.empty(wanted, dtype=np.int64)
            self._index.search_preassigned_c(
                1,
                faiss.swig_ptr(query),
                wanted,
                faiss.swig_ptr(lists),
                faiss.swig_ptr(distances),
                faiss.swig_ptr(cosines),
                faiss.swig_ptr(rows),
                False,
                parameters,
            )
            return rows, cosines

        return settled(nearest, k, int(counts[lists].sum()))

    def _enough(self) -> int:
        """How many lists a search must look into, tried out on some of the vectors."""
        ids = self._rows.ids()
        random = np.random.default_rng(1)
        asked = self.held(np.sort(random.choice(ids, min(_ASKED, len(ids)), replace=False)))[1]
        lists: int = self._index.nlist
        true = [set(self._nearest(vector, lists)) for vector in asked]
        probes: int = max(1, _MIN_LISTS // 2, lists // _LEAST_SHARE)
        while probes < lists:
            found = sum(
                len(known & set(self._nearest(vector, probes)))
                for vector, known in zip(asked, true, strict=True)
            )
            if found >= _RECALL * sum(map(len, true)):
                return probes
            probes *= 2
        return lists

    def _nearest(self, vector: FloatMatrix, probes: int) -> list[int]:
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        rows: list[int] = self._index.search(vector[None], _NEIGHBOURS + 1, params=parameters)[1][
            0
        ].tolist()
        return rows[1:]  # the first is the vector itself


def _list_count(count: int) -> int:
    """The power of two next to twice the root, within bounds."""
    wanted = int(2 ** round(math.log2(2 * max(1, count) ** 0.5)))
    return min(_MAX_LISTS, max(_MIN_LISTS, wanted))


def _lists_to_search(
    scores: FloatMatrix, counts: NDArray[np.int64], probes: float
) -> NDArray[np.int64]:
    """The `probes` nearest lists, from each centroid's cosine and the number of allowed vectors in
    each list.

    Lists that hold none are passed over, and one that holds few for a list of this filter counts in
    part: what is allowed may well lie together, far from the question.
    """
    held = np.flatnonzero(counts)
    held = held[np.argsort(-scores[held], kind="stable")]
    weight = np.cumsum(np.minimum(1, counts[held] / counts[held].mean()))
    return held[: int(np.searchsorted(weight, min(probes, weight[-1]) - 1e-9)) + 1]
