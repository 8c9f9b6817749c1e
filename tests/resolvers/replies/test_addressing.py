from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.replies.addressing import is_addressed, without_address


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("@assistant, how long?", "how long?"),
        ("How long, @Assistant?", "How long, ?"),
        ("Hello @ASSISTANT: how long?", "Hello how long?"),
        ("@assistant\n\nhow long?\nReally?", "how long?\nReally?"),
        ("@assistant", "@assistant"),
    ],
)
def test_the_address_is_no_part_of_the_question(content: str, question: str) -> None:
    """It is taken out with its comma; a message that is nothing else stays as it is."""
    assert is_addressed(content)
    assert without_address(content) == question


@pytest.mark.parametrize(
    "content",
    ["assistant", "x@assistant", "@assistant_", "@assistants", "@ assistant", "Ü@assistant"],
)
def test_parts_of_other_words_address_nobody(content: str) -> None:
    """The word must stand alone."""
    assert not is_addressed(content)


@given(st.text())
def test_other_texts_are_left_alone(content: str) -> None:
    """Not even their spaces change."""
    if not is_addressed(content):
        assert without_address(content) == content
