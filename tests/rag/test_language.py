from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language import detect_language
from rag.stemming import stems


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How long does the refund take?", "en"),
        ("Wie lange dauert die Rückerstattung?", "de"),
        ("¿Cuánto tarda el reembolso?", "es"),
        ("Quel est le délai de remboursement ?", "fr"),
        ("Größe?", "de"),
        ("¿Garantía?", "es"),
        ("Livraison à Genève", "fr"),
        ("VPN", "en"),
        ("", "en"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    """Function words and telling letters decide; the default is for the rest."""
    assert detect_language(text) == language
    assert detect_language("12345", default="fr") == "fr"


@given(st.text())
def test_any_text_has_a_language(text: str) -> None:
    """It never fails."""
    assert detect_language(text) in {"en", "de", "es", "fr"}


def test_words_are_stemmed_without_function_words() -> None:
    """Each language has its stems; one that is unknown keeps its words."""
    assert stems("The returned boots and returns", "en") == ["return", "boot", "return"]
    assert stems("Die Rücksendungen", "de") == ["rucksend"]
    assert stems("Zboží the", "cs") == ["zboží", "the"]
