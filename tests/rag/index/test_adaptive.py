from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rag.embedding.base import ModelIdentity
from rag.errors import IndexFileError
from rag.index.adaptive import AdaptiveIndex, Sizes
from rag.index.base import Ids
from rag.index.faiss_flat import FaissFlatIndex
from rag.index.faiss_ivf import FaissIvfIndex
from rag.types import FloatMatrix

WIDTH = 16
IDENTITY = ModelIdentity("model", WIDTH, "a" * 64)
# Every list is searched: what is found is exact but for the rounding to 16 bits.
SMALL = Sizes(approximate_from=40, exact_below=20, regrow=2.0, probes=10_000)
ROUNDING = 2e-3


def vectors(count: int, *, seed: int = 0) -> FloatMatrix:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def grown(count: int, *, sizes: Sizes = SMALL) -> tuple[AdaptiveIndex, FloatMatrix]:
    rows = vectors(count)
    index = AdaptiveIndex(IDENTITY, sizes=sizes)
    index.add(np.arange(1, count + 1), rows)
    assert index.wait(30)
    return index, rows


class Later:
    """Runs what is to be built when the test says so, in a thread that it waits for."""

    def __init__(self) -> None:
        self.works: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.works.append(work)

    def run(self) -> None:
        self.works.pop(0)()


def check_order(index: AdaptiveIndex, known: dict[int, FloatMatrix], query: FloatMatrix) -> None:
    """All are found, each once, with its own cosine, in falling order."""
    ids, cosines = index.search(query, len(known) + 5)
    assert sorted(ids.tolist()) == sorted(known)
    expected = [float(known[number] @ query) for number in ids.tolist()]
    np.testing.assert_allclose(cosines, expected, atol=ROUNDING)
    assert (np.diff(cosines) <= 1e-6).all()


def test_the_kind_follows_the_size() -> None:
    """Approximate from the upper bound on, exact again below the lower one, as it was between."""
    index, rows = grown(39)
    assert index.kind == "flat"
    index.add(np.array([40]), vectors(1, seed=9))
    assert index.wait(30)
    assert index.kind == "ivf"
    assert index.search(rows[6], 1)[0].tolist() == [7]
    index.remove(range(21, 41))
    assert index.wait(30)
    assert (index.kind, len(index)) == ("ivf", 20)
    index.remove([20])
    assert index.wait(30)
    assert (index.kind, len(index)) == ("flat", 19)
    assert index.ids().tolist() == list(range(1, 20))
    check_order(index, {number: rows[number - 1] for number in range(1, 20)}, rows[3])


def test_a_small_index_gives_exact_values() -> None:
    """Below the bound the cosines are those of the numbers themselves."""
    index, rows = grown(30)
    ids, cosines = index.search(rows[6], 10)
    products = rows @ rows[6]
    assert ids.tolist() == (np.argsort(-products)[:10] + 1).tolist()
    np.testing.assert_allclose(cosines, np.sort(products)[::-1][:10], atol=1e-6)
    np.testing.assert_array_equal(index.vectors(np.array([3, 1])), rows[[2, 0]])


def test_a_large_index_rounds_to_sixteen_bits() -> None:
    """The vectors come back as numbers of 16 bits; ids and errors are as before."""
    index, rows = grown(60)
    assert index.kind == "ivf"
    np.testing.assert_array_equal(
        index.vectors(np.array([3, 1])), rows[[2, 0]].astype(np.float16).astype(np.float32)
    )
    with pytest.raises(KeyError, match="99"):
        index.vectors(np.array([3, 99]))
    held, found = index.held(np.array([3, 99, 60]))
    assert (held.tolist(), found.shape) == ([3, 60], (2, WIDTH))
    with pytest.raises(ValueError, match="shape"):
        index.add(np.array([5]), vectors(2))
    with pytest.raises(ValueError, match="twice"):
        index.add(np.array([5, 5]), vectors(2))
    with pytest.raises(ValueError, match="finite"):
        index.add(np.array([5]), np.full((1, WIDTH), np.nan, dtype=np.float32))
    assert len(index) == 60
    assert index.dimension == WIDTH
    assert index.identity == IDENTITY


