from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from rag.embedding.fake import FakeEmbedder
from rag.errors import IndexFileError
from rag.index.faiss_flat import FaissFlatIndex
from rag.index.knowledge import IndexEntry, KnowledgeIndex
from rag.lexical import Bm25Index
from rag.ranking import LEXICAL_WEIGHT
from rag.types import Filter, FloatMatrix

EMBEDDER = FakeEmbedder()
TEXTS = (
    "Boots may be returned within thirty days.",
    "The espresso machine is descaled every month.",
    "Parcels to Austria take two days.",
    "The office opens at eight in the morning.",
)


def entry(number: int, text: str, *, document: str | None = None) -> IndexEntry:
    return IndexEntry(
        chunk_id=number,
        document_id=document or f"d{number}",
        title=f"Title {number}",
        type="policy" if number % 2 else "faq",
        category="c",
        language="en" if number < 4 else None,
        headings=("Head",),
        text=text,
    )


def embedded(*texts: str) -> FloatMatrix:
    return EMBEDDER.embed(texts)


@pytest.fixture
def index() -> KnowledgeIndex:
    index = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), Bm25Index())
    index.add([entry(number, text) for number, text in enumerate(TEXTS, start=1)], embedded(*TEXTS))
    return index


def search(index: KnowledgeIndex, text: str, k: int = 9, filter: Filter = Filter()) -> list[int]:  # noqa: B008
    return [item.chunk_id for item in index.search(text, embedded(text)[0], k, filter)]


def test_candidates_carry_both_scores(index: KnowledgeIndex) -> None:
    """The best passage comes first, with its cosine, lexical score and coverage."""
    query = "descaling the espresso machine"
    best, *rest = index.search(query, embedded(query)[0], 3)
    assert best.chunk_id == 2
    assert best.cosine == pytest.approx(float(embedded(TEXTS[1])[0] @ embedded(query)[0]), abs=1e-5)
    assert 0 < best.lexical < 1
    assert best.coverage == pytest.approx(1.0)
    assert best.fused == pytest.approx(best.cosine + LEXICAL_WEIGHT * best.lexical, abs=1e-5)
    assert best.vector.tolist() == pytest.approx(embedded(TEXTS[1])[0].tolist())
    assert [item.fused for item in rest] == sorted((item.fused for item in rest), reverse=True)
    assert len(rest) == 2


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Filter(types=("faq",)), {2, 4}),
        (Filter(languages=("en",)), {1, 2, 3}),
        (Filter(types=("faq",), languages=("en", "de")), {2}),
        (Filter(document_ids=("d1", "d4", "d9")), {1, 4}),
        (Filter(document_ids=()), set()),
        (Filter(categories=("other",)), set()),
    ],
)
def test_filters_apply_inside_the_search(
    index: KnowledgeIndex, filter: Filter, expected: set[int]
) -> None:
    """A filter never costs a hit: others than the nearest are found instead."""
    assert set(search(index, "espresso machine", filter=filter)) == expected


def test_near_duplicates_are_left_out(index: KnowledgeIndex) -> None:
    """A copy of a passage does not take the place of another."""
    copy = replace(entry(2, TEXTS[1]), chunk_id=9, document_id="copy", title="Title 2")
    index.add([copy], embedded(TEXTS[1]))
    found = search(index, "espresso machine descaled", k=2)
    assert found[0] == 2
    assert 9 not in found
    assert len(found) == 2


def test_vectors_agree_that_find_the_same_passages() -> None:
    """Nothing is lost where both find the best of each other; else what both lose."""
    index = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), Bm25Index())
    axes = np.eye(EMBEDDER.identity.dimension, dtype=np.float32)
    assert index.agreement(axes[0], axes[1]) == 0.0
    index.add([entry(number, f"text {number}") for number in range(1, 41)], axes[:40])
    between = (0.8 * axes[0] + 0.6 * axes[1]).astype(np.float32)
    assert index.agreement(axes[1], between) == pytest.approx(0.0, abs=1e-6)
    assert index.agreement(axes[20], axes[30]) == pytest.approx(-2.0)


