from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from rag.embedding.base import ModelIdentity
from rag.errors import IndexFileError
from rag.index.faiss_flat import FaissFlatIndex
from rag.types import FloatMatrix

IDENTITY = ModelIdentity("model", 8, "a" * 64)


def vectors(count: int, *, seed: int = 0) -> FloatMatrix:
    rows = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def index_of(rows: FloatMatrix) -> FaissFlatIndex:
    index = FaissFlatIndex(IDENTITY)
    index.add(np.arange(1, len(rows) + 1), rows)
    return index


def test_search_gives_the_exact_order() -> None:
    """Ids come by falling inner product, no more than there are."""
    rows = vectors(50)
    index = index_of(rows)
    ids, cosines = index.search(rows[6], 10)
    products = rows @ rows[6]
    assert ids.tolist() == (np.argsort(-products)[:10] + 1).tolist()
    np.testing.assert_allclose(cosines, np.sort(products)[::-1][:10], atol=1e-6)
    assert len(index.search(rows[0], 100)[0]) == 50 == len(index)


def test_search_is_restricted_inside() -> None:
    """The k nearest of the allowed ids, also if others are nearer; unknown ids do not matter."""
    rows = vectors(50)
    index = index_of(rows)
    ids, _ = index.search(rows[6], 3, allowed=np.array([1, 30, 40, 50, 999]))
    products = rows @ rows[6]
    expected = sorted([1, 30, 40, 50], key=lambda number: -products[number - 1])[:3]
    assert ids.tolist() == expected
    assert index.search(rows[6], 3, allowed=np.zeros(0, dtype=np.int64))[0].tolist() == []


def test_equal_vectors_come_by_id() -> None:
    """Ties have one order."""
    row = vectors(1)
    index = FaissFlatIndex(IDENTITY)
    index.add(np.array([9, 3, 5]), np.repeat(row, 3, axis=0))
    assert index.search(row[0], 3)[0].tolist() == [3, 5, 9]


def test_vectors_are_replaced_and_removed() -> None:
    """An id has one vector; removing an unknown id does nothing."""
    rows = vectors(4)
    index = index_of(rows)
    index.add(np.array([2]), -rows[1:2])
    assert len(index) == 4
    assert index.search(-rows[1], 1)[0].tolist() == [2]
    index.remove([2, 3, 77])
    assert len(index) == 2
    assert sorted(index.search(rows[0], 9)[0].tolist()) == [1, 4]
    index.remove([1, 4])
    assert index.search(rows[0], 9)[0].tolist() == []
    index.add(np.zeros(0, dtype=np.int64), vectors(0))


def test_wrong_vectors_are_refused() -> None:
    """Shape, doubled ids and numbers that are not finite are errors, and nothing changes."""
    index = index_of(vectors(2))
    with pytest.raises(ValueError, match="shape"):
        index.add(np.array([5]), vectors(2))
    with pytest.raises(ValueError, match="twice"):
        index.add(np.array([5, 5]), vectors(2))
    with pytest.raises(ValueError, match="finite"):
        index.add(np.array([5]), np.full((1, 8), np.nan, dtype=np.float32))
    assert len(index) == 2


def test_a_saved_index_is_the_same(tmp_path: Path) -> None:
    """Saving and loading change nothing, and leave no other file behind."""
    rows = vectors(20)
    index = index_of(rows)
    path = tmp_path / "sub" / "index.faiss"
    index.save(path, revision=7)
    index.save(path, revision=8)
    loaded = FaissFlatIndex.load(path, identity=IDENTITY, revision=8)
    assert len(loaded) == 20
    assert loaded.dimension == 8
    assert loaded.identity == IDENTITY
    assert loaded.search(rows[3], 5)[0].tolist() == index.search(rows[3], 5)[0].tolist()
    loaded.remove([4])
    assert len(loaded) == 19
    assert [file.name for file in path.parent.iterdir()] == ["index.faiss"]


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Missing, stale, of another model, or of another dimension."""
    path = tmp_path / "index.faiss"
    with pytest.raises(IndexFileError, match="no index file"):
        FaissFlatIndex.load(path, identity=IDENTITY, revision=1)
    with pytest.raises(IndexFileError, match="cannot be read"):
        FaissFlatIndex.load(tmp_path, identity=IDENTITY, revision=1)
    index_of(vectors(3)).save(path, revision=1)
    with pytest.raises(IndexFileError, match="revision 1, the store of 2"):
        FaissFlatIndex.load(path, identity=IDENTITY, revision=2)
    other = ModelIdentity("model", 8, "b" * 64)
    with pytest.raises(IndexFileError, match="made by model:8:aaaa"):
        FaissFlatIndex.load(path, identity=other, revision=1)


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    """A flipped bit anywhere, a cut anywhere and foreign bytes are refused."""
    path = tmp_path / "index.faiss"
    index_of(vectors(3)).save(path, revision=1)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(IndexFileError):
            FaissFlatIndex.load(path, identity=IDENTITY, revision=1)
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(IndexFileError):
            FaissFlatIndex.load(path, identity=IDENTITY, revision=1)
    path.write_bytes(data + b"x")
    with pytest.raises(IndexFileError, match="damaged"):
        FaissFlatIndex.load(path, identity=IDENTITY, revision=1)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the new file only, and no temporary file stays."""
    path = tmp_path / "index.faiss"
    index_of(vectors(3)).save(path, revision=1)

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        index_of(vectors(4)).save(path, revision=2)
    monkeypatch.undo()
    assert len(FaissFlatIndex.load(path, identity=IDENTITY, revision=1)) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_readers_and_writers_share_it() -> None:
    """Searches during changes find the vector that never changes."""
    rows = vectors(200)
    index = index_of(rows)
    failures: list[int] = []

    def write() -> None:
        for _ in range(50):
            index.remove(range(100, 200))
            index.add(np.arange(100, 200), rows[99:199])

    def read() -> None:
        for _ in range(300):
            if index.search(rows[0], 1)[0].tolist() != [1]:
                failures.append(1)

    threads = [threading.Thread(target=target) for target in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(index) == 200
