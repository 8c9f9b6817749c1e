"""Answers without a language model: the best-supported sentences of the sources, cited."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rag.generation.base import GenerationEvent, Prompt, TextPiece, UsageReport
from rag.language import detect_language
from rag.plain import plain_sentences, section_numbers
from rag.prompt import estimate_tokens
from rag.stemming import stems
from rag.types import Hit, Retrieval, Span

MAX_SENTENCES: Final = 4
# Sentences from hits after this one are rarely about the question.
_MAX_HITS: Final = 4
_MIN_HIT_SHARE: Final = 0.5  # of the best hit's relevance
_OVERLAP_WEIGHT: Final = 0.35
_HIT_WEIGHT: Final = 0.5
_MIN_SHARE: Final = 0.9  # of the best sentence's score, for a further sentence

_PIECE = re.compile(r"\S+\s*|\s+")
_LEANING = re.compile(
    r"(?:it|its|they|them|their|this|that|these|those|he|she|then|also|otherwise|however|but|so|"
    r"instead|er|es|sie|dies|diese|dieser|dieses|das|dann|danach|dabei|dafür|sonst|jedoch|außerdem|"
    r"ella|ellos|esto|eso|este|esta|entonces|además|también|luego|después|en ese caso|"
    r"il|elle|ils|elles|cela|ça|ceci|ensuite|puis|alors|sinon|dans ce cas)\b",
    re.IGNORECASE,
)

_NOT_COVERED: Final = {
    "en": ("The documents do not cover this.", "The nearest topics in them are: {}.", " and "),
    "de": ("Dazu steht in den Dokumenten nichts.", "Am nächsten kommen die Themen: {}.", " und "),
    "es": ("Los documentos no tratan este tema.", "Los temas más cercanos son: {}.", " y "),
    "fr": (
        "Les documents ne traitent pas de ce sujet.",
        "Les sujets les plus proches sont : {}.",
        " et ",
    ),
}
_MAX_TOPICS: Final = 3


@dataclass(frozen=True, slots=True)
class _Sentence:
    hit: int  # its place among the hits, from 0
    place: int  # its place in the passage
    section: int  # how many headings stand before it in the passage
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class _Readable:
    """A sentence of a passage without its markup."""

    place: int
    section: int
    text: str
    terms: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Candidate:
    hit: int
    place: int
    section: int
    text: str
    terms: frozenset[str]
    cosine: float


class OfflineGenerator:
    """A `Generator` that quotes: deterministic, at once, and it cannot say what no source says."""

    provider: Final = "offline"
    model: Final = "extractive"

    async def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        """Stream the answer word by word, without delay."""
        text = compose(prompt.retrieval)
        for piece in _PIECE.findall(text):
            yield TextPiece(piece)
        yield UsageReport(prompt.prompt_tokens, estimate_tokens(text))

    async def close(self) -> None:
        """There is nothing to release."""


def compose(retrieval: Retrieval) -> str:
    """The answer's text: one to four sentences, each followed by its [n]; or what is missing."""
    if not retrieval.grounded or not retrieval.hits:
        return _not_covered(retrieval)
    chosen = _choose(retrieval)
    if not chosen:
        return _not_covered(retrieval)
    return " ".join(f"{_ended(item.text)} [{item.hit + 1}]" for item in chosen)


def _not_covered(retrieval: Retrieval) -> str:
    language = detect_language(retrieval.question)
    missing, nearest, joint = _NOT_COVERED[language]
    titles = list(dict.fromkeys(hit.passage.title for hit in retrieval.nearest))[:_MAX_TOPICS]
    titles = [re.sub(r"\[(\d+)\]", r"(\1)", title) for title in titles]
    if not titles:
        return missing
    listed = joint.join(filter(None, [", ".join(titles[:-1]), titles[-1]]))
    return f"{missing} {nearest.format(listed)}"


def _choose(retrieval: Retrieval) -> list[_Sentence]:
    """The best sentence, others that are nearly as good, and what they lean on; in reading order.

    The better hit comes first; within a passage its own order holds.
    """
    sentences = _scored(retrieval)
    if not sentences:
        return []
    ranked = sorted(sentences, key=lambda item: (-item.score, item.hit, item.place))
    by_place = {(item.hit, item.place): item for item in sentences}
    least = ranked[0].score * _MIN_SHARE
    chosen: dict[tuple[int, int], _Sentence] = {}
    seen: list[set[str]] = []
    for item in ranked:
        group = [item] if (item.hit, item.place) not in chosen else []
        if group and _LEANING.match(item.text):
            before = by_place.get((item.hit, item.place - 1))
            if (
                before is not None
                and before.section == item.section
                and (before.hit, before.place) not in chosen
            ):
                group = [before, item]
        if item.text.endswith(":"):
            group += _following(item, by_place)
        if len(chosen) + len(group) > MAX_SENTENCES or (chosen and item.score < least):
            continue
        words = set(item.text.lower().split())
        if any(len(words & other) >= 0.8 * len(words) for other in seen):
            continue
        seen.append(words)
        chosen.update({(part.hit, part.place): part for part in group})
        if len(chosen) >= MAX_SENTENCES:
            break
    order = {item.hit: rank for rank, item in reversed(list(enumerate(ranked)))}
    return sorted(chosen.values(), key=lambda item: (order[item.hit], item.place))


