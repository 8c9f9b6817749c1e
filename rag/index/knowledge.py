"""What is searched: the dense and the lexical index together, with each passage's properties."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexFileError
from rag.index.base import DenseIndex
from rag.index.catalogue import Catalogue, Properties
from rag.index.lexical import (
    LexicalIndex,
    LexicalTerms,
    LexicalText,
    PreparedQuery,
    QueryProfile,
)
from rag.ranking import first_stage
from rag.types import NO_FILTER, Filter, FloatMatrix

log = logging.getLogger("groundql.index")

# So many passages each retriever proposes, at least.
_POOL: Final = 40
# So many passages of each of two questions tell whether they are about the same, and not more than
# this share of all: among a handful, all are near.
_FOUND: Final = 5
_FOUND_SHARE: Final = 0.05
# Two passages that share this part of their terms say the same; only the better one is a hit.
_DUPLICATE: Final = 0.9
_BITS: Final = 256
_ROUNDING: Final = 1e-6
# The terms of so many passages may be in memory at once, as texts.
_READ_BEFORE: Final = 10_000


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """The properties of a passage that searching needs; `text` is that of the chunk alone."""

    chunk_id: int
    document_id: str
    title: str
    type: str
    category: str
    language: str | None
    headings: tuple[str, ...]
    text: str
    collection: str = ""  # of no collection: no search that is restricted to some finds it


@dataclass(frozen=True, slots=True)
class Candidate:
    """A found passage. `cosine` is -1..1, `lexical` and `coverage` are 0..1 (see `LexicalScores`),
    `fused` is what candidates are ordered by; `vector` has shape (dimension,)."""

    chunk_id: int
    cosine: float
    lexical: float
    coverage: float
    fused: float
    vector: FloatMatrix = field(repr=False, compare=False)


class KnowledgeIndex:
    """Hybrid search over passages. Thread-safe; a change is seen by searches as a whole or not."""

    def __init__(self, dense: DenseIndex, lexical: LexicalIndex) -> None:
        self.dense = dense
        self._lexical = lexical
        self._lock = threading.RLock()
        self._catalogue = Catalogue()
        self._tidy = threading.Event()  # no merge of the lexical index is under way
        self._tidy.set()

    def __len__(self) -> int:
        return len(self._catalogue)

    def document_ids(self) -> frozenset[str]:
        with self._lock:
            return self._catalogue.documents()

    def properties(self) -> list[Properties]:
        """What a filter may ask of each passage, by id."""
        with self._lock:
            return self._catalogue.properties()

    def collections(self, chunk_ids: Iterable[int]) -> dict[int, str]:
        """The collections of passages; unknown ids are left out."""
        with self._lock:
            return self._catalogue.collections(chunk_ids)

    def count(self, filter: Filter = NO_FILTER) -> int:
        """How many passages a filter leaves."""
        with self._lock:
            allowed = self._catalogue.allowed(filter)
            return len(self._catalogue) if allowed is None else len(allowed)

    def restore(self, entries: Sequence[IndexEntry]) -> None:
        """Fill in the properties for vectors that `dense` holds already (loaded from its file).

        Raises:
            IndexFileError: the vectors are not those of exactly these entries.
        """
        ids = np.array([entry.chunk_id for entry in entries], dtype=np.int64)
        with self._lock:
            if not np.array_equal(self.dense.ids(), np.sort(ids)):
                raise IndexFileError("the index holds other passages than the store")
            self._enter(entries, _texts(entries))

    def add(self, entries: Sequence[IndexEntry], vectors: FloatMatrix) -> None:
        """Add passages with their vectors, shape (len(entries), dimension); ids are replaced."""
        self.apply(entries, vectors, ())

    def remove_documents(self, document_ids: Iterable[str]) -> None:
        """Remove all passages of documents; unknown ids are ignored."""
        with self._lock:
            self._remove(self._catalogue.of_documents(document_ids))

    def move(self, document_id: str, collection: str) -> None:
        """Put all passages of a document into another collection; an unknown id is ignored."""
        with self._lock:
            self._catalogue.move(document_id, collection)

    def apply(
        self,
        add_entries: Sequence[IndexEntry],
        add_vectors: FloatMatrix,
        remove_chunk_ids: Iterable[int] = (),
    ) -> None:
        """Remove and add in one step, so that no search sees the state between.

        Raises:
            ValueError: the vectors do not fit the entries; nothing has changed.
        """
        ids = np.array([entry.chunk_id for entry in add_entries], dtype=np.int64)
        passages: Sequence[LexicalText | LexicalTerms] = _texts(add_entries)
        if len(add_entries) <= _READ_BEFORE:  # without the lock: searches go on
            passages = self._lexical.read(_texts(add_entries))
        with self._lock:
            self.dense.add(ids, add_vectors)  # first, because it may refuse
            added = set(ids.tolist())
            self._remove({*remove_chunk_ids} - added)
            self._catalogue.remove(added)
            self._enter(add_entries, passages)
            self._merge_if_due()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no merge is under way; False if that takes longer than `timeout` seconds."""
        return self._tidy.wait(timeout)

    def refresh(self) -> None:
        """Do what the first search after a change would do."""
        with self._lock:
            self._lexical.prepare("")

    def prepare(self, query_text: str) -> PreparedQuery:
        """The part of `search` that needs no vector, to be done while the query is embedded."""
        with self._lock:
            return self._lexical.prepare(query_text)

    def combine(self, queries: Sequence[tuple[PreparedQuery, float]]) -> PreparedQuery:
        """Several prepared texts as one query, by weight; the first is the question proper."""
        with self._lock:
            return self._lexical.combine(queries)

    def agreement(self, one: FloatMatrix, other: FloatMatrix, filter: Filter = NO_FILTER) -> float:
        """How far two vectors, shape (dimension,), find the same passages; 0 if they find the best
        of each other, and less the farther that is: what each loses by the passages that the other
        finds, in its best cosine. 0 where there are no passages."""
        with self._lock:
            allowed = self._catalogue.allowed(filter)
            count = len(self._catalogue) if allowed is None else len(allowed)
            depth = max(1, min(_FOUND, int(_FOUND_SHARE * count)))
            found, best = self.dense.search(one, depth, allowed=allowed)
            others, others_best = self.dense.search(other, depth, allowed=allowed)
            if not len(found) or not len(others):
                return 0.0
            mine, theirs = self.dense.vectors(found), self.dense.vectors(others)
        lost = float(best[0]) - float((theirs @ one).max())
        others_lost = float(others_best[0]) - float((mine @ other).max())
        return min(0.0, -(lost + others_lost))

    def profile(self, query: PreparedQuery, language: str | None) -> QueryProfile:
        """The terms of a query's first text, as passages in a language are searched for them. It
        takes no lock, so it may be asked on the event loop."""
        return self._lexical.profile(query, language)

    def search(
        self,
        query: str | PreparedQuery,
        query_vector: FloatMatrix,
        k: int,
        filter: Filter = NO_FILTER,
        *,
        dense_weight: float = 1.0,
        considered: list[Candidate] | None = None,
    ) -> list[Candidate]:
        """The k best passages for a query, best first, without near-duplicates.

        `query_vector` has shape (dimension,); `dense_weight` is what its cosines count. All that
        were compared are added to `considered`, best first.
        """
        with self._lock:
            allowed = self._catalogue.allowed(filter)
            if not len(self._catalogue) or (allowed is not None and not len(allowed)):
                return []
            pool = max(_POOL, 2 * k)
            ids, _ = self.dense.search(query_vector, pool, allowed=allowed)
            if isinstance(query, str):
                query = self._lexical.prepare(query)
            matching = self._lexical.search(query, pool, allowed=allowed)
            ids = np.union1d(ids, matching)
            vectors = self.dense.vectors(ids)
            # Not by `@`, whose threads take milliseconds to wake on a busy machine.
            cosines = np.einsum("rd,d->r", vectors, query_vector)
            lexical = self._lexical.score(query, ids)
            fused = first_stage(cosines, lexical.scores, dense_weight=dense_weight)
            best = [
                Candidate(
                    chunk_id=int(ids[row]),
                    cosine=float(cosines[row]),
                    lexical=float(lexical.scores[row]),
                    coverage=float(lexical.coverage[row]),
                    fused=float(fused[row]),
                    vector=vectors[row],
                )
                # Rounded, because equal passages differ in the last digit.
                for row in np.lexsort((ids, -np.round(fused, 5))).tolist()
            ]
            if considered is not None:
                considered += best
            return self._distinct(best, k)

    def _merge_if_due(self) -> None:
        """Merge large parts of the lexical index beside searches. Call it with the lock held."""
        if not self._tidy.is_set():
            return
        work = self._lexical.merge_due()
        if work is not None:
            self._tidy.clear()
            threading.Thread(
                target=self._merge, args=[work], name="lexical-merge", daemon=True
            ).start()

    def _merge(self, work: Callable[[], Callable[[], None]] | None) -> None:
        try:
            while work is not None:
                adopt = work()
                with self._lock:
                    adopt()
                    work = self._lexical.merge_due()
                    if work is None:
                        self._tidy.set()
        except Exception:
            # Searches take a little longer; the next change tries again.
            log.exception("The lexical index could not be merged")
            self._tidy.set()

    def _distinct(self, candidates: list[Candidate], k: int) -> list[Candidate]:
        ids = np.array([candidate.chunk_id for candidate in candidates], dtype=np.int64)
        kept: list[Candidate] = []
        seen: list[_Sketch] = []
        for candidate, terms in zip(candidates, self._lexical.terms(ids), strict=True):
            if len(kept) == k:
                break
            sketch = _Sketch(terms)
            if not any(sketch.says_the_same(other) for other in seen):
                kept.append(candidate)
                seen.append(sketch)
        return kept

    def _enter(
        self, entries: Sequence[IndexEntry], passages: Sequence[LexicalText | LexicalTerms]
    ) -> None:
        self._catalogue.add([_properties(entry) for entry in entries])
        self._lexical.add(passages)

    def _remove(self, chunk_ids: set[int]) -> None:
        self._catalogue.remove(chunk_ids)
        self.dense.remove(list(chunk_ids))
        self._lexical.remove(list(chunk_ids))


