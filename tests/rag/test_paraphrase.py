"""Whether two questions ask the same."""

from __future__ import annotations

import pytest

from rag.paraphrase import same_details


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("How heavy is the Firn 2?", "How heavy is the Firn 3?"),
        ("Can I return sale items?", "Can I not return sale items?"),
        ("Is the tent waterproof?", "Isn't the tent waterproof?"),
        ("When do you open on Saturday?", "When do you open on Sunday?"),
        ("when do you open on saturdays", "when do you open on sundays"),
        ("How do I turn on the headlamp?", "How do I turn off the headlamp?"),
        ("Can I enable notifications?", "Can I disable notifications?"),
        ("Do you deliver to France?", "Do you deliver to Spain?"),
        ("Do you deliver to France?", "do you deliver to spain"),
        ("Is it open? In Lyon it is.", "Is it open? In Kempten it is."),
        ("Kann ich Schuhe umtauschen?", "Kann ich Schuhe nicht umtauschen?"),
        ("¿Puedo pagar con tarjeta?", "¿Puedo pagar sin tarjeta?"),
        ("Puis-je payer avec une carte ?", "Puis-je payer sans carte ?"),
    ],
)
def test_what_turns_a_question_is_noticed(first: str, second: str) -> None:
    """However near their vectors are: the other one has another answer."""
    assert not same_details(first, second)
    assert not same_details(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Do you deliver to France?", "do you ship to france"),
        ("Can I bring my dog to the shop?", "Can I bring my dog into the shop with me?"),
        ("I can't log in", "I cannot log in"),
        ("How do I delete my account?", "How can I remove my account?"),
        ("Do you deliver to France?", "Do you deliver abroad?"),
        ("What is the capital of Mongolia?", "What is Mongolia's capital?"),
        ("How do I return an item?", "Please: How can I send an item back?"),
        ("How much is shipping?", "What does I'm-in-a-hurry shipping cost?"),
        ("¿Cuánto cuesta el envío?", "¿Cuánto es el envío?"),
    ],
)
def test_other_words_for_the_same_pass(first: str, second: str) -> None:
    """Names may be written small, and a sentence begins with a capital letter."""
    assert same_details(first, second)
    assert same_details(second, first)
