"""Finds the translation of a sentence."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from texts.failures import FAILURES
from texts.knowledge import KNOWLEDGE
from texts.mails import MAILS
from texts.pages import PAGES
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
CATALOGUE: Final[dict[str, tuple[str, str, str]]] = {
    **PROBLEMS, **KNOWLEDGE, **FAILURES, **MAILS, **PAGES,
}  # fmt: skip

PLACE: Final = re.compile(r"\{(\w*)\}")


class Filled(str):
    """An English sentence that still knows its entry and what its places were filled with, so that
    what somebody typed there, blanks and all, need not be found again in the text."""

    template: str
    values: dict[str, object]


def fill(template: str, **values: object) -> Filled:
    """The sentence of an entry of the catalogue: its places, such as {name}, get these values."""
    sentence = Filled(template.format(**values))
    sentence.template, sentence.values = template, values
    return sentence


def counted(one: str, many: str, **value: int) -> str:
    """The entry for one, or that for many with its only place filled: "one second", "5 seconds"."""
    (number,) = value.values()
    return one if number == 1 else fill(many, **value)


def translate(sentence: str, language: Language) -> str:
    """The sentence in another language; as it is if the catalogue does not have it."""
    template = sentence.template if isinstance(sentence, Filled) else sentence
    if language is ENGLISH or template not in CATALOGUE:
        return str(sentence)
    translation = CATALOGUE[template][OTHERS.index(language)]
    return translation.format(**sentence.values) if isinstance(sentence, Filled) else translation
