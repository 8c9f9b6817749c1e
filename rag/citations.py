"""Markers like [2] in an answer: wrong ones are removed as it streams, right ones are resolved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rag.language import detect_language
from rag.plain import plain, plain_sentences, section_numbers
from rag.sentences import split_sentences
from rag.stemming import stems
from rag.types import CitedPassage, Passage, Retrieval, Span

# A marker longer than this is not held back: what is held back cannot be read yet.
MAX_HELD: Final = 32
_MAX_DIGITS: Final = 4

_OPEN: Final = "[【"
_CLOSE: Final = "]】"
_SEPARATORS: Final = ",;&/+-–— "
_SOURCE_WORDS: Final = frozenset(
    ("source", "sources", "src", "ref", "quelle", "quellen", "fuente", "fuentes")
)
_JOINING_WORDS: Final = frozenset(("and", "und", "y", "et"))
_NO_SPACE_BEFORE: Final = ".,;:!?…)]}»"
_PART = re.compile(r"\d+|[-–—]")
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)[ \t#]*$", re.MULTILINE)
_CITED = re.compile(r"\[([1-9]\d{0,3})\]")

_MAX_QUOTED_SENTENCES: Final = 3
# A longer quote must support this much more of the claim for each further sentence.
_SENTENCE_COST: Final = 0.08


class CitationFilter:
    """Rewrites markers in a stream to [n] with 1 <= n <= hit_count, and removes all others.

    It understands [1], [1, 2], [1-3], [^1], [Source 1] and 【1】 with any digits; other text in
    brackets passes unchanged. The result does not depend on how the text is cut into pieces, and at
    most `MAX_HELD` characters and one space wait for the next piece. With a removed marker goes
    the space before it, where it would stay before a space, a full stop or the end.
    """

    def __init__(self, hit_count: int) -> None:
        self._hit_count = hit_count
        self._marker = ""  # the marker that is being read, from its bracket on
        self._state = ""
        self._word = ""
        self._held = ""  # what of `_marker` was not written yet
        self._outer: tuple[str, str, str] | None = None  # a marker broken off by `_marker`
        self._space = ""  # a space that waits to see whether a marker follows
        self._removed = False  # whether a marker was removed just now
        self._fresh_line = True  # whether nothing was written in this line yet

    def feed(self, text: str) -> str:
        """What can be shown now of all that was fed so far."""
        if not self._marker and not self._removed and "[" not in text and "【" not in text:
            return self._passed(text)
        out: list[str] = []
        for character in text:
            self._step(character, out)
        return "".join(out)

    def _passed(self, text: str) -> str:
        """A piece without brackets, at once: most pieces of most answers are like this."""
        if written := text.rstrip(" "):
            self._fresh_line = written[-1] == "\n"
        text = self._space + text
        self._space = " " if text.endswith(" ") else ""
        return text.removesuffix(" ")

    def finish(self) -> str:
        """The rest, when no more text comes."""
        out: list[str] = []
        self._give_up(out)
        if self._space and not self._removed:
            out.append(self._space)
        self._space = ""
        return "".join(out)

    def _step(self, character: str, out: list[str]) -> None:
        outer = None
        if self._marker:
            if character in _CLOSE and self._state in ("number", "separator", "tail"):
                self._close(out)
                return
            if self._continues(character):
                self._marker += character
                self._held += character
                if len(self._held) > MAX_HELD:
                    self._give_up(out)
                    self._marker = "[1" if self._state == "number" else self._marker[:MAX_HELD]
                return
            outer = self._marker, self._state, self._word
            self._give_up(out)
        if character in _OPEN:
            self._marker = self._held = character
            self._state, self._word, self._outer = "open", "", outer
        else:
            self._write(character, out)

    def _continues(self, character: str) -> bool:
        """Whether `character` may follow in a marker; moves to the next state if so."""
        state = self._state
        word_ended = state == "word" and self._word in _SOURCE_WORDS | _JOINING_WORDS
        if state == "tail":  # 【1†source】
            return character != "\n"
        if character.isdigit() and (state != "word" or word_ended):
            self._state, self._word = "number", ""
        elif character in _SEPARATORS and state in ("number", "separator"):
            self._state = "separator"
        elif character.isalpha() and state in ("open", "separator", "word", "prefix"):
            word = self._word + character.lower()
            known = _SOURCE_WORDS if state == "open" else _SOURCE_WORDS | _JOINING_WORDS
            if not any(other.startswith(word) for other in known):
                return False
            self._state, self._word = "word", word
        elif (character in " ^" and state in ("open", "prefix", "separator")) or (
            character in " :.#" and (word_ended or state == "prefix")
        ):
            self._state, self._word = "prefix", ""
        elif character == "†" and state == "number":
            self._state = "tail"
        else:
            return False
        return True

    def _close(self, out: list[str]) -> None:
        marker = self._marker
        if self._held != marker:
            # Its beginning stands in the text already. Without its end it is no marker, but stays
            # open, since what follows could complete it.
            self._held = ""
            return
        numbers = self._numbers(marker)
        self._marker = self._held = ""
        if numbers:
            for number in numbers:
                self._write(f"[{number}]", out)
            return
        self._removed = True
        if self._outer is not None:  # "[[0]7]": what is left must not become [7]
            self._marker, self._state, self._word = self._outer

    def _numbers(self, marker: str) -> list[int]:
        """The hits that a marker names, each once."""
        numbers: list[int] = []
        previous: int | None = None
        is_range = False
        for part in _PART.findall(marker):
            if not part.isdigit():
                is_range = previous is not None
                continue
            valid = part.isascii() and len(part.lstrip("0")) <= _MAX_DIGITS
            number = int(part) if valid else None
            if is_range and number is not None and previous is not None and previous < number:
                numbers += range(previous + 1, min(number, self._hit_count) + 1)
            elif number is not None and 1 <= number <= self._hit_count:
                numbers.append(number)
            previous, is_range = number, False
        return [number for number in dict.fromkeys(numbers) if number >= 1]

    def _give_up(self, out: list[str]) -> None:
        """What is held is no marker: write it."""
        held, self._marker, self._held = self._held, "", ""
        if held:
            self._write(held, out)

    def _write(self, text: str, out: list[str]) -> None:
        first = text[0]
        if self._removed:
            self._removed = False
            if first.isspace() or first in _NO_SPACE_BEFORE:
                self._space = ""
            if first == " " and self._fresh_line:
                return
        out.append(self._space)
        self._space = ""
        if text == " ":
            self._space = text
            return
        out.append(text)
        self._fresh_line = text == "\n"


def cite(text: str, retrieval: Retrieval) -> list[CitedPassage]:
    """The source behind each distinct [n] of a finished answer, by number.

    The quote is the run of one to three sentences of hit n that best supports what the answer says
    before its markers, judged by the words they share.
    """
    claims: dict[int, list[str]] = {}
    end = 0
    claim = ""
    for match in _CITED.finditer(text):
        number = int(match.group(1))
        before = text[end : match.start()]
        if before.strip(" .,;:!?"):  # else [1][2]: both support the same claim
            claim = _last_sentence(_CITED.sub("", before))
        end = match.end()
        if number <= len(retrieval.hits):
            claims.setdefault(number, []).append(claim)
    return [_cited(number, claims[number], retrieval) for number in sorted(claims)]


def _last_sentence(text: str) -> str:
    """The sentence that a marker after `text` refers to."""
    text = text.rstrip()
    spans = split_sentences(text)
    return text[spans[-1][0] : spans[-1][1]] if spans else ""


def _cited(number: int, claims: Sequence[str], retrieval: Retrieval) -> CitedPassage:
    hit = retrieval.hits[number - 1]
    passage = hit.passage
    language = passage.language or detect_language(passage.text)
    span = _supporting(passage, claims, language)
    return CitedPassage(
        number=number,
        document_id=passage.document_id,
        title=passage.title,
        quote=passage.text[span.start - passage.start : span.end - passage.start],
        start=span.start,
        end=span.end,
        score=hit.score,
        page=passage.page_at(span.start),
        headings=headings_at(passage, span.start),
    )


def headings_at(passage: Passage, offset: int) -> tuple[str, ...]:
    """The path of headings that the text at an offset of the document stands under: that of its
    passage, and what headings the passage itself has before it."""
    path = list(enumerate(passage.headings, start=1))
    for mark, title in _HEADING.findall(passage.text[: offset - passage.start]):
        while path and path[-1][0] >= len(mark):
            path.pop()
        path.append((len(mark), plain(title)))
    return tuple(title for _, title in path)


def _supporting(passage: Passage, claims: Sequence[str], language: str) -> Span:
    """The run of sentences that supports the claims: the best run of each, joined if near."""
    readable = plain_sentences(
        passage.text, passage.start, passage.sentences, table_head=passage.table_head
    )
    terms = [Counter(stems(sentence, language)) for sentence in readable]
    sections = section_numbers(passage.text, passage.start, passage.sentences)
    runs = [_best_run(terms, sections, Counter(stems(claim, language))) for claim in claims]
    first, last = runs[0]
    for start, end in runs[1:]:
        low, high = min(first, start), max(last, end)
        if high - low < _MAX_QUOTED_SENTENCES and sections[low] == sections[high]:
            first, last = low, high
    return Span(passage.sentences[first].start, passage.sentences[last].end)


def _best_run(
    sentences: Sequence[Counter[str]], sections: Sequence[int], claim: Counter[str]
) -> tuple[int, int]:
    """First and last index of the run that shares most with the claim, the shortest if equal.

    It does not cross a heading.
    """
    total = max(1, claim.total())
    best, best_score = (0, 0), float("-inf")
    for first in range(len(sentences)):
        joined: Counter[str] = Counter()
        for last in range(first, min(first + _MAX_QUOTED_SENTENCES, len(sentences))):
            if sections[last] != sections[first]:
                break
            joined += sentences[last]
            shared = (joined & claim).total()
            # Recall of the claim, less a little for each sentence and each unrelated word, so that
            # an extracted sentence finds exactly itself.
            score = shared / total - _SENTENCE_COST * (last - first)
            score -= 0.2 * (joined.total() - shared) / max(1, joined.total())
            if score > best_score + 1e-9:
                best, best_score = (first, last), score
    return best
