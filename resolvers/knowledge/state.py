"""What the knowledge base tells about itself."""

from __future__ import annotations

from dataclasses import dataclass


class NotReady(Exception):
    """The knowledge base cannot be searched, and will not be: the message says why."""


class Superseded(Exception):
    """The document was deleted or sent anew while a version of it was being made."""


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the indexing is. `documents` is how many there are, `chunks` what is searchable."""

    documents: int
    ready: int
    failed: int
    chunks: int
