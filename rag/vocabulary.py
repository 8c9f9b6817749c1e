"""The terms of an index by number, and which of them look alike."""

from __future__ import annotations

from array import array
from collections import defaultdict
from functools import lru_cache
from typing import Final

import numpy as np

# Letters per piece of a term. Compounds, other forms and misspellings share many pieces with the
# term that was asked for: "Lieferzeit" and "Lieferzeiten", "Versand" and "Versandkosten".
_PIECE: Final = 3
_MIN_LENGTH: Final = 4
_MAX_LENGTH: Final = 30
_MIN_LIKENESS: Final = 0.4
_MAX_SIMILAR: Final = 16


class Vocabulary:
    """Numbers terms as they come. A term once known stays known."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._by_piece: dict[str, array[int]] = defaultdict(lambda: array("i"))
        self._piece_counts = array("i")
        self._similar: dict[str, tuple[tuple[int, float], ...]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, term: str) -> int:
        """The number of a term, a new one for a new term."""
        number = self._numbers.get(term)
        if number is None:
            number = self._numbers[term] = len(self._numbers)
            pieces = _pieces(term) if _has_pieces(term) else frozenset[str]()
            self._piece_counts.append(len(pieces))
            for piece in pieces:
                self._by_piece[piece].append(number)
            self._similar.clear()
        return number

    def find(self, term: str) -> int | None:
        """The number of a known term."""
        return self._numbers.get(term)

    def similar(self, term: str) -> tuple[tuple[int, float], ...]:
        """Other terms that look like this one, with their likeness, best first.

        The likeness is Dice's coefficient of their pieces of three letters, 0..1 (Adamson and
        Boreham, "The Use of an Association Measure Based on Character Structure", 1974). Short
        terms and those with digits are like no other.
        """
        found = self._similar.get(term)
        if found is None:
            found = self._similar[term] = self._look_up(term)
        return found

    def _look_up(self, term: str) -> tuple[tuple[int, float], ...]:
        if not _has_pieces(term):
            return ()
        pieces = _pieces(term)
        lists = [
            np.frombuffer(self._by_piece[piece], dtype=np.int32)
            for piece in pieces
            if piece in self._by_piece
        ]
        if not lists:
            return ()
        shared = np.bincount(np.concatenate(lists))
        numbers = np.flatnonzero(shared >= _MIN_LIKENESS * len(pieces) / 2)
        counts = np.frombuffer(self._piece_counts, dtype=np.int32)[numbers]
        likeness = 2 * shared[numbers] / (len(pieces) + counts)
        likeness[numbers == self._numbers.get(term, -1)] = 0
        places = np.flatnonzero(likeness >= _MIN_LIKENESS)
        places = places[np.lexsort((numbers[places], -likeness[places]))][:_MAX_SIMILAR]
        return tuple((int(numbers[place]), float(likeness[place])) for place in places)


def _has_pieces(term: str) -> bool:
    return _MIN_LENGTH <= len(term) <= _MAX_LENGTH and term.isalpha()


@lru_cache(maxsize=50_000)
def _pieces(term: str) -> frozenset[str]:
    padded = f"_{term}_"
    return frozenset(padded[start : start + _PIECE] for start in range(len(padded) - _PIECE + 1))
