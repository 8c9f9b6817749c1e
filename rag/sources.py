"""What an answer is made of: hits whose neighbours are joined, and not all of one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rag.types import Hit, Passage

# So many sources of one document, as long as others have something, too.
MAX_PER_DOCUMENT: Final = 3
# A joined passage is about three chunks long at most. Characters.
MAX_JOINED: Final = 2_400
# What may lie between neighbours, such as a heading. Characters.
_MAX_GAP: Final = 200


@dataclass(slots=True)
class _Run:
    """Neighbouring passages of a document; `best` is the place of the best one among the hits."""

    best: int
    start: int
    end: int
    hits: list[Hit]

    def takes(self, passage: Passage) -> bool:
        first = self.hits[0].passage
        if passage.document_id != first.document_id:
            return False
        gap = max(passage.start - self.end, self.start - passage.end)
        length = max(passage.end, self.end) - min(passage.start, self.start)
        return 0 <= gap <= _MAX_GAP and length <= MAX_JOINED

    def add(self, hit: Hit) -> None:
        self.hits.append(hit)
        self.start = min(self.start, hit.passage.start)
        self.end = max(self.end, hit.passage.end)


def documents_to_join(hits: Sequence[Hit], count: int) -> set[str]:
    """The documents whose texts `choose_sources` needs for the same arguments."""
    return {run.hits[0].passage.document_id for run in _runs(hits, count) if len(run.hits) > 1}


def choose_sources(hits: Sequence[Hit], count: int, contents: Mapping[str, str]) -> list[Hit]:
    """At most `count` sources out of hits that are in order, best first.

    Hits that follow each other in their document become one, in the place and with the score of the
    best of them: a step that begins in one passage and ends in the next is read as a whole. Where
    more documents have hits than one, none has more than `MAX_PER_DOCUMENT` sources. `contents` are
    the texts of documents by id; passages that do not stand in them (any more) are not joined.
    """
    return [_joined(run, contents) for run in _runs(hits, count)]


def _runs(hits: Sequence[Hit], count: int) -> list[_Run]:
    runs: list[_Run] = []
    sources: Counter[str] = Counter()
    waiting: list[tuple[int, Hit]] = []
    for place, hit in enumerate(hits):
        passage = hit.passage
        run = next((run for run in runs if run.takes(passage)), None)
        if run is not None:
            run.add(hit)
        elif sources[passage.document_id] >= MAX_PER_DOCUMENT:
            waiting.append((place, hit))
        elif len(runs) < count:
            runs.append(_Run(place, passage.start, passage.end, [hit]))
            sources[passage.document_id] += 1
    for place, hit in waiting[: max(0, count - len(runs))]:
        runs.append(_Run(place, hit.passage.start, hit.passage.end, [hit]))
    return sorted(runs, key=lambda run: run.best)


def _joined(run: _Run, contents: Mapping[str, str]) -> Hit:
    best = run.hits[0]
    content = contents.get(best.passage.document_id)
    if len(run.hits) == 1 or content is None:
        return best
    parts = sorted((hit.passage for hit in run.hits), key=lambda passage: passage.start)
    if any(content[part.start : part.end] != part.text for part in parts):
        return best
    first = parts[0]
    passage = replace(
        first,
        text=content[first.start : parts[-1].end],
        end=parts[-1].end,
        sentences=tuple(span for part in parts for span in part.sentences),
        sentence_vectors=np.concatenate([part.sentence_vectors for part in parts]),
        page_breaks=_page_breaks(parts),
        joined=tuple(part.chunk_id for part in parts),
    )
    return replace(best, passage=passage)


def _page_breaks(parts: Sequence[Passage]) -> tuple[int, ...]:
    """Those of the joined passage. A page that begins in a gap counts from the next part on."""
    page = parts[0].page
    if page is None:
        return ()
    breaks: list[int] = []
    for part in parts:
        breaks += [part.start] * ((part.page or page) - page)
        breaks += part.page_breaks
        page = (part.page or page) + len(part.page_breaks)
    return tuple(breaks)
