"""Completes a question that leans on earlier turns, without a model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rag.plain import plain
from rag.types import FloatMatrix, Turn

# What is embedded and searched; the model sees only about as many characters anyway.
MAX_QUERY_LENGTH: Final = 2_000
_MAX_CONTEXT_LENGTH: Final = 600
_MAX_ANSWER_LENGTH: Final = 300
_SHORT: Final = 4

# Against the question alone, which counts 1.
_JOINED_WEIGHT: Final = 1.0
_ANSWER_WEIGHT: Final = 0.4
# Intercept, `looks_dependent`, cosine with the question before, cosine with the answer before.
_CONTINUES: Final = (-1.4, 1.1, 5.4, 4.2)

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
    """What a question is searched as: alone, joined with what was said last (`joined`), and beside
    the last answer's beginning. Without earlier turns all but `question` are empty.

    `previous` is what was said last: the question that was last answered and, where people also
    write to each other, what they wrote since.
    """

    question: str
    previous: str = ""
    joined: str = ""
    answer: str = ""

    def searched(self) -> tuple[str, ...]:
        """The texts to search for, by `part_weights`."""
        return (self.question, self.joined, self.answer) if self.previous else (self.question,)

    def embedded(self) -> tuple[str, ...]:
        """The texts to embed: those to search for, and what they are compared with."""
        return (*self.searched(), self.previous) if self.previous else self.searched()


def query_texts(question: str, history: Sequence[Turn]) -> QueryTexts:
    """The forms of a question that is asked after `history` (oldest turn first)."""
    question = question[:MAX_QUERY_LENGTH]
    previous = _said_last(history).strip()[:_MAX_CONTEXT_LENGTH]
    if not previous:
        return QueryTexts(question)
    answers = [turn.text for turn in history if turn.role == "assistant"]
    answer = plain(answers[-1])[:_MAX_ANSWER_LENGTH] if answers else ""
    return QueryTexts(question, previous, f"{previous}\n{question}", answer)


def part_weights(texts: QueryTexts, vectors: FloatMatrix) -> tuple[float, ...]:
    """What each of `texts.searched()` counts; `vectors` has a row for each of `embedded()`.

    The more the question seems to continue the conversation, the more count the joined form and
    the answer before. The question alone always counts, so that one about a new matter is answered
    whatever was said before.
    """
    if not texts.previous:
        return (1.0,)
    share = continuation(texts, vectors)
    return 1.0, share * _JOINED_WEIGHT, share * _ANSWER_WEIGHT if texts.answer else 0.0


def continuation(texts: QueryTexts, vectors: FloatMatrix) -> float:
    """How likely the question leans on what was said before, 0..1; `vectors` as `part_weights`.

    A logistic regression over the words and over the cosines with the question and the answer
    before.
    """
    if not texts.previous:
        return 0.0
    question, _, answer, previous = vectors
    logit = (
        _CONTINUES[0]
        + _CONTINUES[1] * looks_dependent(texts.question)
        + _CONTINUES[2] * float(question @ previous)
        + (_CONTINUES[3] * float(question @ answer) if texts.answer else 0.0)
    )
    return 1.0 / (1.0 + math.exp(-logit))


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
