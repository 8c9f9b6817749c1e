"""Words reduced to their stems, per language, without function words."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import snowballstemmer

from rag.language import STOP_WORDS

_STEMMERS: Final = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_WORD = re.compile(r"\w+")


def stems(text: str, language: str) -> list[str]:
    """The stems of the text's words in order, without function words.

    A language without stemmer or list of function words gets neither treatment.
    """
    return [stem for word in _WORD.findall(text.lower()) if (stem := _stem(word, language))]


@lru_cache(maxsize=100_000)
def _stem(word: str, language: str) -> str:
    if word in STOP_WORDS.get(language, ()):
        return ""
    name = _STEMMERS.get(language)
    return word if name is None else _stemmer(name).stemWord(word)


@lru_cache(maxsize=32)
def _stemmer(name: str) -> Any:
    return snowballstemmer.stemmer(name)
