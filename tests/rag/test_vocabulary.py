from __future__ import annotations

import pytest

from rag.vocabulary import Vocabulary


def test_terms_are_numbered_as_they_come() -> None:
    """A term keeps its number; an unknown one has none."""
    vocabulary = Vocabulary()
    assert [vocabulary.number(term) for term in ("tent", "boot", "tent")] == [0, 1, 0]
    assert (vocabulary.find("boot"), vocabulary.find("ski"), len(vocabulary)) == (1, None, 2)


def test_similar_terms_share_pieces() -> None:
    """Best first, with Dice's coefficient of the pieces; the term itself is not among them."""
    vocabulary = Vocabulary()
    for term in ("versand", "versandkosten", "versehen", "zelt"):
        vocabulary.number(term)
    # Seven pieces, six of them among the thirteen of the compound, three in the other verb.
    similar = vocabulary.similar("versand")
    assert [number for number, _ in similar] == [1, 2]
    likenesses = [likeness for _, likeness in similar]
    assert likenesses == pytest.approx([2 * 6 / (7 + 13), 2 * 3 / (7 + 8)])
    assert [number for number, _ in vocabulary.similar("versandt")] == [0, 1]


def test_new_terms_are_found_at_once() -> None:
    """What was looked up before a term came is looked up anew."""
    vocabulary = Vocabulary()
    assert vocabulary.similar("lieferung") == ()
    vocabulary.number("lieferungen")
    assert [number for number, _ in vocabulary.similar("lieferung")] == [0]


@pytest.mark.parametrize("term", ["rx5", "model2019", "tea", "x" * 40, ""])
def test_codes_and_short_terms_are_like_no_other(term: str) -> None:
    """A number that looks like another one means something else."""
    vocabulary = Vocabulary()
    for other in ("rx56", "model2018", "teas", "x" * 39, "_"):
        vocabulary.number(other)
    assert vocabulary.similar(term) == ()
