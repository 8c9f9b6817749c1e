"""Where sentences end: rules for English, German, Spanish and French, in linear time."""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BOUNDARY = re.compile(
    # One run of terminators; the look-behind starts it at its head only, and the possessive
    # quantifiers keep a run that is followed by no space from being tried again at each character.
    r"(?<![.!?…。！？])[.!?…。！？]++[\"'”’»›)\]*_`]*+(?=\s|\Z)"
    r"|[。！？]"
)
_LAST_TOKEN = re.compile(r"[^\s(\[„“\"«']+\Z")
_NEXT_WORD = re.compile(r"\s*[\"'„“‚‘«‹(\[¿¡*_`]*([^\s]*)")
_LOOK_BACK: Final = 24
_LOOK_AHEAD: Final = 40

# Lower case, without the last full stop. After these a sentence goes on, whatever follows.
_ABBREVIATIONS: Final = _words("""
    mr mrs ms dr prof e.g i.e eg ie vs cf viz approx fig figs dept mt rev gen col sgt capt
    z.b d.h u.a u.ä o.ä z.t i.d.r v.a bzw ca evtl ggf inkl exkl zzgl vgl nr str tel hr fr hrsg bspw
    sog mind gem lt mio mrd dipl ing
    sr sra srta dra ud uds vd vds p.ej ej ee ee.uu núm pág págs aprox avda
    mm mme mmes mlle mlles p.ex env réf tél boul
    """)
# After these a sentence may well end: only a following lower-case word says that it does not.
_NEED_LOWER_CASE: Final = _words("etc usw inc ltd co corp a.m p.m am pm u.s u.k")
# After these a sentence goes on only to a number: "No. 5", "Art. 3".
_NEED_NUMBER: Final = _words("no nos art abs sec ch vol ed pp max min st")

_GERMAN_MONTHS: Final = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "jan feb mär apr jun jul aug sep sept okt nov dez"
)
# An ordinal follows these in German: "am 3. Werktag", "im 2. Stock".
_BEFORE_ORDINAL: Final = _words(
    "am vom zum zur im beim ab bis der die das den dem des jeder jeden jedes ein eine einen "
    "und seit nach"
)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Offsets (start, end) of the sentences of one paragraph, without surrounding blanks.

    Every non-blank character is in exactly one of them. A line break is a blank like any other.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if _goes_on(text, match.start(), match.end()):
            continue
        _append_stripped(spans, text, start, match.end())
        start = match.end()
    _append_stripped(spans, text, start, len(text))
    return spans


def strip_span(text: str, start: int, end: int) -> tuple[int, int]:
    """The same span without blanks at its ends; empty (start == end) if it is blank."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _append_stripped(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    start, end = strip_span(text, start, end)
    if start < end:
        spans.append((start, end))


def _goes_on(text: str, dot: int, end: int) -> bool:
    """Whether the sentence continues after the terminator run text[dot:end]."""
    following = _NEXT_WORD.match(text, end, min(len(text), end + _LOOK_AHEAD))
    next_word = following.group(1) if following else ""
    if not next_word:
        return False
    lower_follows = next_word[0].islower()
    if text[dot] in "!?…。！？" or text[dot : dot + 2] == "..":
        return lower_follows and text[dot] in "…."
    if lower_follows:
        return True
    before = _LAST_TOKEN.search(text, max(0, dot - _LOOK_BACK), dot)
    token = before.group().lower() if before else ""
    if not token:  # a full stop on its own, or a very long token
        return False
    if token in _ABBREVIATIONS:
        return True
    if token in _NEED_LOWER_CASE:
        return False
    if token in _NEED_NUMBER:
        return next_word[0].isdigit()
    if len(token) == 1 and token.isalpha():  # an initial or "z. B.", not "I." or "24 h."
        unit = text[max(0, dot - 3) : dot - 1].strip().isdigit()
        return not unit and (token not in {"i", "y", "a", "à"} or _is_initial(text, dot))
    if token.isdigit() and len(token) <= 2:
        return _is_ordinal(text, dot - len(token), next_word)
    return False


def _is_initial(text: str, dot: int) -> bool:
    """Whether the single letter before the full stop is a capital: "I. Newton", not "and I."."""
    return text[dot - 1].isupper() and text[dot - 1] != "I"


def _is_ordinal(text: str, number: int, next_word: str) -> bool:
    if number == 0 or text[max(0, number - 2) : number].endswith("\n"):
        return True  # "1. Open the lid" at the head of a line is a list marker
    if next_word.lower().strip(".,;:!?)") in _GERMAN_MONTHS:
        return True
    before = _LAST_TOKEN.search(text, max(0, number - _LOOK_BACK), number - 1)
    return before is not None and before.group().lower() in _BEFORE_ORDINAL
