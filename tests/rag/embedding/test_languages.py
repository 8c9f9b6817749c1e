from __future__ import annotations

import pytest

from rag.embedding.languages import known_languages


@pytest.mark.parametrize(
    "model",
    ["all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2", "BAAI/bge-small-en-v1.5",
     "intfloat/e5-small-v2", "my-model-en"],
)  # fmt: skip
def test_english_models_are_known_by_name(model: str) -> None:
    """Their cosines count less for other languages."""
    assert known_languages(model) == frozenset({"en"})


@pytest.mark.parametrize(
    "model",
    ["intfloat/multilingual-e5-small", "paraphrase-multilingual-MiniLM-L12-v2", "BAAI/bge-m3",
     "fake", "token-bench"],
)  # fmt: skip
def test_other_models_are_taken_to_know_all(model: str) -> None:
    """A multilingual or unknown model loses nothing."""
    assert known_languages(model) is None
