from __future__ import annotations

import re

import pytest

from rag.citations import cite
from rag.generation.base import TextPiece, UsageReport
from rag.generation.offline import OfflineGenerator, compose
from rag.prompt import build_prompt
from tests.rag.samples import passage, retrieval

RETURNS = passage(
    "# Time\n\nYou may send goods back within 30 days. They must be unused. "
    "Shipping is handled by our partner in Linz.\n\n"
    "- Gas canisters cannot be returned\n- Gift cards cannot be returned\n\n"
    "| Condition | Refund |\n|---|---|\n| Light traces of dust | 80 % |\n| Broken | 0 % |",
    title="Returns",
)
SUPPORT = passage("The **support desk** opens at [nine](https://x.example).", chunk_id=2)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many days may I send goods back?", "You may send goods back within 30 days. [1]"),
        ("Can gas canisters be returned?", "Gas canisters cannot be returned. [1]"),
        (
            "What is the refund for light traces of dust?",
            "Light traces of dust: Refund 80 %. [1]",
        ),
    ],
)
def test_the_best_sentence_is_quoted_and_cited(question: str, expected: str) -> None:
    """Sentences are taken word for word; list items and rows become readable ones."""
    found = retrieval(question, RETURNS, SUPPORT, scores=(0.9, 0.2))
    answer = compose(found)
    assert expected in answer
    assert "Condition" not in answer
    assert 1 <= len(re.findall(r"\[1\]", answer)) <= 4
    (cited,) = cite(expected, found)
    assert cited.quote in RETURNS.text


def test_markdown_is_made_readable() -> None:
    """Emphasis and link targets do not reach the answer."""
    assert compose(retrieval("When does the support desk open?", SUPPORT)) == (
        "The support desk opens at nine. [1]"
    )


def test_a_sentence_that_leans_on_another_brings_it_along() -> None:
    """ "They must be unused." comes with the sentence that says what."""
    answer = compose(retrieval("must they be unused", RETURNS))
    assert "You may send goods back within 30 days. [1] They must be unused. [1]" in answer


def test_an_introduction_brings_its_list_along() -> None:
    """A sentence that ends in a colon is followed by what it announces."""
    item = passage("You need for the espresso machine:\n\n- a filter\n- fresh clean water\n")
    answer = compose(retrieval("What do I need for the espresso machine?", item))
    assert answer == ("You need for the espresso machine: [1] a filter. [1] fresh clean water. [1]")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Who is the mayor of the town?",
            "The documents do not cover this. The nearest topics in them are: Returns and Title.",
        ),
        (
            "Wer ist der Bürgermeister?",
            "Dazu steht in den Dokumenten nichts. "
            "Am nächsten kommen die Themen: Returns und Title.",
        ),
        (
            "¿Quién es el alcalde de la ciudad?",
            "Los documentos no tratan este tema. Los temas más cercanos son: Returns y Title.",
        ),
        (
            "Qui est le maire de la ville ?",
            "Les documents ne traitent pas de ce sujet. "
            "Les sujets les plus proches sont : Returns et Title.",
        ),
    ],
)
def test_without_support_it_says_so_in_the_questions_language(question: str, expected: str) -> None:
    """What the documents do not cover is not answered; near topics are named, uncited."""
    assert compose(retrieval(question, RETURNS, SUPPORT, grounded=False)) == expected


def test_passages_without_sentences_or_words_give_no_answer() -> None:
    """A passage that says nothing readable counts as nothing found."""
    head = passage("| A | B |\n|---|---|")
    assert compose(retrieval("A or B?", head)).startswith("The documents do not cover this.")
    assert compose(retrieval("A or B?")) == "The documents do not cover this."


def test_a_number_in_brackets_in_a_document_is_no_marker() -> None:
    """Text like "see [3]" cannot pass for a citation."""
    item = passage("The warranty terms are listed in section [3] of the contract.", title="[4]")
    answer = compose(retrieval("Where are the warranty terms listed?", item))
    assert answer == "The warranty terms are listed in section (3) of the contract. [1]"
    assert "(4)" in compose(retrieval("warranty", item, grounded=False))


@pytest.mark.anyio
async def test_it_streams_words_and_then_a_usage() -> None:
    """The pieces make up the text, the same each time."""
    found = retrieval("How many days may I send goods back?", RETURNS)
    generator = OfflineGenerator()
    prompt = build_prompt(found, [])
    events = [event async for event in generator.generate(prompt)]
    pieces = [event.text for event in events if isinstance(event, TextPiece)]
    assert "".join(pieces) == compose(found)
    assert pieces[:2] == ["You ", "may "]
    usage = events[-1]
    assert isinstance(usage, UsageReport)
    assert usage.prompt_tokens == prompt.prompt_tokens
    assert [event async for event in generator.generate(prompt)] == events
    assert (generator.provider, generator.model) == ("offline", "extractive")
    await generator.close()
