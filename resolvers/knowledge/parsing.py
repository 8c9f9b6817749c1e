"""The port through which files become documents."""

from __future__ import annotations

from typing import Protocol

from rag.loading import FieldMapping
from rag.types import SourceDocument


class Parser(Protocol):
    """Reads files of people who may be careless or hostile."""

    async def parse(
        self, name: str, data: bytes, *, mapping: FieldMapping | None = None
    ) -> list[SourceDocument]:
        """The documents in a file, at least one; the suffix of `name` decides the format.

        Raises:
            LoadingError: one sentence that says why it cannot be read.
        """
