"""Passwords that were stolen somewhere, in a file on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(rb"([0-9A-F]{40}):\d{1,12}\r?")
# A line has 41 bytes, up to 12 digits and one or two for its end.
_MAX_LINE: Final = 55
# How many lines are looked at before the file is used. Their order is checked, too.
_SAMPLES: Final = 200


class BreachedFileError(Exception):
    """The file cannot be used; the message says why."""


class BreachedPasswords:
    """A file in the form of Pwned Passwords: a line for each password, sorted, with its SHA-1 in
    upper-case hexadecimal, a colon, and how often it was found.

    It is searched where it lies, by halves: a read of 110 bytes for each doubling of its lines, so
    some 30 for a billion, and no memory. Safe to use from several threads.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file and looks at some of its lines.

        Raises:
            BreachedFileError
        """
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise BreachedFileError(error.strerror or str(error)) from None
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._file)

    def __contains__(self, password: str) -> bool:
        """Whether the password is in it.

        Raises:
            BreachedFileError: the file was changed, or cannot be read.
        """
        # How the file names passwords; nothing is kept under this hash.
        wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        low, high = 0, self._size()
        # What is looked for begins in [low, high), where a line begins at low.
        while low < high:
            start, end, found = self._line((low + high) // 2)
            if found == wanted:
                return True
            if found < wanted:
                low = end
            else:
                high = start
        return False

    def _check(self) -> None:
        state = os.fstat(self._file)
        if not stat.S_ISREG(state.st_mode):
            raise BreachedFileError("it is not a file")
        if not state.st_size:
            raise BreachedFileError("it is empty")
        before, at = b"", -1
        for number in range(_SAMPLES + 1):
            start, _, found = self._line((state.st_size - 1) * number // _SAMPLES)
            if start > at and found <= before:
                raise BreachedFileError("its lines are not sorted by their SHA-1")
            before, at = found, start

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _line(self, position: int) -> tuple[int, int, bytes]:
        """Where the line at a position begins, where the next one does, and its SHA-1."""
        start = max(0, position - _MAX_LINE)
        try:
            block = os.pread(self._file, 2 * _MAX_LINE, start)
        except OSError as error:
            raise BreachedFileError(error.strerror or str(error)) from None
        here = position - start
        first = block.rfind(b"\n", 0, here) + 1
        last = block.find(b"\n", here)
        line = block[first:] if last < 0 else block[first:last]
        match = _LINE.fullmatch(line)
        if match is None:
            raise BreachedFileError(
                "its lines must be a SHA-1 in upper case, a colon and a number, sorted"
            )
        return start + first, start + first + len(line) + 1, match[1]
