from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.embedding.fake import FakeEmbedder
from rag.evaluate.cache import CachedEmbedder, CacheError


def test_a_text_is_embedded_once(tmp_path: Path) -> None:
    """Also in a later run; the vectors are those of the model, in the order that was asked for."""
    model = FakeEmbedder()
    first = CachedEmbedder(model, tmp_path / "vectors")
    vectors = first.embed(["one", "two", "one"])
    assert model.batches == [2]
    assert (first.embedded, first.reused) == (2, 1)
    np.testing.assert_array_equal(vectors, FakeEmbedder().embed(["one", "two", "one"]))
    first.close()
    later = CachedEmbedder(model, tmp_path / "vectors")
    np.testing.assert_array_equal(later.embed(["two", "three"]), model.embed(["two", "three"]))
    assert (later.embedded, later.reused) == (1, 1)
    assert later.embed([]).shape == (0, 64)
    assert (later.identity, later.max_tokens) == (model.identity, 256)
    assert later.count_tokens("a b") == 4
    later.close()


def test_models_do_not_share_vectors(tmp_path: Path) -> None:
    """Each has a file of its own."""
    for dimension in (8, 16):
        cached = CachedEmbedder(FakeEmbedder(dimension=dimension), tmp_path)
        assert cached.embed(["same"]).shape == (1, dimension)
        cached.close()
    names = sorted(path.name for path in tmp_path.glob("*.sqlite3"))
    assert [name.split("-")[1] for name in names] == ["16", "8"]


def test_without_a_folder_vectors_are_kept_in_memory() -> None:
    """Within a run a text is still embedded once."""
    model = FakeEmbedder()
    cached = CachedEmbedder(model, None)
    cached.embed(["one"])
    cached.embed(["one"])
    assert model.batches == [1]
    cached.close()


def test_a_cache_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    """A damaged file, or a file where the folder should be."""
    place = tmp_path / "file"
    place.write_text("no folder", encoding="utf-8")
    with pytest.raises(CacheError, match="name another folder with --cache or use --no-cache"):
        CachedEmbedder(FakeEmbedder(), place)
