"""The port of an embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.types import FloatMatrix


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a vector: vectors of different identities are never compared."""

    name: str
    dimension: int
    weights_sha256: str

    @property
    def key(self) -> str:
        """A short string that names the identity in the database and in index files."""
        return f"{self.name}:{self.dimension}:{self.weights_sha256[:16]}"


class Embedder(Protocol):
    """Turns texts into unit vectors. Synchronous and CPU-bound: never call it on the event loop."""

    @property
    def identity(self) -> ModelIdentity: ...

    @property
    def max_tokens(self) -> int:
        """Tokens beyond this many (special tokens included) are not seen by the model."""

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text`, special tokens included, not truncated."""

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Passages: shape (len(texts), dimension), float32, each row of length 1."""

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        """Questions, likewise: some models want them marked, such as "query: …"."""
