"""Whether two questions ask the same."""

from __future__ import annotations

import re
from typing import Final

from rag.language import detect_language

# Cosine from which one question counts as a paraphrase of another. Chosen by `python -m
# benchmarks.paraphrases` on the development half of StackFAQ; docs/decisions/answers.md.
THRESHOLD: Final = 0.8
# From here on questions are about the same matter, though they may ask other things of it.
RELATED: Final = 0.7

_DETAIL = re.compile(r"\w*\d\w*")


def same_details(first: str, second: str) -> bool:
    """Whether both name the same numbers and models: "Firn 2" and "Firn 3" are near each other in
    every embedding."""
    return details(first) == details(second)


def same_language(first: str, second: str) -> bool:
    """Whether both are in the same language, as far as one can tell."""
    language = detect_language(first)
    return language == detect_language(second, default=language)


def details(text: str) -> frozenset[str]:
    """What `same_details` compares: words with digits."""
    return frozenset(_DETAIL.findall(text.lower()))
