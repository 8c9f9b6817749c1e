"""The port of an embedding model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.types import FloatMatrix


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a vector: vectors of different identities are never compared.

    All backends of one model share its identity, so their vectors must be near enough to be
    compared: docs/decisions/embedding.md says how near.
    """

    name: str
    dimension: int
    weights_sha256: str

    @property
    def key(self) -> str:
        """A short string that names the identity in the database and in index files."""
        return f"{self.name}:{self.dimension}:{self.weights_sha256[:16]}"


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What goes before each text; E5's are "query: " and "passage: "."""

    query: str = ""
    passage: str = ""

    def mark(self, weights_sha256: str) -> str:
        """The hash for an identity: vectors of other prefixes are vectors of another model."""
        if self == Prefixes():
            return weights_sha256
        marked = f"{weights_sha256}\0{self.query}\0{self.passage}"
        return hashlib.sha256(marked.encode()).hexdigest()


class Embedder(Protocol):
    """Turns texts into unit vectors. Synchronous and CPU-bound: never call it on the event loop."""

    @property
    def identity(self) -> ModelIdentity: ...

    @property
    def backend(self) -> str:
        """What computes the vectors and how exactly, such as "torch" or "onnx int8"."""

    @property
    def parallel(self) -> bool:
        """Whether several threads may embed at once, each on about one core; if not, one thread at
        a time may. `count_tokens` may be called from any thread at any time."""

    @property
    def max_tokens(self) -> int:
        """Tokens beyond this many (special tokens included) are not seen by the model."""

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text`, special tokens included, not truncated."""

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Passages: shape (len(texts), dimension), float32, each row of length 1."""

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        """Questions, likewise: some models want them marked, such as "query: …"."""