def _texts(entries: Sequence[IndexEntry]) -> list[LexicalText]:
    return [
        LexicalText(
            entry.chunk_id, "\n".join([entry.title, *entry.headings]), entry.text, entry.language
        )
        for entry in entries
    ]


def _properties(entry: IndexEntry) -> Properties:
    return Properties(
        chunk_id=entry.chunk_id,
        document_id=entry.document_id,
        type=entry.type,
        category=entry.category,
        language=entry.language or "",
        collection=entry.collection,
    )


class _Sketch:
    """A passage's terms, so that most passages that differ are told apart by 256 bits."""

    __slots__ = ("_bits", "_terms")

    def __init__(self, terms: NDArray[np.int32]) -> None:
        self._terms = terms
        marked = np.zeros(_BITS, dtype=np.bool_)
        marked[terms % _BITS] = True
        self._bits = int.from_bytes(np.packbits(marked).tobytes(), "big")

    def says_the_same(self, other: _Sketch) -> bool:
        """Whether two passages share `_DUPLICATE` of their terms (Jaccard)."""
        both = len(self._terms) + len(other._terms)
        # Each bit that differs stands for a term at least that only one of them has.
        apart = (self._bits ^ other._bits).bit_count()
        if not both or apart * (1 + _DUPLICATE) > (1 - _DUPLICATE) * both + _ROUNDING:
            return False
        shared = len(np.intersect1d(self._terms, other._terms, assume_unique=True))
        return shared >= _DUPLICATE * (both - shared)
