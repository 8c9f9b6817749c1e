"""From a document to passages with their vectors, ready to be stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from rag.chunking import chunk
from rag.embedding.base import Embedder
from rag.embedding.service import EmbeddingService, Progress
from rag.language import with_language
from rag.plain import plain, plain_sentences, with_table_head
from rag.types import Chunk, FloatMatrix, SourceDocument

# Passages of a few paragraphs. On the golden questions (development half) 200 found more than 90 or
# 140, with the best sentence's cosine to tell such passages apart.
MAX_PASSAGE_TOKENS: Final = 200
# At most this share of the model's window may go to the title and headings before the text.
_MAX_PREFIX_SHARE: Final = 0.2
_MAX_SENTENCE_TITLE: Final = 100

Pieces: TypeAlias = tuple[list[Chunk], list[str], list[str]]  # see `cut`


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk with its text and vectors.

    `text == document.content[chunk.start:chunk.end]`. `table_head` is the text of
    `chunk.table_head`, else empty. `vector` has shape (dimension,);
    `sentence_vectors` has shape (len(chunk.sentences), dimension).
    """

    chunk: Chunk
    text: str
    table_head: str
    vector: FloatMatrix = field(repr=False, compare=False)
    sentence_vectors: FloatMatrix = field(repr=False, compare=False)


async def prepare(
    document: SourceDocument,
    *,
    embedding: EmbeddingService,
    progress: Progress | None = None,
) -> list[PreparedChunk]:
    """Cut a document and embed each passage under its title and headings, and each sentence under
    the title.

    `progress(done, total)` counts embedded texts.

    Raises:
        EmbeddingError: the model is not available.
    """
    pieces = await embedding.before_embedding(partial(cut, document), size=len(document.content))
    return await _embedded(document, pieces, embedding, progress)


async def prepare_version(
    document: SourceDocument, *, embedding: EmbeddingService
) -> tuple[SourceDocument, list[PreparedChunk]]:
    """Like `prepare`; gives also the document with its language, which is found out unless the
    document says it. That is done in the thread that cuts.

    Raises:
        EmbeddingError: the model is not available.
    """
    document, pieces = await embedding.before_embedding(
        partial(_cut_in_language, document), size=len(document.content)
    )
    return document, await _embedded(document, pieces, embedding)


async def _embedded(
    document: SourceDocument,
    pieces: Pieces,
    embedding: EmbeddingService,
    progress: Progress | None = None,
) -> list[PreparedChunk]:
    chunks, passages, sentences = pieces
    vectors = await embedding.embed_passages([*passages, *sentences], progress=progress)
    prepared = []
    row = len(chunks)
    for number, piece in enumerate(chunks):
        end = row + len(piece.sentences)
        prepared.append(
            PreparedChunk(
                chunk=piece,
                text=document.content[piece.start : piece.end],
                table_head=_table_head(document, piece),
                vector=vectors[number],
                sentence_vectors=vectors[row:end],
            )
        )
        row = end
    return prepared


def _cut_in_language(document: SourceDocument, embedder: Embedder) -> tuple[SourceDocument, Pieces]:
    return with_language(document), cut(document, embedder)


def passage_text(title: str, headings: tuple[str, ...], text: str) -> str:
    """What the model sees of a passage: "title > heading > heading" and the text below."""
    path = [title, *(heading for heading in headings if heading != title)]
    shown = " > ".join(plain(part) for part in path if part)
    return f"{shown}\n{text}" if shown else text


def _table_head(document: SourceDocument, piece: Chunk) -> str:
    span = piece.table_head
    return document.content[span.start : span.end] if span is not None else ""


def cut(document: SourceDocument, embedder: Embedder) -> Pieces:
    """The chunks of a document, what the model sees of each, and what it sees of each sentence."""
    special = embedder.count_tokens("")
    window = embedder.max_tokens
    prefix_limit = int(window * _MAX_PREFIX_SHARE)
    limit = max(special + 1, min(MAX_PASSAGE_TOKENS, window - prefix_limit))
    chunks = chunk(document.content, count_tokens=embedder.count_tokens, max_tokens=limit)
    passages = []
    sentences = []
    prefixes: dict[tuple[str, ...], str] = {}
    # "It weighs 372 g" means little without its title: with it the first hit is right for 59 % of
    # the golden questions (development half), without for 56 %.
    title = plain(document.title)[:_MAX_SENTENCE_TITLE]
    for piece in chunks:
        if piece.headings not in prefixes:
            prefixes[piece.headings] = _prefix(document.title, piece.headings, embedder)
        text = document.content[piece.start : piece.end]
        head = _table_head(document, piece)
        passages.append(prefixes[piece.headings] + with_table_head(head, text))
        for span, readable in zip(
            piece.sentences,
            plain_sentences(text, piece.start, piece.sentences, table_head=head),
            strict=True,
        ):
            sentence = readable or document.content[span.start : span.end]
            sentences.append(f"{title}: {sentence}" if title else sentence)
    return chunks, passages, sentences


def _prefix(title: str, headings: tuple[str, ...], embedder: Embedder) -> str:
    """The line of title and headings, without outer headings where it would be too long."""
    limit = int(embedder.max_tokens * _MAX_PREFIX_SHARE)
    prefix = passage_text(title, headings, "")
    while embedder.count_tokens(prefix) > limit and headings:
        headings = headings[1:]
        prefix = passage_text(title, headings, "")
    if embedder.count_tokens(prefix) > limit:
        prefix = prefix[: 2 * limit].rstrip() + "\n"
    return prefix
