"""Completes a question that leans on earlier turns, without a model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rag.plain import plain
from rag.types import Turn

# What is embedded and searched; the model sees only about as many characters anyway.
MAX_QUERY_LENGTH: Final = 2_000
_MAX_CONTEXT_LENGTH: Final = 600
_MAX_ANSWER_LENGTH: Final = 300
_SHORT: Final = 4

# Against the question alone, which counts 1.
_JOINED_WEIGHT: Final = 0.5
_FULL_WEIGHT: Final = 1.0
# Intercept, and what the agreement and the logarithm of one more than the number of words count.
_CONTINUES: Final = (12.0, 7.0, -3.0)

_WORD = re.compile(r"\w+")

_OPENINGS: Final = re.compile(
    r"\W*(?:and|or|but|also|then|so|what about|how about|what if|why not|same|only|even|in that "
    r"case|und|oder|aber|auch|dann|was ist mit|wie ist es mit|wie sieht es|gilt das|gilt dies|"
    r"y|e|o|pero|también|entonces|qué tal|que tal|et|ou|mais|aussi|alors|et pour|qu'en est-il)\b",
    re.IGNORECASE,
)
_REFERRING: Final = (
    # English
    "it its they them their theirs this that these those he she him her one ones there same other "
    "others another else instead too "
    # German
    "er es sie ihn ihm ihr ihnen ihre ihrer das dies diese dieser dieses diesen diesem dort davon "
    "dafür dazu damit darauf daran darin dabei dabei welche andere anderen sonst stattdessen "
    # Spanish
    "eso esto ese esa esos esas este esta estos estas lo la los las él ella ellos ellas ahí allí "
    "otro otra otros otras mismo misma "
    # French
    "ça cela ceci celui celle ceux celles il elle ils elles le la les leur leurs y en autre autres "
    "même là"
)
_REFERRING_WORDS: Final = frozenset(_REFERRING.split())


def looks_dependent(question: str) -> bool:
    """Whether the question alone is hardly complete: short, with a pronoun, or continuing."""
    words = [word.lower() for word in _WORD.findall(question[:MAX_QUERY_LENGTH])]
    return (
        len(words) <= _SHORT
        or _OPENINGS.match(question) is not None
        or any(word in _REFERRING_WORDS for word in words)
    )


@dataclass(frozen=True, slots=True)
class QueryTexts:
    """What a question is searched as: alone, joined with what was said last (`joined`), and also
    with the last answer's beginning (`full`). `context` is what they are joined with. Without
    earlier turns all but `question` are empty.

    What was said last is the question that was last answered and, where people also write to each
    other, what they wrote since.
    """

    question: str
    joined: str = ""
    full: str = ""
    context: str = ""

    def searched(self) -> tuple[str, ...]:
        """The texts to search for, by `part_weights`."""
        return (self.question, self.joined, self.full) if self.context else (self.question,)

    def embedded(self) -> tuple[str, ...]:
        """The texts to embed: those to search for, and the context."""
        return (*self.searched(), self.context) if self.context else self.searched()


def query_texts(question: str, history: Sequence[Turn]) -> QueryTexts:
    """The forms of a question that is asked after `history` (oldest turn first)."""
    question = question[:MAX_QUERY_LENGTH]
    previous = _said_last(history).strip()[:_MAX_CONTEXT_LENGTH]
    if not previous:
        return QueryTexts(question)
    answers = [turn.text for turn in history if turn.role == "assistant"]
    answer = plain(answers[-1])[:_MAX_ANSWER_LENGTH] if answers else ""
    context = f"{previous}\n{answer}" if answer else previous
    # The model reads only the beginning of a long text: the question must stand in it.
    return QueryTexts(question, f"{previous}\n{question}", f"{question}\n{context}", context)


def part_weights(texts: QueryTexts, leaning: float) -> tuple[float, ...]:
    """What each of `texts.searched()` counts, for a question that leans on the conversation with
    the probability `leaning`.

    The question alone always counts, so that one about a new matter is answered whatever was said
    before.
    """
    if not texts.context:
        return (1.0,)
    return 1.0, leaning * _JOINED_WEIGHT, leaning * _FULL_WEIGHT


def continuation(texts: QueryTexts, agreement: float) -> float:
    """How likely the question leans on what was said before, 0..1.

    `agreement` says how far the question and the context find the same passages (see
    `KnowledgeIndex.agreement`): a question about another matter finds others. Long questions are
    complete more often than short ones. A logistic regression.
    """
    if not texts.context:
        return 0.0
    intercept, same, length = _CONTINUES
    words = len(_WORD.findall(texts.question))
    return 1.0 / (1.0 + math.exp(-(intercept + same * agreement + length * math.log1p(words))))


def _said_last(history: Sequence[Turn]) -> str:
    """The question that was last answered and, where people also write to each other, what they
    wrote since: that alone may be a word of thanks."""
    texts: list[str] = []
    answered = False
    for turn in reversed(history):
        if turn.role == "assistant":
            answered = True
        else:
            texts.append(turn.text)
            if answered:
                break
    return "\n".join(reversed(texts))
