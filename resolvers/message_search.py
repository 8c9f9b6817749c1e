"""Searching one's own history.

The language of queries: all words must occur, in any order; words in double quotes stand one after
the other; the last word may be the beginning of one, unless its quotes are closed. Nothing else has
a meaning. Neither case nor accents matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from models import message_search
from models.chat_message import ChatMessage
from models.message_search import Closeness, Found, Phrase
from resolvers.context import Context
from resolvers.errors import BadUserInput
from resolvers.paging import Page, PageRequest, check_page, decode_cursor, encode_cursor

MAX_QUERY = 2_000
# Code points of a snippet.
SNIPPET = 240
# So much of it lies before the first match.
LEAD = 60

# What \w lacks: marks that belong to the letter before them, as the vowel signs of Hindi.
_MARKS = "".join(
    chr(point) for point in range(0x300, 0x10000) if unicodedata.category(chr(point))[0] == "M"
)
_WORD = re.compile(f"[^\\W_](?:[^\\W_]|[{_MARKS}])*")
_ACCENTS = re.compile("[\u0300-\u036f]+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a message, `content[start:start + len(text)]`, with the matches in it as ranges of
    `text`, all in code points."""

    text: str
    start: int
    matches: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FoundMessage:
    message: ChatMessage
    phrases: tuple[Phrase, ...]

    def snippet(self) -> Snippet:
        return make_snippet(self.message.content, self.phrases)


async def search_messages(context: Context, query: str, request: PageRequest) -> Page[FoundMessage]:
    """Messages of the viewer's sessions that have all the words, of any branch: first those whose
    words stand closest, and among them the newest. A query without a word finds nothing.

    Raises:
        Unauthenticated
        BadUserInput: the query is longer than MAX_QUERY, or the page.
    """
    viewer = context.require_viewer()
    window = check_page(request)
    after = None if window.after is None else _place(window.after)
    if len(query) > MAX_QUERY:
        raise BadUserInput(
            f"query is too long: {len(query)} characters, at most {MAX_QUERY} are allowed."
        )
    phrases = parse_query(query)
    if not phrases:
        return Page((), (), has_next=False, has_previous=after is not None)
    found = await message_search.find_messages(
        context.services.store, viewer.id, phrases, after=after, limit=window.size + 1
    )
    shown = found[: window.size]
    # Asked with the rights again, as one may be taken out of a session between the two queries.
    messages = {
        row.id: row
        for row in await ChatMessage.filter(
            id__in=[one.message_id for one in shown], session__participants__user_id=viewer.id
        )
    }
    shown = [one for one in shown if one.message_id in messages]
    return Page(
        [FoundMessage(messages[one.message_id], phrases) for one in shown],
        [encode_cursor(str(one.closeness.value), str(one.message_id)) for one in shown],
        has_next=len(found) > window.size,
        has_previous=after is not None,
    )


def _place(cursor: str) -> Found:
    closeness, message_id = decode_cursor(cursor, 2)
    try:
        return Found(UUID(message_id), Closeness(int(closeness)))
    except ValueError:
        raise BadUserInput("The cursor is not one that this connection returned.") from None


def parse_query(text: str) -> tuple[Phrase, ...]:
    """The phrases of a query, each once; none if there is no word in it."""
    phrases: list[Phrase] = []
    parts = text.split('"')
    for number, part in enumerate(parts):
        words = tuple(unicodedata.normalize("NFC", word) for word in _WORD.findall(part))
        if not words:
            continue
        if number % 2:
            phrases.append(Phrase(words))
        else:
            phrases.extend(Phrase((word,)) for word in words)
    if phrases and _WORD.search(parts[-1]):
        # The end is not quoted, or its quotes are not closed yet.
        phrases[-1] = Phrase(phrases[-1].words, prefix=True)
    return tuple(dict.fromkeys(phrases))


def make_snippet(content: str, phrases: Sequence[Phrase]) -> Snippet:
    """The part of a text where most of the phrases stand, with every match in it.

    It begins and ends between words, where there is room for that.
    """
    matches = list(find_matches(content, phrases))
    start = _best_start(content, matches)
    end = min(len(content), start + SNIPPET)
    if end < len(content):
        end = _word_boundary(content, end, at_least=start + SNIPPET // 2)
    inside = tuple((a - start, b - start) for a, b, _ in matches if start <= a and b <= end)
    return Snippet(content[start:end], start, inside)


def find_matches(content: str, phrases: Sequence[Phrase]) -> Iterator[tuple[int, int, int]]:
    """Where the phrases stand: begin, end, and which one, in order and without overlaps."""
    wanted = [tuple(map(fold, phrase.words)) for phrase in phrases]
    spans = [match.span() for match in _WORD.finditer(content)]
    words = [fold(content[a:b]) for a, b in spans]
    # Most words begin no phrase.
    first = frozenset(pattern[0] for pattern in wanted)
    begun = wanted[-1][0] if phrases[-1].prefix and len(wanted[-1]) == 1 else None
    behind = 0
    for position, word in enumerate(words):
        if word not in first and (begun is None or not word.startswith(begun)):
            continue
        if position < behind:
            continue
        length, which = max(
            (
                (len(pattern), -number)
                for number, (pattern, phrase) in enumerate(zip(wanted, phrases, strict=True))
                if _stands_at(words, position, pattern, prefix=phrase.prefix)
            ),
            default=(0, 0),
        )
        if length:
            behind = position + length
            yield spans[position][0], spans[behind - 1][1], -which


def _stands_at(
    words: Sequence[str], position: int, pattern: tuple[str, ...], *, prefix: bool
) -> bool:
    last = position + len(pattern) - 1
    if last >= len(words):
        return False
    if tuple(words[position:last]) != pattern[:-1]:
        return False
    return words[last].startswith(pattern[-1]) if prefix else words[last] == pattern[-1]


def _best_start(content: str, matches: Sequence[tuple[int, int, int]]) -> int:
    """Where the window begins that has most different phrases, then most matches."""
    best, start = (0, 0), 0
    counts: dict[int, int] = {}
    last = 0
    for a, _, which in matches:
        while last < len(matches) and matches[last][1] <= a + SNIPPET - LEAD:
            counts[matches[last][2]] = counts.get(matches[last][2], 0) + 1
            last += 1
        value = len(counts), sum(counts.values())
        if value > best:
            best, start = value, a
        if counts.get(which):
            counts[which] -= 1
            if not counts[which]:
                del counts[which]
    if not best[0] and matches:
        start = matches[0][0]  # a match that is longer than the window
    if start <= LEAD:
        return 0
    boundary = _word_boundary(content, start - LEAD, at_least=start - 2 * LEAD)
    return max(0, boundary)


def _word_boundary(content: str, position: int, *, at_least: int) -> int:
    """The last place up to `position` where a word begins after white space, or `position`."""
    for place in range(position, max(at_least, 0), -1):
        if content[place - 1].isspace() and not content[place : place + 1].isspace():
            return place
    return position


@lru_cache(maxsize=4096)
def fold(word: str) -> str:
    """A word without case and accents, as the index has it."""
    if word.isascii():
        return word.lower()
    return unicodedata.normalize(
        "NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word))
    ).lower()
