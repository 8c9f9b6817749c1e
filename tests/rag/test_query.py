from __future__ import annotations

import numpy as np
import pytest

from rag.query import (
    MAX_QUERY_LENGTH,
    QueryTexts,
    continuation,
    looks_dependent,
    part_weights,
    query_texts,
)
from rag.types import FloatMatrix, Turn

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


def unit(*numbers: float) -> list[float]:
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]


def vectors(question: list[float], answer: list[float], previous: list[float]) -> FloatMatrix:
    joined = unit(*(one + other for one, other in zip(question, previous, strict=True)))
    return np.array([question, joined, answer, previous], dtype=np.float32)


def test_a_question_is_searched_alone_joined_and_beside_the_last_answer() -> None:
    """What was said last completes it; the answer's beginning names what it was about."""
    texts = query_texts("How heavy is it?", HISTORY)
    assert texts == QueryTexts(
        question="How heavy is it?",
        previous="What does the Firn 2 cost?",
        joined="What does the Firn 2 cost?\nHow heavy is it?",
        answer="Nine euros a day.",
    )
    assert texts.searched() == (texts.question, texts.joined, texts.answer)
    assert texts.embedded() == (texts.question, texts.joined, texts.answer, texts.previous)


def test_the_history_counts_as_far_as_the_question_leans_on_it() -> None:
    """Words and nearness to what was said before decide; the question always counts 1."""
    close = vectors(unit(1, 0.5), unit(1, 0), unit(1, 0))
    far = vectors(unit(0, 1), unit(1, 0), unit(1, 0))
    follow_up = query_texts("And how heavy is it?", HISTORY)
    other = query_texts("Where can customers park cars?", HISTORY)
    leaning = part_weights(follow_up, close)
    assert leaning[0] == 1.0
    assert leaning[1] > 0.99
    assert leaning[2] == pytest.approx(0.4 * leaning[1])
    assert continuation(other, far) < 0.2 < continuation(follow_up, far) < 0.5
    assert part_weights(other, far)[1] == pytest.approx(continuation(other, far))


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
    assert part_weights(alone, np.ones((1, 2), dtype=np.float32)) == (1.0,)
    assert continuation(alone, np.ones((1, 2), dtype=np.float32)) == 0.0
    greeted = query_texts("And?", [Turn("assistant", "Hello"), Turn("user", " ")])
    assert greeted == QueryTexts("And?")
    assert len(query_texts("x " * 8000, []).question) == MAX_QUERY_LENGTH


def test_without_an_answer_the_question_before_counts_alone() -> None:
    """Nobody has answered yet: what was said before is joined all the same."""
    texts = query_texts("And on Sundays?", [Turn("user", "When do you open?")])
    assert texts.answer == ""
    weights = part_weights(texts, vectors(unit(1, 0), unit(0, 1), unit(1, 0)))
    assert weights[1] > 0.9
    assert weights[2] == 0.0
