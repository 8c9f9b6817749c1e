"""Fixtures for the retrieval library: the real embedding model, loaded once."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from rag.embedding.base import Embedder


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The default model."""
    from rag.embedding.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder.load()
