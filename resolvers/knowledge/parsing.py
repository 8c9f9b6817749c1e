"""The port through which files become documents."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from rag.loading import load_file
from rag.types import SourceDocument

SUFFIXES: Final = frozenset({".md", ".markdown", ".txt", ".html", ".htm"})
# A file that is sent, or lies in the folder. Bytes.
MAX_FILE: Final = 20 * 1024 * 1024


class Parser(Protocol):
    """Reads files of people who may be careless or hostile."""

    async def parse(self, name: str, data: bytes, *, mapping: Any = None) -> list[SourceDocument]:
        """The documents in a file, at least one; the suffix of `name` decides the format.

        Raises:
            LoadingError: one sentence that says why it cannot be read.
        """


class ThreadParser:
    """Reads in a thread of this process."""

    async def parse(self, name: str, data: bytes, *, mapping: Any = None) -> list[SourceDocument]:
        return [await asyncio.to_thread(load_file, name, data)]
