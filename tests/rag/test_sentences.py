from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("Ask Dr. Smith, e.g. by mail. He knows.", ["Ask Dr. Smith, e.g. by mail.", "He knows."]),
        ("It costs 4.50 euros. That is all.", ["It costs 4.50 euros.", "That is all."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("J. R. Smith wrote it. In 2019. Yes.", ["J. R. Smith wrote it.", "In 2019.", "Yes."]),
        (
            "Der Antrag gilt ab dem 3. Mai. Danach nicht.",
            ["Der Antrag gilt ab dem 3. Mai.", "Danach nicht."],
        ),
        (
            "Am 3. Werktag, z. B. Montag, d. h. bald. Nr. 5 fehlt.",
            ["Am 3. Werktag, z. B. Montag, d. h. bald.", "Nr. 5 fehlt."],
        ),
        (
            "Es kostet ca. 30 Euro bzw. Dollar usw. Danach mehr.",
            ["Es kostet ca. 30 Euro bzw. Dollar usw.", "Danach mehr."],
        ),
        (
            "¿Cuánto cuesta? Llame al Sr. Pérez, p. ej. hoy. ¡Gracias!",
            ["¿Cuánto cuesta?", "Llame al Sr. Pérez, p. ej. hoy.", "¡Gracias!"],
        ),
        (
            "Demandez à M. Dupont ou Mme Petit. Merci.",
            ["Demandez à M. Dupont ou Mme Petit.", "Merci."],
        ),
        ("Wait… no. See www.example.com. Done.", ["Wait… no.", "See www.example.com.", "Done."]),
        ("Two\nlines are one. Sentence", ["Two\nlines are one.", "Sentence"]),
        ("Open at 9 a.m. every day.", ["Open at 9 a.m. every day."]),
        ("**Bold.** Then plain.", ["**Bold.**", "Then plain."]),
        ("   ", []),
    ],
)
def test_splits_at_the_ends_of_sentences_only(text: str, expected: list[str]) -> None:
    """Abbreviations, ordinals, numbers and initials of the four languages end no sentence."""
    assert [text[start:end] for start, end in split_sentences(text)] == expected


@given(st.text(alphabet=st.sampled_from("ab1.!?… \n\"')]z。A"), max_size=200) | st.text())
def test_every_character_is_in_exactly_one_sentence(text: str) -> None:
    """Spans are in order, do not overlap, and leave out nothing but blanks."""
    position = 0
    for start, end in split_sentences(text):
        assert position <= start < end <= len(text)
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        position = end
    assert not text[position:].strip()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", [".", ". ", ".)", "a. ", "1. ", '"', " ", "x", "!?"])
def test_takes_linear_time(unit: str) -> None:
    """300,000 characters of any one shape are split within seconds."""
    split_sentences(unit * (300_000 // len(unit)))
