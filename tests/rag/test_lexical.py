from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.lexical import LexicalText, QueryProfile
from rag.lexical import Bm25Index

TEXTS = [
    (1, "You may return the boots within thirty days.", "en"),
    (2, "The espresso machine heats up in two minutes.", None),
    (3, "Der Versand nach Österreich dauert drei Tage.", "de"),
    (4, "Los envíos a las islas tardan diez días.", "es"),
    (5, "Espresso machines must be descaled; descaling an espresso machine is easy.", "en"),
    (6, "Zboží lze vrátit do třiceti dnů.", "cs"),
]


@pytest.fixture
def index() -> Bm25Index:
    index = Bm25Index()
    index.add([LexicalText(number, "", text, language) for number, text, language in TEXTS])
    return index


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("returning a boot", [1]),
        ("descale espresso machines", [5, 2]),
        ("Versandtage Tag", [3]),
        ("envío isla", [4]),
        ("vrátit", [6]),
        ("the of in", []),
        ("nothing matches", []),
        ("", []),
    ],
)
def test_finds_other_forms_of_a_word(index: Bm25Index, query: str, expected: list[int]) -> None:
    """Words are stemmed in the language of each passage; function words find nothing."""
    assert index.search(index.prepare(query), 10).tolist() == expected


def test_scores_are_bounded(index: Bm25Index) -> None:
    """Score and coverage lie within 0..1; all of a query's words cover it fully."""
    scores = index.score(index.prepare("descale espresso machines"), np.array([5, 2, 1, 99]))
    assert scores.coverage.tolist() == pytest.approx([1.0, scores.coverage[1], 0, 0])
    assert 0 < scores.scores[1] < scores.scores[0] < 1
    assert scores.scores[2:].tolist() == [0, 0]
    assert 0 < scores.coverage[1] < 1


def test_an_unknown_word_lowers_the_score(index: Bm25Index) -> None:
    """A word that no passage has counts in the bound: half the question is not covered."""
    known = index.score(index.prepare("espresso"), np.array([5]))
    half = index.score(index.prepare("espresso surfboard"), np.array([5]))
    assert half.scores[0] < known.scores[0] / 2
    assert half.coverage[0] < 0.5


def test_search_is_restricted_and_limited(index: Bm25Index) -> None:
    """Only allowed ids, at most k."""
    assert index.search(
        index.prepare("espresso machine"), 10, allowed=np.array([1, 2])
    ).tolist() == [2]
    assert index.search(index.prepare("espresso machine"), 1).tolist() == [5]


def test_changes_are_searchable_at_once(index: Bm25Index) -> None:
    """Adding replaces, removing forgets, also for a query that was prepared before."""
    before = index.prepare("ski boots")
    index.add([LexicalText(1, "", "Skis only.", "en")])
    assert index.search(index.prepare("boots"), 1).tolist() == []
    assert index.search(before, 1).tolist() == [1]
    index.remove([77])
    assert len(index) == 6
    index.remove([1, 2, 3, 4, 5, 6])
    assert index.search(before, 1).tolist() == []
    assert index.score(before, np.array([1])).scores.tolist() == [0]
    assert len(index) == 0


def test_one_by_one_is_the_same_as_all_at_once(index: Bm25Index) -> None:
    """However passages came, and whatever was there between, scores are the same."""
    slow = Bm25Index()
    for number, text, language in reversed(TEXTS):
        slow.add([LexicalText(number + 50, "Gone", "espresso boots", language)])
        slow.add([LexicalText(number, "", text, language)])
    slow.remove([number + 50 for number, _, _ in TEXTS])
    ids = np.array([number for number, _, _ in TEXTS])
    for query in ("descale espresso machines", "Versand nach Graz", "days"):
        one, other = index.prepare(query), slow.prepare(query)
        assert index.search(one, 9).tolist() == slow.search(other, 9).tolist()
        assert slow.score(other, ids).scores.tolist() == pytest.approx(
            index.score(one, ids).scores.tolist()
        )


def test_the_title_counts_twice() -> None:
    """Of two passages with the same words, the one that is about them comes first."""
    index = Bm25Index()
    index.add(
        [
            LexicalText(1, "Opening hours", "We deliver tents and skis.", "en"),
            LexicalText(2, "Tents", "We deliver skis, opening hours vary.", "en"),
        ]
    )
    assert index.search(index.prepare("tents"), 2).tolist() == [2, 1]


def test_terms_that_look_alike_count_in_part() -> None:
    """Compounds, typing errors and forms without a stemmer are found, behind the term itself."""
    index = Bm25Index()
    index.add(
        [
            LexicalText(1, "", "Die Lieferzeitangabe steht auf der Rechnung.", "de"),
            LexicalText(2, "", "Die Lieferzeit beträgt drei Tage auf Anfrage.", "de"),
            LexicalText(3, "", "Das Zelt wiegt neun Kilo.", "de"),
        ]
    )
    assert index.search(index.prepare("Lieferzeit"), 9).tolist() == [2, 1]
    assert index.search(index.prepare("Lieferzeiit"), 9).tolist() == [2, 1]
    scores = index.score(index.prepare("Lieferzeit"), np.array([1, 2]))
    assert scores.coverage.tolist() == [0.0, 1.0]


