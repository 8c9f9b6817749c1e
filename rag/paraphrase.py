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
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE_END: Final = ".!?:\n"
# Words, or their beginnings, that turn the meaning of a question while its vector hardly moves, in
# English, German, Spanish and French: negations, opposites, days and months. Of each pair of
# opposites one is enough: it is there in one question and not in the other.
_TURNS = re.compile(
    r"(?:not?|none|never|nothing|cannot|without|off|out|down|less|fewer|least|minimum|min|after|last"
    r"|\w+n['’]t|nicht|nichts|nie|niemals|ohne|kein\w*|weniger|mindest\w*|nach|letzt\w*"
    r"|nunca|sin|nada|ning[uú]n\w*|menos|después|pas|jamais|sans|rien|aucun\w*|moins|après"
    r"|(?:disab|deactiv|deaktiv|désactiv|desactiv|clos|cancel|remov|delet|unsubscri|schließ|storn"
    r"|cerr|ferm|annul|supprim|elimin|decreas|reduc)\w*"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|(?:mon|diens|donners|frei|sams|sonn)tags?"
    r"|mittwochs?|sonnabends?|lunes|martes|miércoles|jueves|viernes|sábados?|domingos?|lundi|mardi"
    r"|mercredi|jeudi|vendredi|samedi|dimanche"
    r"|january|february|april|june|july|august|september|october|november|december)",
    re.IGNORECASE,
)


def same_details(first: str, second: str) -> bool:
    """Whether both name the same numbers, models, names, days and negations: "Firn 2" and "Firn 3",
    "on Saturday" and "on Sunday" are near each other in every embedding.

    A name is a word with a capital letter that begins no sentence, in German any noun. One that
    only one question has may be left out in the other, but not replaced; in a question that begins
    with a small letter one cannot tell.
    """
    if details(first) != details(second) or _turns(first) != _turns(second):
        return False
    only_first = _names(first) - _words(second) or _is_careless(first)
    only_second = _names(second) - _words(first) or _is_careless(second)
    return not (only_first and only_second) or (
        _names(first) <= _words(second) and _names(second) <= _words(first)
    )


def _is_careless(text: str) -> bool:
    word = _WORD.search(text)
    return word is not None and word.group()[0].islower()


def _turns(text: str) -> frozenset[str]:
    words = _words(text)
    return frozenset(_meant(word) for word in words if _TURNS.fullmatch(word))


def _meant(word: str) -> str:
    """One word for those that mean the same."""
    if word in ("no", "not", "cannot") or word.endswith(("n't", "n’t")):
        return "not"
    return "remove" if word.startswith(("delet", "remov", "elimin", "supprim")) else word


def _words(text: str) -> frozenset[str]:
    return frozenset(_bare(word.group()) for word in _WORD.finditer(text))


def _bare(word: str) -> str:
    """In small letters and without the "'s" of a genitive."""
    return word.lower().removesuffix("'s").removesuffix("’s")


def _names(text: str) -> frozenset[str]:
    """Words with a capital letter, except those that a sentence begins with, and "I"."""
    found = set()
    for word in _WORD.finditer(text):
        before = text[: word.start()].rstrip(" \t\"'“„«¿¡([-")
        begins = not before or before[-1] in _SENTENCE_END
        if word.group()[0].isupper() and not begins and re.split("['’]", word.group())[0] != "I":
            found.add(_bare(word.group()))
    return frozenset(found)


def same_language(first: str, second: str) -> bool:
    """Whether both are in the same language, as far as one can tell."""
    language = detect_language(first)
    return language == detect_language(second, default=language)


def details(text: str) -> frozenset[str]:
    """What `same_details` compares: words with digits."""
    return frozenset(_DETAIL.findall(text.lower()))
