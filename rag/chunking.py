"""Cuts a document into passages at headings, paragraphs, list items, rows and sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Final

from rag.blocks import Block, is_delimiter_row, parse_blocks
from rag.sentences import split_sentences, strip_span
from rag.types import Chunk, Span

# A list item or code line up to this many characters is one sentence, a longer one is split.
_MAX_ITEM_LENGTH: Final = 300
_MAX_CAPTION_LENGTH: Final = 80
# A chunk holds at most this many characters per token, whatever the tokenizer says: some count a
# "word" of a million letters as one unknown token.
_MAX_CHARACTERS_PER_TOKEN: Final = 8
# The head of a table that goes on in the next chunk may take this share of that chunk's tokens.
_MAX_HEAD_SHARE: Final = 0.33
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class _Head:
    """Where the head of a table stands, or as much of it as is carried along."""

    span: Span
    tokens: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """The smallest piece that is not cut unless it alone is too long.

    `start..end` is what a chunk covers (with the bullet), `body` is where its sentence starts, None
    for layout without text. `opens` says that a block starts here, `binds` that the next unit
    belongs to it ("You need:" before a list, a table's head before its first row). `head` is the
    head of the table that a row belongs to.
    """

    start: int
    end: int
    body: int | None
    opens: bool
    binds: bool
    tokens: int
    head: _Head | None = None

    @property
    def head_tokens(self) -> int:
        """What a chunk that begins here needs for the table's head."""
        return self.head.tokens if self.head is not None else 0


def chunk(content: str, *, count_tokens: Callable[[str], int], max_tokens: int) -> list[Chunk]:
    """Cut `content` into chunks of at most `max_tokens` (as `count_tokens` counts, which includes
    the special tokens), in order and without overlap.

    A section that fits is one chunk, together with its neighbours under the same parent heading if
    they fit too; the chunk's path of headings is what all of them share. A longer section is cut
    into chunks of similar size, at the borders of blocks if possible, else of sentences. Only
    a sentence that alone is too long is cut between words, or within a word if it must be. Every
    letter and digit outside heading lines is in exactly one chunk; layout without letters may be
    in none. A text of headings alone is cut as if they were paragraphs. A chunk that begins in the
    middle of a table knows where its head stands, and leaves room for it. Takes linear time.
    """
    measure = _Measure(count_tokens, max_tokens)
    blocks = list(parse_blocks(content))
    return _chunks(content, blocks, measure) or _chunks(
        content, [_as_paragraph(block) for block in blocks], measure
    )


def _chunks(content: str, blocks: list[Block], measure: _Measure) -> list[Chunk]:
    chunks = []
    for section in _merged(content, _sections(blocks), measure):
        units = list(_units(content, section.blocks, measure))
        for group in _pack(content, units, measure):
            start, end = group[0].start, group[-1].end
            if _WORD.search(content, start, end):
                head = group[0].head
                chunks.append(
                    Chunk(
                        start,
                        end,
                        section.headings,
                        _sentences(group),
                        head.span if head is not None else None,
                    )
                )
    return chunks


def _as_paragraph(block: Block) -> Block:
    if block.kind != "heading":
        return block
    return Block("paragraph", block.start, block.end, block.start)


class _Measure:
    """Counts tokens without the special ones, so that counts add up."""

    def __init__(self, count_tokens: Callable[[str], int], max_tokens: int) -> None:
        self._count = count_tokens
        self._special = count_tokens("")
        self.limit = max(1, max_tokens - self._special)
        self.max_characters = self.limit * _MAX_CHARACTERS_PER_TOKEN

    def tokens(self, text: str) -> int:
        return max(0, self._count(text) - self._special)

    def fits(self, text: str, *, beside: int = 0) -> bool:
        """Whether the text makes a chunk, with so many tokens of other text before it."""
        return len(text) <= self.max_characters and self.tokens(text) + beside <= self.limit


@dataclass(frozen=True, slots=True)
class _Section:
    """The blocks between two headings; `heading` is the one above them. In merged sections the
    headings inside are among the blocks, and `headings` is the path that all of them share."""

    headings: tuple[str, ...]
    heading: Block | None
    blocks: list[Block]
    tokens: int = 0


def _sections(blocks: Iterable[Block]) -> Iterator[_Section]:
    path: list[Block] = []
    section: list[Block] = []
    for block in blocks:
        if block.kind != "heading":
            section.append(block)
            continue
        if section:
            yield _Section(_texts(path), path[-1] if path else None, section)
            section = []
        while path and path[-1].level >= block.level:
            path.pop()
        path.append(block)
    if section:
        yield _Section(_texts(path), path[-1] if path else None, section)


def _texts(path: list[Block]) -> tuple[str, ...]:
    return tuple(block.heading for block in path if block.heading)


def _merged(content: str, sections: Iterable[_Section], measure: _Measure) -> Iterator[_Section]:
    """The sections, with neighbours under the same parent joined as long as they fit together.

    A section of one or two sentences makes a poor passage: its vector says little, and a handful of
    hits shows little of the document.
    """
    current: _Section | None = None
    for section in sections:
        start = section.heading.start if section.heading else section.blocks[0].start
        text = content[start : section.blocks[-1].end]
        tokens = measure.tokens(text) if len(text) <= measure.max_characters else measure.limit + 1
        section = replace(section, tokens=tokens)
        joined = None if current is None else _joined(current, section, measure)
        if joined is None and current is not None:
            yield current
        current = joined or section
    if current is not None:
        yield current


def _joined(first: _Section, second: _Section, measure: _Measure) -> _Section | None:
    """Both as one section, None if they do not belong together or do not fit."""
    shared = tuple(
        one
        for one, other in takewhile(
            lambda pair: pair[0] == pair[1], zip(first.headings, second.headings, strict=False)
        )
    )
    depth = max(len(first.headings), len(second.headings))
    tokens = first.tokens + second.tokens
    length = second.blocks[-1].end - first.blocks[0].start
    if (
        second.heading is None
        or len(shared) < depth - 1
        or tokens > measure.limit
        or length > measure.max_characters
    ):
        return None
    blocks = [*first.blocks, second.heading, *second.blocks]
    if first.heading is not None and len(shared) < len(first.headings):
        blocks.insert(0, first.heading)
    heading = first.heading if len(shared) == len(first.headings) else None
    return _Section(shared, heading, blocks, tokens)


def _units(content: str, section: list[Block], measure: _Measure) -> Iterator[_Unit]:
    head: _Head | None = None
    for block, following in pairwise([*section, None]):
        assert block is not None
        is_head = (
            block.kind == "row"
            and following is not None
            and following.kind == "mark"
            and is_delimiter_row(content[following.start : following.end])
        )
        if is_head:
            head = _head(content, block, measure)
        elif block.kind not in ("row", "mark"):
            head = None
        is_layout = block.kind in ("mark", "heading")
        if is_layout:
            spans = [(block.start, block.end)]
        elif block.kind == "row" or (
            block.kind in ("item", "code") and block.end - block.body <= _MAX_ITEM_LENGTH
        ):
            spans = [(block.body, block.end)]
        else:
            spans = [
                (block.body + start, block.body + end)
                for start, end in split_sentences(content[block.body : block.end])
            ] or [(block.start, block.end)]
        # The bullet belongs to the first sentence's unit, but not to the sentence.
        binds = following is not None and (
            content[block.end - 1] == ":"
            or block.kind == "heading"
            or (block.kind == "row" and following.kind == "mark")
            or _is_caption(content, block)
        )
        for number, (start, end) in enumerate(spans):
            first, last = number == 0, number == len(spans) - 1
            yield from _cut(
                content,
                _Unit(
                    start=block.start if first else start,
                    end=end,
                    body=None if is_layout else strip_span(content, start, end)[0],
                    opens=first and block.kind not in ("mark", "code"),
                    binds=binds and last,
                    tokens=0,
                    head=head if block.kind == "row" and not is_head else None,
                ),
                measure,
            )


def _head(content: str, block: Block, measure: _Measure) -> _Head | None:
    """A table's head, cut if it is so long that it would leave little room for rows."""
    limit = int(measure.limit * _MAX_HEAD_SHARE)
    if limit < 1:
        return None
    end, tokens = _fitting_end(content, block.start, block.end, measure, limit=limit)
    return _Head(Span(block.start, end), tokens) if tokens <= limit else None


def _is_caption(content: str, block: Block) -> bool:
    """Whether a short line without a full stop stands over what follows, as in plain text."""
    return (
        block.kind == "paragraph"
        and block.end - block.start <= _MAX_CAPTION_LENGTH
        and content[block.end - 1].isalnum()
        and "\n" not in content[block.start : block.end]
    )


def _cut(content: str, unit: _Unit, measure: _Measure) -> Iterator[_Unit]:
    """The unit itself with its count, or pieces of it that fit."""
    start, opens = unit.start, unit.opens
    while True:
        end, tokens = _fitting_end(
            content, start, unit.end, measure, limit=measure.limit - unit.head_tokens
        )
        whole = end == unit.end
        body = unit.body
        if body is not None:
            body = max(body, start) if body < end else None
        yield _Unit(start, end, body, opens, unit.binds and whole, tokens, unit.head)
        if whole:
            return
        start, opens = strip_span(content, end, unit.end)[0], False


def _fitting_end(
    content: str, start: int, end: int, measure: _Measure, *, limit: int
) -> tuple[int, int]:
    """How far a piece of at most `limit` tokens from `start` may go, and its tokens: at least one
    character."""
    piece_end = min(end, start + measure.max_characters)
    if piece_end < end:
        piece_end = _word_border(content, start, piece_end)
    while True:
        tokens = measure.tokens(content[start:piece_end])
        if tokens <= limit or piece_end - start <= 1:
            return piece_end, tokens
        # Aim a little lower than the limit: each further round costs another count.
        length = int((piece_end - start) * limit / tokens * 0.95)
        length = max(1, min(length, piece_end - start - 1))
        piece_end = _word_border(content, start, start + length)


def _word_border(content: str, start: int, end: int) -> int:
    """The last border between words in content[start:end], or `end` if there is none."""
    if content[end].isspace():
        border = end
    else:
        border = end
        while border > start and not content[border - 1].isspace():
            border -= 1
    while border > start and content[border - 1].isspace():
        border -= 1
    return border if border > start else end


def _pack(content: str, units: list[_Unit], measure: _Measure) -> Iterator[list[_Unit]]:
    """Groups of neighbouring units, each within the limit and all of similar size."""
    total = sum(unit.tokens for unit in units)
    parts = -(-total // measure.limit)  # rounded up
    target = total / max(1, parts)
    groups: list[list[_Unit]] = []
    group: list[_Unit] = []
    tokens = 0
    for unit in units:
        full = group and (
            tokens + unit.tokens > measure.limit
            or unit.end - group[0].start > measure.max_characters
        )
        enough = group and unit.opens and not group[-1].binds and tokens >= target * 0.85
        if full or enough:
            groups.append(group)
            group, tokens = [], 0
        if not group:
            tokens = unit.head_tokens
        group.append(unit)
        tokens += unit.tokens
    if group:
        groups.append(group)
    for group in _merge_tail(content, groups, measure):
        yield from _within_limit(content, group, measure)


def _merge_tail(content: str, groups: list[list[_Unit]], measure: _Measure) -> list[list[_Unit]]:
    """Give a small rest at the section's end to the group before it, if that has room."""
    if len(groups) >= 2:
        joined = groups[-2] + groups[-1]
        if (
            sum(unit.tokens for unit in groups[-1]) * 4 < measure.limit
            and sum(unit.tokens for unit in joined) + joined[0].head_tokens <= measure.limit
            and measure.fits(
                content[joined[0].start : joined[-1].end], beside=joined[0].head_tokens
            )
        ):
            return [*groups[:-2], joined]
    return groups


def _within_limit(content: str, group: list[_Unit], measure: _Measure) -> Iterator[list[_Unit]]:
    """The group, halved until it fits: counts need not add up exactly for every tokenizer."""
    pending = [group]
    while pending:
        group = pending.pop()
        text = content[group[0].start : group[-1].end]
        if len(group) == 1 or measure.fits(text, beside=group[0].head_tokens):
            yield group
        else:
            middle = len(group) // 2
            pending += [group[middle:], group[:middle]]


def _sentences(group: list[_Unit]) -> tuple[Span, ...]:
    spans = tuple(Span(unit.body, unit.end) for unit in group if unit.body is not None)
    return spans or (Span(group[0].start, group[-1].end),)