def _following(item: _Sentence, by_place: dict[tuple[int, int], _Sentence]) -> list[_Sentence]:
    """What an introduction that ends in a colon introduces."""
    following = []
    for step in range(1, MAX_SENTENCES):
        next_item = by_place.get((item.hit, item.place + step))
        if next_item is None or next_item.section != item.section:
            break
        following.append(next_item)
    return following


def _scored(retrieval: Retrieval) -> list[_Sentence]:
    """Each readable sentence of the better hits with its support: the cosine with the question,
    the share of the question's rarer words, and the relevance of its hit."""
    least = retrieval.hits[0].score * _MIN_HIT_SHARE
    found = [
        candidate
        for place, hit in enumerate(retrieval.hits[:_MAX_HITS])
        if hit.score >= least
        for candidate in _candidates(place, hit, retrieval)
    ]
    frequency = Counter(term for candidate in found for term in candidate.terms)
    weights: dict[str, dict[str, float]] = {}
    scored = []
    for candidate in found:
        hit = retrieval.hits[candidate.hit]
        language = _language(hit)
        if language not in weights:
            weights[language] = {
                term: math.log1p(len(found) / (1 + frequency[term]))
                for term in stems(retrieval.query, language)
            }
            if retrieval.query != retrieval.question:
                # The turn before has been answered already: its words count half.
                own = set(stems(retrieval.question, language))
                for term in weights[language].keys() - own:
                    weights[language][term] /= 2
        wanted = weights[language]
        total = sum(wanted.values()) or 1.0
        overlap = sum(wanted[term] for term in candidate.terms & wanted.keys()) / total
        score = candidate.cosine + _OVERLAP_WEIGHT * overlap + _HIT_WEIGHT * hit.score
        scored.append(
            _Sentence(candidate.hit, candidate.place, candidate.section, candidate.text, score)
        )
    return scored


def _candidates(place: int, hit: Hit, retrieval: Retrieval) -> list[_Candidate]:
    """The hit's sentences nearest to the question; those that say nothing alone are left out."""
    passage = hit.passage
    readable = _readable(
        passage.text, passage.start, passage.sentences, passage.table_head, _language(hit)
    )
    cosines: list[float] = (
        (passage.sentence_vectors @ retrieval.focus_vector).tolist()
        if len(passage.sentence_vectors) == len(passage.sentences)
        else [0.0] * len(passage.sentences)
    )
    return [
        _Candidate(place, item.place, item.section, item.text, item.terms, cosines[item.place])
        for item in readable
    ]


# Passages that answer one question answer others, too.
@lru_cache(maxsize=1024)
def _readable(
    text: str, start: int, sentences: tuple[Span, ...], table_head: str, language: str
) -> tuple[_Readable, ...]:
    plain = plain_sentences(text, start, sentences, table_head=table_head)
    sections = section_numbers(text, start, sentences)
    return tuple(
        _Readable(place, section, sentence, frozenset(stems(sentence, language)))
        for place, (section, sentence) in enumerate(zip(sections, plain, strict=True))
        if _says_something(sentence, text, sentences[place].start - start)
    )


def _language(hit: Hit) -> str:
    return hit.passage.language or "en"


def _says_something(sentence: str, passage: str, start: int) -> bool:
    """Whether the readable form of the sentence at `start` of a passage's text stands alone.

    Not a table's head, nor a caption or word on its own, unless it is an item of a list.
    """
    if not sentence:
        return False
    if sentence[-1] in ".!?:" or len(sentence.split()) >= 4:
        return True
    line_start = passage.rfind("\n", 0, start) + 1
    marked = bool(passage[line_start:start].strip())  # a bullet or number stands before it
    return marked or passage[start : start + 1] == "|"


def _ended(text: str) -> str:
    """The sentence with an end: a list item or row often has none."""
    return text if text[-1] in ".!?…:\"'”»)" else text + "."
