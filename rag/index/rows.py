"""Which row of an index's arrays belongs to which id, and which rows a search may look at."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Ids

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)
Key = TypeVar("Key")
Value = TypeVar("Value")

_FIRST_ROOM: Final = 1024
# Sets of ids whose rows are kept, so that those who may see the same need not look them up anew.
_KEPT: Final = 8


class RowMap:
    """Gives each id a row; rows that became free are given out again. Some 25 bytes per id.

    Ids that come in rising order, as a database counts them, are appended; others take time in
    proportion to all there are.
    """

    def __init__(self) -> None:
        self._count = 0
        self._known = 0  # entries of the two below, those without a row included
        self._sorted = np.zeros(0, dtype=np.int64)  # ids, ascending
        self._row_of = np.zeros(0, dtype=np.int64)  # the row of each; -1: it is gone
        self._id_of = np.zeros(0, dtype=np.int64)  # by row
        self._used = np.zeros(0, dtype=np.bool_)  # by row
        self._free: list[int] = []
        self.end = 0  # all rows are below

    @classmethod
    def of(cls, ids: Ids) -> RowMap:
        """The map in which `ids[row]` has this row; negative ones stand for rows that are free."""
        made = cls()
        used = ids >= 0
        made.end = len(ids)
        made._id_of = np.array(ids, dtype=np.int64)
        made._used = used
        made._free = np.flatnonzero(~used).tolist()
        made._count = int(used.sum())
        made._enter(made._id_of[used], np.flatnonzero(used))
        return made

    def __len__(self) -> int:
        return self._count

    @property
    def used(self) -> Mask:
        """Which rows below `end` belong to an id."""
        return self._used[: self.end]

    @property
    def holes(self) -> int:
        return len(self._free)

    def ids(self) -> Ids:
        """All ids, ascending."""
        known = self._sorted[: self._known]
        return known[self._row_of[: self._known] >= 0]

    def ids_of(self, rows: Rows) -> Ids:
        return self._id_of[rows]

    def rows_of(self, ids: Ids) -> tuple[Rows, Mask]:
        """The row of each id, and whether it has one (else the row means nothing)."""
        if not self._known:
            return np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.bool_)
        known = self._sorted[: self._known]
        places = np.minimum(known.searchsorted(ids), self._known - 1)
        rows = self._row_of[places]
        return rows, (known[places] == ids) & (rows >= 0)

    def add(self, ids: Ids) -> Rows:
        """Rows for ids that are new and distinct."""
        reused = [self._free.pop() for _ in range(min(len(ids), len(self._free)))]
        fresh = np.arange(self.end, self.end + len(ids) - len(reused))
        rows = np.concatenate([np.array(reused, dtype=np.int64), fresh])
        self.end += len(fresh)
        self._id_of = _with_room(self._id_of, self.end)
        self._used = _with_room(self._used, self.end)
        self._id_of[rows] = ids
        self._used[rows] = True
        self._enter(ids, rows)
        self._count += len(ids)
        return rows

    def remove(self, ids: Ids) -> Rows:
        """The rows of the ids that have one; they are free from now on."""
        wanted = np.unique(np.asarray(ids, dtype=np.int64))
        rows, present = self.rows_of(wanted)
        rows, wanted = rows[present], wanted[present]
        if len(rows):
            self._row_of[self._sorted[: self._known].searchsorted(wanted)] = -1
            self._used[rows] = False
            self._free += rows.tolist()
            self._count -= len(rows)
            if 2 * self._count < self._known:
                self._forget_gone()
        return rows

    def _enter(self, ids: Ids, rows: Rows) -> None:
        order = np.argsort(ids)
        ids, rows = ids[order], rows[order]
        if len(ids) and self._known and ids[0] <= self._sorted[self._known - 1]:
            self._forget_gone()
            known = self._sorted[: self._known]
            places = known.searchsorted(ids)
            self._sorted = np.insert(known, places, ids)
            self._row_of = np.insert(self._row_of[: self._known], places, rows)
            self._known = len(self._sorted)
            return
        end = self._known + len(ids)
        self._sorted = _with_room(self._sorted, end)
        self._row_of = _with_room(self._row_of, end)
        self._sorted[self._known : end] = ids
        self._row_of[self._known : end] = rows
        self._known = end

    def _forget_gone(self) -> None:
        stay = self._row_of[: self._known] >= 0
        self._sorted = self._sorted[: self._known][stay]
        self._row_of = self._row_of[: self._known][stay]
        self._known = len(self._sorted)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rows that a search may look at, ascending, and the same as bits for FAISS."""

    rows: Rows
    bits: NDArray[np.uint8]


class KeptByObject(Generic[Key, Value]):
    """What was made of objects lately, for those very objects; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        # The object is kept, too: as long as it lives, no other one has its number.
        self._kept: OrderedDict[int, tuple[Key, Value]] = OrderedDict()

    def of(self, key: Key, make: Callable[[], Value]) -> Value:
        with self._lock:
            kept = self._kept.get(id(key))
            if kept is not None:
                self._kept.move_to_end(id(key))
                return kept[1]
        value = make()
        with self._lock:
            self._kept[id(key)] = (key, value)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


class AllowedRows:
    """The rows of sets of ids. An array that cannot be written is looked up once, until `clear`."""

    def __init__(self) -> None:
        self._kept = KeptByObject[Ids, Allowed](_KEPT)

    def of(self, ids: Ids, rows: RowMap) -> Allowed:
        def look_up() -> Allowed:
            found, present = rows.rows_of(ids)
            chosen = np.zeros(rows.end, dtype=np.bool_)
            chosen[found[present]] = True
            return Allowed(np.flatnonzero(chosen), np.packbits(chosen, bitorder="little"))

        return look_up() if ids.flags.writeable else self._kept.of(ids, look_up)

    def clear(self) -> None:
        """Call it whenever an id has got or lost its row."""
        self._kept.clear()


def _with_room(array: NDArray[Kind], size: int) -> NDArray[Kind]:
    if size <= len(array):
        return array
    larger = np.zeros(max(_FIRST_ROOM, size + size // 4), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