def test_among_few_passages_only_the_nearest_tell_whether_vectors_agree() -> None:
    """The five nearest of six would be the same for any two questions, also within a filter."""
    index = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), Bm25Index())
    axes = np.eye(EMBEDDER.identity.dimension, dtype=np.float32)
    index.add([entry(number, f"text {number}") for number in range(1, 41)], axes[:40])
    between = (0.8 * axes[0] + 0.6 * axes[1]).astype(np.float32)
    few = Filter(document_ids=("d1", "d2", "d3", "d4", "d5", "d6"))
    assert index.agreement(axes[1], between, few) == pytest.approx(-1.0 - 0.2, abs=1e-6)
    assert index.agreement(between, between, few) == pytest.approx(0.0, abs=1e-6)


def test_changes_are_seen(index: KnowledgeIndex) -> None:
    """Documents go with all their passages; an id that is added again is replaced."""
    index.add([entry(5, "Skis rent by the day.", document="d1")], embedded("Skis rent by the day."))
    assert search(index, "rent skis", k=1) == [5]
    index.remove_documents(["d1", "unknown"])
    assert len(index) == len(index.dense) == 3
    assert index.document_ids() == {"d2", "d3", "d4"}
    assert 1 not in search(index, "boots returned")
    index.apply([entry(2, "Tents are dried.")], embedded("Tents are dried."), [3, 77])
    assert search(index, "tents dried", k=1) == [2]
    assert len(index) == 2
    index.remove_documents(["d2", "d4"])
    index.refresh()
    assert search(index, "tents") == []


def test_a_refused_change_changes_nothing(index: KnowledgeIndex) -> None:
    """Vectors that do not fit leave both parts as they were."""
    with pytest.raises(ValueError, match="shape"):
        index.apply([entry(5, "New")], embedded("a", "b"), [1])
    assert len(index) == len(index.dense) == 4
    assert search(index, "boots returned", k=1) == [1]


def test_properties_are_restored_for_loaded_vectors(index: KnowledgeIndex) -> None:
    """With vectors from a file the entries alone make the index whole; others are refused."""
    entries = [entry(number, text) for number, text in enumerate(TEXTS, start=1)]
    again = KnowledgeIndex(index.dense, Bm25Index())
    again.restore(entries)
    assert search(again, "espresso machine") == search(index, "espresso machine")
    for wrong in (entries[:3], [*entries[:3], entry(9, "Other")]):
        with pytest.raises(IndexFileError, match="other passages"):
            KnowledgeIndex(index.dense, Bm25Index()).restore(wrong)
    empty = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), Bm25Index())
    empty.restore([])
    assert search(empty, "anything") == []


def test_readers_see_a_change_as_a_whole(index: KnowledgeIndex) -> None:
    """While passages are replaced by others, each search finds one set or the other."""
    texts = [f"colour {word}" for word in ("red", "green", "blue")]
    vectors = embedded(*texts)
    seen: list[frozenset[int]] = []
    index.apply([entry(10 + n, text) for n, text in enumerate(texts)], vectors, [1, 2, 3, 4])

    def write() -> None:
        for step in range(30):
            old, new = (10, 20) if step % 2 == 0 else (20, 10)
            entries = [entry(new + n, text) for n, text in enumerate(texts)]
            index.apply(entries, vectors, range(old, old + 3))

    def read() -> None:
        for _ in range(60):
            seen.append(frozenset(search(index, "colour")))

    threads = [threading.Thread(target=target) for target in (write, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= {frozenset({10, 11, 12}), frozenset({20, 21, 22})}


def test_an_empty_index_finds_nothing() -> None:
    """Searching before anything is indexed is fine."""
    index = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), Bm25Index())
    assert search(index, "boots") == []
    index.add([], np.zeros((0, 64), dtype=np.float32))
    assert len(index) == 0


