from __future__ import annotations

import pytest

from rag.query import (
    MAX_QUERY_LENGTH,
    QueryTexts,
    continuation,
    looks_dependent,
    part_weights,
    query_texts,
)
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


def test_a_question_is_searched_alone_and_with_what_was_said_last() -> None:
    """The question before completes it; the last answer's beginning names what it was about."""
    texts = query_texts("How heavy is it?", HISTORY)
    assert texts == QueryTexts(
        question="How heavy is it?",
        joined="What does the Firn 2 cost?\nHow heavy is it?",
        full="How heavy is it?\nWhat does the Firn 2 cost?\nNine euros a day.",
        context="What does the Firn 2 cost?\nNine euros a day.",
    )
    assert texts.searched() == (texts.question, texts.joined, texts.full)
    assert texts.embedded() == (*texts.searched(), texts.context)


def test_the_history_counts_as_far_as_the_question_leans_on_it() -> None:
    """What question and context find decides, and the length; the question always counts 1."""
    follow_up = query_texts("And how heavy is it?", HISTORY)
    other = query_texts("Where can customers park cars?", HISTORY)
    assert continuation(follow_up, 0.0) > 0.99
    assert continuation(other, -1.5) < 0.1 < continuation(other, -0.9) < 0.9
    long = query_texts("Where can customers park " + "really large " * 20 + "cars?", HISTORY)
    assert continuation(long, -0.5) < 0.2 < 0.8 < continuation(other, -0.5)
    assert part_weights(follow_up, 0.8) == (1.0, 0.4, 0.8)


def test_messages_between_people_complete_a_question_too() -> None:
    """What people wrote since the last answer does not hide the question that was answered."""
    history = [*HISTORY, Turn("user", "Thanks!", author="Ben"), Turn("user", "Hm.", author="Anna")]
    assert query_texts("How heavy is it?", history).joined == (
        "What does the Firn 2 cost?\nThanks!\nHm.\nHow heavy is it?"
    )


def test_without_earlier_turns_the_question_stands_alone() -> None:
    """No history, or none of the user's, changes nothing; very long texts are cut."""
    alone = query_texts("How heavy is it?", [])
    assert alone == QueryTexts("How heavy is it?")
    assert alone.searched() == alone.embedded() == ("How heavy is it?",)
    assert part_weights(alone, 0.9) == (1.0,)
    assert continuation(alone, 0.0) == 0.0
    greeted = query_texts("And?", [Turn("assistant", "Hello"), Turn("user", " ")])
    assert greeted == QueryTexts("And?")
    assert len(query_texts("x " * 8000, []).question) == MAX_QUERY_LENGTH


def test_without_an_answer_the_question_before_counts_alone() -> None:
    """Nobody has answered yet: what was said before is joined all the same."""
    texts = query_texts("And on Sundays?", [Turn("user", "When do you open?")])
    assert texts.context == "When do you open?"
    assert texts.full == "And on Sundays?\nWhen do you open?"
    assert part_weights(texts, continuation(texts, 0.0))[2] > 0.99
