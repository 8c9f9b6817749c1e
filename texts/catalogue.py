"""Finds the translation of a sentence."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final

from texts.failures import FAILURES
from texts.knowledge import KNOWLEDGE
from texts.mails import MAILS
from texts.problems import PROBLEMS


class Language(StrEnum):
    """A language that our texts exist in."""

    EN = "en"
    DE = "de"
    ES = "es"
    FR = "fr"


ENGLISH: Final = Language.EN
OTHERS: Final = (Language.DE, Language.ES, Language.FR)

# English with named places, then German, Spanish and French with the same ones.
CATALOGUE: Final[dict[str, tuple[str, str, str]]] = {**PROBLEMS, **KNOWLEDGE, **FAILURES, **MAILS}

PLACE: Final = re.compile(r"\{(\w*)\}")


def translate(sentence: str, language: Language) -> str:
    """The sentence in another language; as it is if the catalogue does not have it."""
    return sentence if language is ENGLISH else _translated(sentence, language)


@lru_cache(maxsize=1024)
def _translated(sentence: str, language: Language) -> str:
    number = OTHERS.index(language)
    if sentence in CATALOGUE:
        return CATALOGUE[sentence][number]
    for pattern, translations in _patterns():
        if match := pattern.fullmatch(sentence):
            return translations[number].format(**match.groupdict())
    return sentence


@cache
def _patterns() -> list[tuple[re.Pattern[str], tuple[str, str, str]]]:
    """Those with places, as patterns of what the places may hold: a word, number or address."""
    return [
        (re.compile(PLACE.sub(r"(?P<\1>[^\\s]+)", _escaped(english))), translations)
        for english, translations in CATALOGUE.items()
        if PLACE.search(english)
    ]


def _escaped(english: str) -> str:
    """For a pattern, but for the places."""
    parts = PLACE.split(english)
    return "".join(
        re.escape(part) if number % 2 == 0 else f"{{{part}}}" for number, part in enumerate(parts)
    )