def test_several_texts_are_searched_as_one(index: Bm25Index) -> None:
    """The combined score is the weighted mean; what counts nothing is left out."""
    boots, espresso = index.prepare("boots"), index.prepare("espresso machine")
    both = index.combine([(boots, 1.0), (espresso, 0.5), (index.prepare("isla"), 0.0)])
    ids = np.array([1, 5, 4])
    one, other = index.score(boots, ids).scores, index.score(espresso, ids).scores
    assert index.score(both, ids).scores.tolist() == pytest.approx(
        ((one + 0.5 * other) / 1.5).tolist()
    )
    assert index.score(both, ids).coverage.tolist() == [1.0, 0.0, 0.0]
    assert set(index.search(both, 9).tolist()) == {1, 2, 5}
    index.add([LexicalText(9, "", "Boots and espresso", "en")])
    assert 9 in index.search(both, 9).tolist()


def test_passages_without_words_are_harmless() -> None:
    """An index of function words alone finds nothing."""
    index = Bm25Index()
    index.add([LexicalText(1, "", "the of and", "en"), LexicalText(2, "", "", "en")])
    assert index.search(index.prepare("the house"), 5).tolist() == []
    assert index.score(index.prepare("house"), np.array([1, 2])).scores.tolist() == [0, 0]


def test_the_terms_of_passages_are_told(index: Bm25Index) -> None:
    """The same words are the same terms, other words other ones; an unknown id has none."""
    index.add([LexicalText(7, "", "days thirty within boots the return may you", "en")])
    first, same, other, unknown = (
        set(terms.tolist()) for terms in index.terms(np.array([1, 7, 2, 99]))
    )
    assert first
    assert first == same
    assert not first & other
    assert unknown == set()


def test_a_merge_follows_what_is_removed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passages struck out while runs are merged are struck out in the merged one; runs that were
    replaced meanwhile are left alone."""
    monkeypatch.setattr("rag.lexical.INLINE_MERGE", 1)
    index = Bm25Index()
    index.add([LexicalText(number, "", "boots and skis", "en") for number in range(4)])
    assert index.merge_due() is None
    index.add([LexicalText(number, "", "boots and tents", "en") for number in range(4, 8)])
    work = index.merge_due()
    assert work is not None
    index.remove([1, 5])
    adopt = work()
    before = index.prepare("boots")
    assert len(index._runs) == 2
    adopt()
    assert len(index._runs) == 1
    assert index.search(before, 9).tolist() == [0, 2, 3, 4, 6, 7]
    assert index.search(index.prepare("tents"), 9).tolist() == [4, 6, 7]
    adopt()
    assert len(index) == 6
    index.add([LexicalText(number, "", "boots", "en") for number in range(10, 16)])
    late = index.merge_due()
    assert late is not None
    index.remove([10, 11, 12, 14, 15])
    late()()
    assert index.search(index.prepare("boots"), 9).tolist() == [13, 0, 2, 3, 4, 6, 7]


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=40))
def test_no_text_breaks_it(texts: list[str], query: str) -> None:
    """Any passages and any query give bounded scores."""
    index = Bm25Index()
    index.add([LexicalText(number, text, text[::-1], "de") for number, text in enumerate(texts)])
    index.search(index.prepare(query), 3)
    scores = index.score(index.prepare(query), np.arange(len(texts)))
    assert ((scores.scores >= 0) & (scores.scores <= 1)).all()
    assert ((scores.coverage >= 0) & (scores.coverage <= 1.0001)).all()


def test_a_question_has_a_profile() -> None:
    """How many terms it has, and how rare they are; among a few passages none is common."""
    index = Bm25Index()
    index.add([LexicalText(1, "", "tents and stoves", "en"), LexicalText(2, "", "tents", "en")])
    few = index.profile(index.prepare("tents and kettles"), "en")
    assert few.terms == 2
    # ln(301 / 2.5) and ln(301 / 0.5), against the latter.
    assert few.rarity == pytest.approx((math.log(301 / 2.5) / math.log(602) + 1) / 2)
    index.add([LexicalText(number, "", "tents", "en") for number in range(3, 1001)])
    many = index.profile(index.prepare("tents and kettles"), None)
    assert many.rarity == pytest.approx((math.log(1001 / 1000.5) / math.log(2002) + 1) / 2)
    assert index.profile(index.prepare("the"), "en") == QueryProfile()
    assert index.profile(index.prepare("tents"), "xx") == QueryProfile()