@pytest.mark.parametrize("count", [30, 60])
def test_equal_vectors_come_by_id(count: int) -> None:
    """In both kinds ids decide which of equal ones are found, also at the end of the list."""
    index, _ = grown(count)
    row = vectors(1, seed=5)
    twins = np.array([205, 201, 209, 203])
    index.add(twins, np.repeat(row, 4, axis=0))
    assert index.search(row[0], 2)[0].tolist() == [201, 203]
    assert index.search(row[0], 3, allowed=np.array([209, 203, 205]))[0].tolist() == [203, 205, 209]


@pytest.mark.parametrize("count", [30, 400])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_filters_lose_nothing(count: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest of the allowed ones are found, few or many, kept or not; unknown ids are none."""
    monkeypatch.setattr("rag.index.faiss_ivf._FEW", 40)
    index, rows = grown(count)
    random = np.random.default_rng(3)
    chosen = np.sort(random.choice(count, max(1, int(share * count)), replace=False)) + 1
    allowed = np.append(chosen, 10_000).astype(np.int64)
    for writeable in (True, False, False):
        allowed.flags.writeable = writeable
        for query in vectors(5, seed=8):
            ids, cosines = index.search(query, 10, allowed=allowed)
            products = rows[chosen - 1] @ query
            np.testing.assert_allclose(cosines, np.sort(products)[::-1][:10], atol=ROUNDING)
            assert set(ids.tolist()) <= set(chosen.tolist())
    index.remove([int(chosen[0])])
    assert int(chosen[0]) not in index.search(rows[chosen[0] - 1], 10, allowed=allowed)[0].tolist()
    assert index.search(rows[0], 3, allowed=np.zeros(0, dtype=np.int64))[0].tolist() == []


def test_a_few_lists_are_enough() -> None:
    """With as many lists as are measured to be enough, most true neighbours are found, and with a
    filter no fewer, also one whose vectors lie together."""
    random = np.random.default_rng(0)
    centres = vectors(40, seed=1)
    rows = centres[random.integers(40, size=3000)] + 0.35 * vectors(3000, seed=2)
    rows = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
    index = AdaptiveIndex(IDENTITY, sizes=Sizes(approximate_from=1000, exact_below=500))
    index.add(np.arange(3000), rows)
    assert index.wait(60)
    assert isinstance(index._serving, FaissIvfIndex)
    assert index._serving.probes < 128
    together = np.sort(np.argsort(-(rows @ centres[5]))[:600])
    spread = np.sort(random.choice(3000, 600, replace=False))
    queries = centres + 0.35 * vectors(40, seed=6)
    for allowed in (np.arange(3000), together, spread):
        found = 0
        for query in np.asarray(queries, dtype=np.float32):
            ids = index.search(query, 10, allowed=allowed if len(allowed) < 3000 else None)[0]
            true = allowed[np.argsort(-(rows[allowed] @ query))[:10]]
            found += len(set(ids.tolist()) & set(true.tolist()))
        assert found >= 0.97 * 400


def test_it_is_made_anew_when_it_has_grown() -> None:
    """With more vectors than the lists were made for, there are more lists."""
    index, _ = grown(40)
    first = index._serving
    index.add(np.arange(1000, 1060), vectors(60, seed=4))
    assert index.wait(30)
    assert isinstance(index._serving, FaissIvfIndex)
    assert index._serving is not first
    assert index._serving.trained == len(index) == 100


def test_nothing_is_lost_or_doubled_while_it_is_built() -> None:
    """What is added, replaced and removed during the building counts before and after it."""
    later = Later()
    index = AdaptiveIndex(IDENTITY, sizes=SMALL, start=later)
    rows, others = vectors(60), vectors(700, seed=4)
    index.add(np.arange(1, 61), rows)
    index.add(np.array([3, 61]), others[:2])
    index.remove([5, 6])
    index.add(np.array([6]), others[2:3])
    index.add(np.arange(100, 700), others[100:])
    known = {number: rows[number - 1] for number in range(1, 61)} | {3: others[0], 61: others[1]}
    known |= {6: others[2]} | {number: others[number] for number in range(100, 700)}
    del known[5]
    assert (index.kind, index.wait(0)) == ("flat", False)
    check_order(index, known, rows[2])
    later.run()
    assert (index.kind, len(later.works)) == ("ivf", 1)
    check_order(index, known, rows[2])
    later.run()  # it has grown so much that it is made anew at once
    assert (index.kind, index.wait(0)) == ("ivf", True)
    check_order(index, known, others[1])


def test_a_failed_building_leaves_what_serves(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is logged, searches go on, and the next change tries again."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(FaissIvfIndex, "build", fail)
        index, rows = grown(50)
    assert "could not be rebuilt as ivf" in caplog.text
    assert index.kind == "flat"
    assert index.search(rows[6], 1)[0].tolist() == [7]
    index.remove([50])
    assert index.wait(30)
    assert index.kind == "ivf"


@pytest.mark.parametrize("count", [30, 60])
def test_a_saved_index_is_the_same(count: int, tmp_path: Path) -> None:
    """Of either kind, with rows that became free; what is read goes on to change."""
    index, rows = grown(count)
    index.remove([2, 9])
    path = tmp_path / "index.faiss"
    index.save(path, revision=7)
    loaded = AdaptiveIndex.load(path, identity=IDENTITY, revision=7, sizes=SMALL)
    assert (loaded.kind, len(loaded)) == (index.kind, count - 2)
    for query in rows[:5]:
        one, other = loaded.search(query, 9), index.search(query, 9)
        assert one[0].tolist() == other[0].tolist()
        np.testing.assert_array_equal(one[1], other[1])
    loaded.add(np.array([2, 500]), vectors(2, seed=3))
    loaded.remove([1])
    assert loaded.search(vectors(2, seed=3)[1], 1)[0].tolist() == [500]
    assert loaded.ids().tolist() == [*sorted({*range(2, count + 1)} - {9}), 500]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_of_the_other_kind_is_taken_over(tmp_path: Path) -> None:
    """A flat file above the bound is read, and rebuilt beside it."""
    rows = vectors(60)
    flat = FaissFlatIndex(IDENTITY)
    flat.add(np.arange(60), rows)
    flat.save(tmp_path / "index.faiss", revision=1)
    later = Later()
    loaded = AdaptiveIndex.load(
        tmp_path / "index.faiss", identity=IDENTITY, revision=1, sizes=SMALL, start=later
    )
    assert loaded.kind == "flat"
    later.run()
    assert loaded.kind == "ivf"
    check_order(loaded, dict(enumerate(rows)), rows[4])


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    """A flipped bit, a cut, another model and another revision, as with the exact kind."""
    index, _ = grown(45)
    path = tmp_path / "index.faiss"
    index.save(path, revision=1)
    data = path.read_bytes()
    for place in range(0, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(IndexFileError):
            AdaptiveIndex.load(path, identity=IDENTITY, revision=1)
    path.write_bytes(data[:-9])
    with pytest.raises(IndexFileError, match="checksum"):
        FaissIvfIndex.load(path, identity=IDENTITY, revision=1)
    path.write_bytes(data)
    with pytest.raises(IndexFileError, match="revision 1, the store of 2"):
        FaissIvfIndex.load(path, identity=IDENTITY, revision=2)
    other = ModelIdentity("model", WIDTH, "b" * 64)
    with pytest.raises(IndexFileError, match="made by"):
        AdaptiveIndex.load(path, identity=other, revision=1)


@contextmanager
def running(*works: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Threads that run until the block ends; their errors."""
    failures: list[BaseException] = []
    stop = threading.Event()

    def repeat(work: Callable[[], None]) -> None:
        while not stop.is_set() and not failures:
            try:
                work()
            except BaseException as error:  # reported by the test
                failures.append(error)

    threads = [threading.Thread(target=repeat, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


def test_searches_go_on_while_it_changes_its_kind() -> None:
    """Up and down again, several times: what does not change is always found, once."""
    fixed = vectors(15)
    index = AdaptiveIndex(IDENTITY, sizes=SMALL)
    index.add(np.arange(15), fixed)
    more = vectors(40, seed=2)
    allowed = np.arange(0, 15, 2)

    def search() -> None:
        ids, cosines = index.search(fixed[6], 15, allowed=np.arange(15))
        assert sorted(ids.tolist()) == list(range(15))
        assert ids[0] == 6
        assert abs(cosines[0] - 1) < ROUNDING
        assert 6 in index.search(fixed[6], 3)[0]
        assert len(index.search(fixed[1], 15, allowed=allowed)[0]) == len(allowed)
        assert index.vectors(np.arange(15)).shape == (15, WIDTH)

    kinds = set[str]()
    with running(search, search) as failures:
        for _ in range(3):
            for start in range(0, 40, 10):
                index.add(np.arange(100 + start, 110 + start), more[start : start + 10])
            assert index.wait(30)
            kinds.add(index.kind)
            index.remove(range(100, 140))
            assert index.wait(30)
            kinds.add(index.kind)
    assert failures == []
    assert kinds == {"flat", "ivf"}
    assert index.ids().tolist() == list(range(15))


class Changes(RuleBasedStateMachine):
    """Any changes, beside a dictionary; the kind changes at whatever moment."""

    sizes = Sizes(approximate_from=12, exact_below=6, regrow=1.5, probes=10_000)

    @initialize()
    def begin(self) -> None:
        self.later = Later()
        self.index = AdaptiveIndex(IDENTITY, sizes=self.sizes, start=self.later)
        self.known: dict[int, FloatMatrix] = {}

    @rule(ids=st.sets(st.integers(0, 40), max_size=12), seed=st.integers(0, 5))
    def add(self, ids: set[int], seed: int) -> None:
        rows = vectors(len(ids), seed=seed)
        self.index.add(np.array(list(ids), dtype=np.int64), rows)
        self.known |= dict(zip(ids, rows, strict=True))

    @rule(ids=st.sets(st.integers(0, 40), max_size=12))
    def remove(self, ids: set[int]) -> None:
        self.index.remove(list(ids))
        for number in ids:
            self.known.pop(number, None)

    @rule()
    def build(self) -> None:
        if self.later.works:
            self.later.run()

    @rule(
        seed=st.integers(0, 9),
        k=st.integers(1, 45),
        chosen=st.none() | st.sets(st.integers(0, 45)),
    )
    def search(self, seed: int, k: int, chosen: set[int] | None) -> None:
        query = vectors(1, seed=seed)[0]
        allowed: Ids | None = None
        left = dict(self.known)
        if chosen is not None:
            allowed = np.array(sorted(chosen), dtype=np.int64)
            left = {number: row for number, row in left.items() if number in chosen}
        ids, cosines = self.index.search(query, k, allowed=allowed)
        best = sorted((float(row @ query) for row in left.values()), reverse=True)[:k]
        np.testing.assert_allclose(cosines, best, atol=ROUNDING)
        assert len(set(ids.tolist())) == len(ids)
        own = [float(left[number] @ query) for number in ids.tolist()]
        np.testing.assert_allclose(cosines, own, atol=ROUNDING)

    @invariant()
    def holds_what_it_should(self) -> None:
        assert self.index.ids().tolist() == sorted(self.known)
        assert len(self.index) == len(self.known)


Changes.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestChanges = Changes.TestCase