# ---- collections ---------------------------------------------------------------------------------


def collected() -> KnowledgeIndex:
    """Passages 1 and 2 are in collection a, 3 in b, 4 in none."""
    index = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), Bm25Index())
    places = ("a", "a", "b", "")
    entries = [
        replace(entry(number, text), collection=place)
        for number, (text, place) in enumerate(zip(TEXTS, places, strict=True), start=1)
    ]
    index.add(entries, embedded(*TEXTS))
    return index


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(collections=("a",)), [1, 2]),
        (Filter(collections=("b", "unknown")), [3]),
        (Filter(collections=("a", "b")), [1, 2, 3]),
        (Filter(collections=("a", "b", "a", "b")), [1, 2, 3]),
        (Filter(collections=("unknown",)), []),
        (Filter(collections=()), []),
        (Filter(collections=("a",), types=("policy",)), [1]),
        (Filter(collections=(), types=("policy",)), []),
        (Filter(collections=("b",), document_ids=("d1", "d3")), [3]),
        # All there are: the other properties still restrict.
        (Filter(collections=("a", "b", "")), [1, 2, 3, 4]),
        (Filter(collections=("a", "b", ""), types=("faq",)), [2, 4]),
    ],
)
def test_only_the_collections_asked_for_are_searched(filter: Filter, expected: list[int]) -> None:
    """None does not restrict, an empty tuple finds nothing; a passage of no collection is found by
    no name."""
    index = collected()
    for query in (*TEXTS, "returned boots machine Parcels office two days"):
        assert sorted(search(index, query, filter=filter)) == expected
    assert filter.is_empty() is (filter == Filter())


def test_a_document_that_moves_is_found_where_it_is_only() -> None:
    """A move counts at once, for all passages of the document, and takes nothing to rebuild."""
    index = collected()
    index.refresh()
    index.move("d1", "b")
    assert sorted(search(index, TEXTS[0], filter=Filter(collections=("a",)))) == [2]
    assert sorted(search(index, TEXTS[0], filter=Filter(collections=("b",)))) == [1, 3]
    index.move("d2", "b")
    assert search(index, TEXTS[0], filter=Filter(collections=("a",))) == []
    index.move("d2", "b")
    index.move("unknown", "b")
    assert sorted(search(index, TEXTS[0], filter=Filter(collections=("b",)))) == [1, 2, 3]
    index.remove_documents(["d2"])
    assert sorted(search(index, TEXTS[0], filter=Filter(collections=("b", "")))) == [1, 3, 4]


# ---- merges --------------------------------------------------------------------------------------


def test_large_runs_are_merged_beside_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is the same before, during and after; what is removed meanwhile stays gone."""
    monkeypatch.setattr("rag.lexical.INLINE_MERGE", 1)
    lexical = Bm25Index()
    index = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), lexical)
    entries = [entry(number, TEXTS[number % 4] + f" word{number}") for number in range(1, 41)]
    for one in entries:
        index.add([one], embedded(one.text))
    assert index.wait(10)
    assert len(lexical._runs) < 8
    at_once = Bm25Index()
    whole = KnowledgeIndex(FaissFlatIndex(EMBEDDER.identity), at_once)
    whole.add(entries, embedded(*(one.text for one in entries)))
    assert len(at_once._runs) == 1
    for query in ("word7 boots", "espresso machine", "two days"):
        assert search(index, query) == search(whole, query)
    index.add([entry(50, "Skis.")], embedded("Skis."))
    index.add([entry(51, "Tents.")], embedded("Tents."))
    index.remove_documents(["d50", "d7"])
    assert index.wait(10)
    assert len(index) == 40
    assert search(index, "skis", k=1) != [50]
    assert search(index, "tents", k=1) == [51]
