"""Which backend computes a model's vectors: torch, or ONNX Runtime, which is faster and smaller."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path

from rag.embedding.base import Embedder, Prefixes
from rag.embedding.centred import centred
from rag.embedding.packaged import DEFAULT_MODEL, is_default
from rag.errors import EmbeddingError, WeightsMismatch

log = logging.getLogger("groundql.embedding")


class Backend(StrEnum):
    """AUTO takes ONNX Runtime for the default model, whose loss was measured, else torch."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"


def load_embedder(
    name: str = DEFAULT_MODEL,
    *,
    backend: Backend = Backend.AUTO,
    prefixes: Prefixes | None = None,
    cache: Path | None = None,
) -> Embedder:
    """Load a model by name or folder. What ONNX Runtime needs is kept in the folder `cache`.

    Vectors of models that crowd them are moved apart: see `rag.embedding.centred`.

    Raises:
        WeightsMismatch: the packaged weights are not the expected ones.
        EmbeddingError: there is no such model, or it cannot be loaded by that backend.
    """
    embedder = _load(name, backend, prefixes, cache)
    return embedder if is_default(name) else centred(embedder)


def _load(name: str, backend: Backend, prefixes: Prefixes | None, cache: Path | None) -> Embedder:
    if backend is Backend.ONNX:
        return _load_onnx(name, prefixes, cache)
    if backend is Backend.AUTO and is_default(name):
        try:
            return _load_onnx(name, prefixes, cache)
        except WeightsMismatch:
            raise
        except (EmbeddingError, ImportError) as error:
            log.warning("torch computes the vectors, as ONNX Runtime cannot: %s", error)
    from rag.embedding.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder.load(name, prefixes=prefixes)


def _load_onnx(name: str, prefixes: Prefixes | None, cache: Path | None) -> Embedder:
    from rag.embedding.onnx_runtime import OnnxEmbedder

    return OnnxEmbedder.load(name, prefixes=prefixes, cache=cache)
