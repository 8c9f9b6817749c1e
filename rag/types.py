"""Values that travel between the parts of `rag`, and into and out of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as a loader returns it: `content` is the text that offsets refer to.

    `key` and `source` are what a record of a collection says of itself: its name there, and where
    it comes from. `pages` has, for each page of a PDF or slide of a presentation, the offset in
    `content` at which it begins, in ascending order; it is empty for documents without pages.
    """

    title: str
    content: str
    type: str = "document"
    category: str = "general"
    language: str | None = None  # ISO 639-1, lower case
    key: str | None = None
    source: str | None = None
    pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """`content[start:end]`, counted in Unicode code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document, cut at headings, paragraphs and sentences.

    `headings` is the path of headings it stands under, outermost first. `sentences` are spans in
    the whole document, in order, each within start..end. `table_head` is where the head of a table
    stands that this chunk begins in the middle of: its rows say little without it.
    """

    start: int
    end: int
    headings: tuple[str, ...]
    sentences: tuple[Span, ...]
    table_head: Span | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored chunk with what is needed to rank, show and cite it.

    `text == document.content[start:end]`. `sentence_vectors` has shape (len(sentences), dimension),
    float32, rows of unit length. `table_head` is the head of the table whose later rows the text
    begins with, else empty. `page` is that of a PDF, or the slide, on which the text begins,
    counted from 1; `page_breaks` are the offsets in the document at which further pages begin
    within the text. `joined` are the chunks that it was joined from (see `rag.sources`), in order,
    or empty; `chunk_id` is then the first of them.
    """

    chunk_id: int
    document_id: str
    title: str
    type: str
    category: str
    language: str | None
    source: str | None
    text: str
    headings: tuple[str, ...]
    start: int
    end: int
    sentences: tuple[Span, ...]
    sentence_vectors: FloatMatrix = field(repr=False, compare=False)
    table_head: str = ""
    page: int | None = None
    page_breaks: tuple[int, ...] = ()
    joined: tuple[int, ...] = ()

    @property
    def chunk_ids(self) -> tuple[int, ...]:
        """All chunks that it consists of."""
        return self.joined or (self.chunk_id,)

    def page_at(self, offset: int) -> int | None:
        """The page that the document's character at `offset` stands on; start <= offset < end."""
        return None if self.page is None else self.page + bisect_right(self.page_breaks, offset)


def pages_of(pages: Sequence[int], start: int, end: int) -> tuple[int | None, tuple[int, ...]]:
    """`Passage.page` and `Passage.page_breaks` of `content[start:end]`, from the offsets at which
    the document's pages begin; (None, ()) if it has none."""
    if not pages:
        return None, ()
    first = bisect_right(pages, start)
    return max(1, first), tuple(pages[max(1, first) : bisect_left(pages, end)])


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question. `score` is the calibrated relevance, 0..1."""

    passage: Passage
    score: float
    cosine: float
    lexical: float


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message of the conversation."""

    role: Literal["user", "assistant"]
    text: str
    author: str | None = None  # the name of the person, where several write


@dataclass(frozen=True, slots=True)
class Filter:
    """Restricts a search; an empty tuple means no restriction on that property.

    Values within one property are alternatives, properties are combined with "and". `document_ids`
    and `collections` do not restrict when they are None; when they are empty, nothing is found.
    `collections` is where rights come in: whoever searches for a person sets it.
    """

    types: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    document_ids: tuple[str, ...] | None = None
    collections: tuple[str, ...] | None = None

    def is_empty(self) -> bool:
        return (
            not (self.types or self.categories or self.languages)
            and self.document_ids is None
            and self.collections is None
        )


NO_FILTER: Final = Filter()


class Ungrounded(StrEnum):
    """Why nothing supports an answer."""

    NO_DOCUMENTS = "NO_DOCUMENTS"
    NOTHING_FOUND = "NOTHING_FOUND"
    NOT_RELEVANT_ENOUGH = "NOT_RELEVANT_ENOUGH"


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for a question.

    `query` is the text that was searched (the question, completed from earlier turns),
    `query_vector` its embedding of shape (dimension,). `focus_vector`, of the same shape, is what
    sentences of an answer are compared with: for a completed question it leans towards the
    question itself, because the turn before has been answered already. `hits` are best first,
    numbered [1], [2], … in this order. `grounded` is whether the best hit passes the relevance
    threshold. `nearest` holds the best passages also when nothing passed, to name near topics.
    `searched` is whether there was any passage to search, with the filter.
    """

    question: str
    query: str
    query_vector: FloatMatrix = field(repr=False, compare=False)
    focus_vector: FloatMatrix = field(repr=False, compare=False)
    hits: tuple[Hit, ...]
    nearest: tuple[Hit, ...]
    grounded: bool
    searched: bool = True

    @property
    def ungrounded(self) -> Ungrounded | None:
        """Why it is not grounded."""
        if self.grounded:
            return None
        if not self.searched:
            return Ungrounded.NO_DOCUMENTS
        return Ungrounded.NOT_RELEVANT_ENOUGH if self.hits else Ungrounded.NOTHING_FOUND


@dataclass(frozen=True, slots=True)
class CitedPassage:
    """The source behind one `[number]` of an answer.

    `quote == document.content[start:end]`, one or more whole sentences of the hit. `page` is the
    page on which it begins, counted from 1, in documents that have pages.
    """

    number: int
    document_id: str
    title: str
    quote: str
    start: int
    end: int
    score: float
    page: int | None = None
    headings: tuple[str, ...] = ()  # the path that the passage stands under, outermost first
