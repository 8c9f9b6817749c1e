"""Made-up passages for the index benchmark: vectors and words like those of real documents.

Uniform noise would say nothing of an approximate index: real vectors lie in clusters that overlap,
and a question is near some of them. So each vector is a sum of three sentence vectors of the sample
documents, in shares of its own, with noise. Words are drawn as often as they occur in the sample,
function words included, with a tail of rare made-up words by Zipf's law behind them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from rag.embedding.base import Embedder
from rag.errors import LoadingError
from rag.index.base import Ids
from rag.index.knowledge import IndexEntry
from rag.language import detect_language
from rag.loading import load_file
from rag.sentences import split_sentences
from rag.types import FloatMatrix

# Words of one passage, and how many different words there are (the rest is made up).
WORDS: Final = 95
VOCABULARY: Final = 200_000
# The share of running text that is made up of rare words.
_RARE: Final = 0.2
_NOISE: Final = 0.6  # the length of the noise beside three unit vectors
_ANCHORS: Final = 800
_BLOCK: Final = 20_000
_FIRST_SEED: Final = 1_000
_DOCUMENT: Final = 20  # passages per document
_CATEGORIES: Final = 100  # so each keeps 1 %
_SENTENCE: Final = 30  # shorter ones, in letters, are no sentences


@dataclass(frozen=True, slots=True)
class Corpus:
    """What passages are made from: sentence vectors (unit length), and words by frequency."""

    anchors: FloatMatrix
    words: tuple[str, ...]
    shares: FloatMatrix  # of the words, adding up to 1

    def vectors(self, count: int, *, seed: int) -> FloatMatrix:
        """Shape (count, dimension), rows of length 1; the same for the same seed."""
        random = np.random.default_rng(seed)
        width = self.anchors.shape[1]
        rows = random.standard_normal((count, width), dtype=np.float32)
        rows *= np.float32(_NOISE / width**0.5)
        for least, most in ((1.0, 1.0), (0.3, 0.9), (0.1, 0.6)):
            share = random.uniform(least, most, (count, 1)).astype(np.float32)
            rows += share * self.anchors[random.integers(len(self.anchors), size=count)]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def blocks(self, count: int) -> Iterator[tuple[Ids, FloatMatrix]]:
        """The ids, from 1 on, and vectors of passages, some thousands at a time."""
        for start in range(0, count, _BLOCK):
            size = min(_BLOCK, count - start)
            ids = np.arange(start + 1, start + size + 1, dtype=np.int64)
            yield ids, self.vectors(size, seed=_FIRST_SEED + start)

    def entries(self, ids: Ids) -> list[IndexEntry]:
        """Made-up passages of one block.

        Each of 100 categories holds 1 % of them, here and there; a fifth is German.
        """
        random = np.random.default_rng(_FIRST_SEED + int(ids[0]))
        categories = random.integers(_CATEGORIES, size=len(ids)).tolist()
        german = (random.random(len(ids)) < 0.2).tolist()
        texts = self._texts(len(ids), random)
        return [
            IndexEntry(
                chunk_id=number,
                document_id=f"document-{number // _DOCUMENT}",
                title=f"Document {number // _DOCUMENT}",
                type="policy" if number % 2 else "faq",
                category=f"category-{categories[place]}",
                language="de" if german[place] else "en",
                headings=(),
                text=texts[place],
                collection="everyone",
            )
            for place, number in enumerate(ids.tolist())
        ]

    def questions(self, count: int, *, seed: int, words: int = 10) -> list[str]:
        """Texts of as many words as a long question has, function words included."""
        return self._texts(count, np.random.default_rng(seed), words=words)

    def _texts(self, count: int, random: np.random.Generator, *, words: int = WORDS) -> list[str]:
        drawn = np.searchsorted(np.cumsum(self.shares), random.random((count, words)))
        drawn = np.minimum(drawn, len(self.words) - 1)
        return [" ".join([self.words[number] for number in row]) for row in drawn.tolist()]


def corpus_of(folder: Path, embedder: Embedder, *, vocabulary: int = VOCABULARY) -> Corpus:
    """A corpus like the documents of a folder, whose sentences are embedded (some, at random)."""
    sentences: list[str] = []
    counted: Counter[str] = Counter()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            content = load_file(path).content
        except LoadingError:
            continue
        if detect_language(content) == "en":
            counted.update(re.findall(r"\w+", content.lower()))
        for paragraph in content.split("\n\n"):
            spans = split_sentences(paragraph)
            sentences += [paragraph[a:b] for a, b in spans if b - a > _SENTENCE]
    random = np.random.default_rng(0)
    random.shuffle(sentences)
    anchors = embedder.embed(sentences[:_ANCHORS])
    known = [word for word, _ in counted.most_common()]
    made_up = _made_up([word for word in known if word.isalpha()], vocabulary - len(known), random)
    often = np.array([counted[word] for word in known], dtype=np.float64)
    rare = 1 / np.arange(len(known) + 1, len(known) + len(made_up) + 1)
    shares = np.concatenate([(1 - _RARE) * often / often.sum(), _RARE * rare / rare.sum()])
    return Corpus(anchors, (*known, *made_up), shares.astype(np.float32))


def _made_up(words: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """Words made of the first half of one word and the second half of another."""
    known = set(words)
    found: dict[str, None] = {}
    heads = sorted({word[: (len(word) + 1) // 2] for word in words if len(word) > 3})
    tails = sorted({word[len(word) // 2 :] for word in words if len(word) > 3})
    # Fewer than asked for if a small folder has not as many pairs.
    for _ in range(20):
        if len(found) >= count or not heads:
            break
        pairs = random.integers((len(heads), len(tails)), size=(max(count, 1), 2)).tolist()
        found |= {heads[a] + tails[b]: None for a, b in pairs if heads[a] + tails[b] not in known}
    return list(found)[: max(0, count)]
