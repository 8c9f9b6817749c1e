from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language import detect_language, with_language
from rag.stemming import stems
from rag.types import SourceDocument


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How long does the refund take?", "en"),
        ("Wie lange dauert die Rückerstattung?", "de"),
        ("¿Cuánto tarda el reembolso?", "es"),
        ("Quel est le délai de remboursement ?", "fr"),
        ("Größe?", "de"),
        ("Passwort vergessen", "de"),
        ("Kalk entfernen", "de"),
        ("gastos de envío", "es"),
        ("mot de passe oublié", "fr"),
        ("frais de livraison", "fr"),
        ("forgot password", "en"),
        ("¿Garantía?", "es"),
        ("Livraison à Genève", "fr"),
        ("VPN", "en"),
        ("", "en"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    """A few words are enough; the default is for what says too little."""
    assert detect_language(text) == language
    assert detect_language("12345", default="fr") == "fr"


@given(st.text())
def test_any_text_has_a_language(text: str) -> None:
    """It never fails."""
    assert detect_language(text) in {"en", "de", "es", "fr"}


ITALIAN = (
    "La garanzia dura due anni dalla data di acquisto. Per richiedere una riparazione occorre "
    "conservare lo scontrino e contattare il servizio clienti."
)
RUSSIAN = "Мы были рады узнать, что вы получили это письмо. Чтобы вернуть вещь, позвоните нам. " * 2


@pytest.mark.parametrize(
    ("content", "stated", "language"),
    [
        (ITALIAN, None, "it"),
        (ITALIAN, "fr", "fr"),
        ("Wie lange dauert die Rückerstattung? Meist fünf Tage.", None, "de"),
        ("4711 – 0815", None, "en"),
        ("1" * 100 + " 漢字" * 60, None, "zh"),
        (
            "Мы были рады узнать, что вы получили это письмо. Чтобы вернуть вещь, позвоните нам. "
            * 2,
            None,
            "ru",
        ),
    ],
)
def test_a_document_gets_the_language_that_it_does_not_state(
    content: str, stated: str | None, language: str
) -> None:
    """A long text may be in many languages, a short one in the four that answers are given in."""
    document = SourceDocument("Title", content, language=stated)
    assert with_language(document) == replace(document, language=language)


def test_words_are_stemmed_without_function_words() -> None:
    """Each language has its stems; one that is unknown keeps its words."""
    assert stems("The returned boots and returns", "en") == ["return", "boot", "return"]
    assert stems("Die Rücksendungen", "de") == ["rucksend"]
    assert stems("Zboží the", "cs") == ["zboží", "the"]
