"""Vectors kept on disk between runs, by model and text."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rag.embedding.base import Embedder, ModelIdentity
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

_SHORT: Final = 40  # characters
_VARIABLES: Final = 500  # per statement; SQLite allows 999 at least


class CacheError(EmbeddingError):
    """The cache cannot be used; the message says what to do."""


class CachedEmbedder:
    """An `Embedder` that asks another one only for texts that it has not seen.

    With a folder, vectors are kept in one SQLite file per model in it, 4 bytes a dimension; without
    one, in memory. `model` is that other one, `embedded` and `reused` count texts. Threads may
    share it if they may share the model.
    """

    def __init__(self, embedder: Embedder, folder: Path | None) -> None:
        """
        Raises:
            CacheError: the folder or its file cannot be used.
        """
        self.model = embedder
        self.embedded = 0
        self.reused = 0
        self._lock = threading.Lock()  # of the database and the counts, never held while embedding
        path = ":memory:"
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                # Backends of one model have its identity, but not exactly its vectors.
                other = "" if embedder.backend == "torch" else f" {embedder.backend}"
                name = re.sub(r"[^\w.-]+", "-", f"{embedder.identity.key}{other}")
                path = str(folder / f"{name}.sqlite3")
            self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS vectors"
                " (text BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise CacheError(
                f"the cache {folder} cannot be used ({error}); name another folder with --cache "
                "or use --no-cache"
            ) from error

    @property
    def identity(self) -> ModelIdentity:
        return self.model.identity

    @property
    def backend(self) -> str:
        return self.model.backend

    @property
    def parallel(self) -> bool:
        return self.model.parallel

    @property
    def max_tokens(self) -> int:
        return self.model.max_tokens

    def count_tokens(self, text: str) -> int:
        return self.model.count_tokens(text)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        return self._embed(texts, self.model.embed, mark=b"")

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        # Some models give a question another vector than the same text as a passage.
        return self._embed(texts, self.model.embed_queries, mark=b"query\0")

    def _embed(
        self, texts: Sequence[str], embed: Callable[[Sequence[str]], FloatMatrix], *, mark: bytes
    ) -> FloatMatrix:
        result = np.zeros((len(texts), self.identity.dimension), dtype=np.float32)
        keys = [hashlib.sha256(mark + text.encode("utf-8")).digest() for text in texts]
        with self._lock:
            known = self._read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            fresh: dict[bytes, FloatMatrix] = {}
            for group in _of_similar_length(missing):
                vectors = embed([missing[key] for key in group])
                fresh.update(zip(group, vectors, strict=True))
            with self._lock:
                self._write(fresh)
            known |= fresh
        with self._lock:
            self.embedded += len(missing)
            self.reused += len(texts) - len(missing)
        for row, key in zip(result, keys, strict=True):
            row[:] = known[key]
        return result

    def close(self) -> None:
        self._database.close()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, FloatMatrix]:
        found: dict[bytes, FloatMatrix] = {}
        for start in range(0, len(keys), _VARIABLES):
            part = keys[start : start + _VARIABLES]
            marks = ",".join("?" * len(part))
            rows = self._database.execute(
                f"SELECT text, vector FROM vectors WHERE text IN ({marks})",  # noqa: S608
                part,
            )
            for key, blob in rows:
                found[key] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        return found

    def _write(self, vectors: dict[bytes, FloatMatrix]) -> None:
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
                [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()],
            )


def _of_similar_length(texts: Mapping[bytes, str]) -> Iterator[list[bytes]]:
    """Groups in which no text is more than twice as long as the shortest: a model pads a batch to
    its longest text, and a passage comes with its sentences."""
    group: list[bytes] = []
    shortest = 0
    for key in sorted(texts, key=lambda key: len(texts[key])):
        if group and len(texts[key]) > 2 * max(shortest, _SHORT):
            yield group
            group = []
        if not group:
            shortest = len(texts[key])
        group.append(key)
    if group:
        yield group
