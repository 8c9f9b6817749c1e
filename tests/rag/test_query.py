from __future__ import annotations

import pytest

from rag.query import MAX_QUERY_LENGTH, looks_dependent, search_texts
from rag.types import Turn

HISTORY = [
    Turn("user", "Which tents do you rent?"),
    Turn("assistant", "The Firn 2."),
    Turn("user", "What does the Firn 2 cost?"),
    Turn("assistant", "Nine euros a day."),
]


@pytest.mark.parametrize(
    "question",
    ["And for a week?", "How heavy is it?", "What about the larger model then?", "Warum?",
     "Und wie schwer ist das Zelt eigentlich?", "¿Y cuánto pesa la tienda grande sola?",
     "Et pour une semaine en été ça coûte combien ?", "Gilt das auch im Winter in der Schweiz?"],
)  # fmt: skip
def test_dependent_questions_are_recognised(question: str) -> None:
    """Short ones, ones with a pronoun and ones that continue."""
    assert looks_dependent(question)


@pytest.mark.parametrize(
    "question",
    ["How many days of annual leave do employees have?",
     "Wie viele Urlaubstage haben Mitarbeiter pro Jahr?"],
)  # fmt: skip
def test_complete_questions_are_recognised(question: str) -> None:
    """A question that names its matter stands alone."""
    assert not looks_dependent(question)


def test_dependent_questions_are_joined_with_the_users_turn_before() -> None:
    """The last question of the user completes this one; the assistant's words do not."""
    assert search_texts("How heavy is it?", HISTORY) == [
        "What does the Firn 2 cost?\nHow heavy is it?"
    ]
    complete = "How many days of annual leave do employees have?"
    assert search_texts(complete, HISTORY) == [
        complete,
        f"What does the Firn 2 cost?\n{complete}",
    ]


def test_messages_between_people_complete_a_question_too() -> None:
    """What people wrote since the last answer does not hide the question that was answered."""
    history = [*HISTORY, Turn("user", "Thanks!", author="Ben"), Turn("user", "Hm.", author="Anna")]
    assert search_texts("How heavy is it?", history) == [
        "What does the Firn 2 cost?\nThanks!\nHm.\nHow heavy is it?"
    ]


def test_without_earlier_turns_the_question_stands_alone() -> None:
    """No history, or none of the user's, changes nothing; very long texts are cut."""
    assert search_texts("How heavy is it?", []) == ["How heavy is it?"]
    assert search_texts("And?", [Turn("assistant", "Hello"), Turn("user", " ")]) == ["And?"]
    (text,) = search_texts("x " * 8000, [])
    assert len(text) == MAX_QUERY_LENGTH
