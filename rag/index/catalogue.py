"""The properties of passages, column by column, and which passages a filter leaves."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Ids
from rag.index.rows import Mask, RowMap, Rows
from rag.types import Filter

# Filters whose passages are kept until something changes; each takes 8 bytes for each it leaves.
_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Properties:
    """What a filter may ask of a passage."""

    chunk_id: int
    document_id: str
    type: str
    category: str
    language: str
    collection: str


class _Column:
    """One property of all rows, each value as a number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.values: list[str] = []
        self._codes = np.zeros(0, dtype=np.int32)
        self._counts = np.zeros(0, dtype=np.int64)  # rows by number

    def set(self, rows: Rows, values: Sequence[str]) -> None:
        codes = np.array([self._number(value) for value in values], dtype=np.int32)
        if len(rows) and (end := int(rows.max()) + 1) > len(self._codes):
            room = np.zeros(end + end // 4, dtype=np.int32)
            room[: len(self._codes)] = self._codes
            self._codes = room
        if len(self.values) > len(self._counts):
            room_for_counts = np.zeros(2 * len(self.values), dtype=np.int64)
            room_for_counts[: len(self._counts)] = self._counts
            self._counts = room_for_counts
        self._codes[rows] = codes
        np.add.at(self._counts, codes, 1)

    def clear(self, rows: Rows) -> None:
        np.subtract.at(self._counts, self._codes[rows], 1)

    def value(self, row: int) -> str:
        return self.values[int(self._codes[row])]

    def count(self, values: Iterable[str]) -> int:
        """How many rows have one of these values."""
        numbers = {self.numbers[value] for value in values if value in self.numbers}
        return sum(int(self._counts[number]) for number in numbers)

    def are(self, rows: Rows | slice, values: Iterable[str]) -> Mask:
        """Which of some rows have one of these values."""
        numbers = [self.numbers[value] for value in set(values) if value in self.numbers]
        codes = self._codes[rows]
        wanted = np.zeros(len(self.values) + 1, dtype=np.bool_)
        wanted[numbers] = True
        return np.asarray(wanted[codes], dtype=np.bool_)

    def _number(self, value: str) -> int:
        number = self.numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Catalogue:
    """Some 60 bytes per passage. Its owner guards it against concurrent use."""

    def __init__(self) -> None:
        self._rows = RowMap()
        self._columns: dict[str, _Column] = {
            name: _Column() for name in ("type", "category", "language", "collection", "document")
        }
        self._by_document: dict[str, array[int]] = {}  # the ids of its passages
        self._kept: OrderedDict[Filter, Ids] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, entries: Sequence[Properties]) -> None:
        """Passages with ids that are new and distinct."""
        if not entries:
            return
        rows = self._rows.add(np.array([entry.chunk_id for entry in entries], dtype=np.int64))
        for name, values in (
            ("type", [entry.type for entry in entries]),
            ("category", [entry.category for entry in entries]),
            ("language", [entry.language for entry in entries]),
            ("collection", [entry.collection for entry in entries]),
            ("document", [entry.document_id for entry in entries]),
        ):
            self._columns[name].set(rows, values)
        for entry in entries:
            self._by_document.setdefault(entry.document_id, array("q")).append(entry.chunk_id)
        self._kept.clear()

    def remove(self, chunk_ids: Iterable[int]) -> None:
        """Forget passages; unknown ids are ignored."""
        ids = np.fromiter(chunk_ids, dtype=np.int64)
        found, present = self._rows.rows_of(ids)
        gone = ids[present]
        documents = {self._columns["document"].value(row) for row in found[present].tolist()}
        rows = self._rows.remove(gone)
        for column in self._columns.values():
            column.clear(rows)
        removed = set(gone.tolist())
        for document in documents:
            rest = array("q", (one for one in self._by_document[document] if one not in removed))
            if rest:
                self._by_document[document] = rest
            else:
                del self._by_document[document]
        self._kept.clear()

    def move(self, document_id: str, collection: str) -> None:
        """Put all passages of a document into another collection; an unknown id is ignored."""
        rows = self._rows_of_documents([document_id])
        self._columns["collection"].clear(rows)
        self._columns["collection"].set(rows, [collection] * len(rows))
        self._kept.clear()

    def properties(self) -> list[Properties]:
        """Of all passages, by id."""
        ids = self._rows.ids()
        rows = self._rows.rows_of(ids)[0].tolist()
        of = self._columns
        return [
            Properties(
                chunk_id=number,
                document_id=of["document"].value(row),
                type=of["type"].value(row),
                category=of["category"].value(row),
                language=of["language"].value(row),
                collection=of["collection"].value(row),
            )
            for number, row in zip(ids.tolist(), rows, strict=True)
        ]

    def documents(self) -> frozenset[str]:
        return frozenset(self._by_document)

    def of_documents(self, document_ids: Iterable[str]) -> set[int]:
        """The ids of the passages of documents."""
        return {one for name in document_ids for one in self._by_document.get(name, ())}

    def collections(self, chunk_ids: Iterable[int]) -> dict[int, str]:
        """The collections of passages; unknown ids are left out."""
        ids = np.fromiter(chunk_ids, dtype=np.int64)
        rows, present = self._rows.rows_of(ids)
        column = self._columns["collection"]
        return {
            int(number): column.value(row)
            for number, row in zip(ids[present].tolist(), rows[present].tolist(), strict=True)
        }

    def allowed(self, filter: Filter) -> Ids | None:
        """The ids that a filter leaves, ascending, in an array that is the same one until something
        changes; None if they are all."""
        if filter.collections is not None and self._hold_all(filter.collections):
            # Most people may see everything, and should not pay for a list of it.
            filter = replace(filter, collections=None)
        if filter.is_empty():
            return None
        ids = self._kept.get(filter)
        if ids is None:
            ids = np.sort(self._rows.ids_of(self._leaves(filter)))
            ids.flags.writeable = False
            self._kept[filter] = ids
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return ids

    def _leaves(self, filter: Filter) -> Rows:
        wanted: list[tuple[str, tuple[str, ...]]] = []
        for name, values in (
            ("type", filter.types),
            ("category", filter.categories),
            ("language", filter.languages),
            ("collection", filter.collections),
        ):
            if values or (name == "collection" and values is not None):
                wanted.append((name, values))
        if filter.document_ids is not None:
            rows = self._rows_of_documents(filter.document_ids)
            for name, values in wanted:
                rows = rows[self._columns[name].are(rows, values)]
            return rows
        end = self._rows.end
        left: NDArray[np.bool_] = self._rows.used.copy()
        for name, values in wanted:
            left &= self._columns[name].are(slice(0, end), values)
        return np.flatnonzero(left)

    def _rows_of_documents(self, document_ids: Iterable[str]) -> Rows:
        ids = np.array(sorted(self.of_documents(document_ids)), dtype=np.int64)
        return self._rows.rows_of(ids)[0]

    def _hold_all(self, collections: Sequence[str]) -> bool:
        return self._columns["collection"].count(collections) == len(self)
