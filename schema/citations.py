"""Citations as GraphQL types."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from uuid import UUID

import strawberry

from models.citation import Citation as CitationRow
from models.reading import Table
from resolvers.rows import citations as citation_rows
from schema.columns import RowColumns
from schema.context import Info
from schema.knowledge import Document
from transport.columns import Grouped


@strawberry.type(description="The source behind one [number] of a reply, as it was cited.")
class Citation:
    document_id: strawberry.Private[UUID | None]
    number: int = strawberry.field(description="The n of [n] in the content.")
    title: str = strawberry.field(description="The document's title when it was cited.")
    quote: str = strawberry.field(
        description="Verbatim text of the document at startOffset..endOffset, as it was cited."
    )
    start_offset: int = strawberry.field(description="Its begin, in Unicode code points.")
    end_offset: int = strawberry.field(description="Its end, in Unicode code points.")
    page: int | None = strawberry.field(
        description="The page of the PDF, or the slide, that the quote begins on, counted from 1. "
        "Null for documents without pages."
    )
    score: float = strawberry.field(description="Relevance of the passage, 0 to 1.")
    headings: list[str] = strawberry.field(
        description="The headings that the quote stands under, outermost first; empty for none, "
        "and for replies from before they were kept."
    )

    @strawberry.field(
        description="The document as it is now; null once it was deleted, or if the viewer may not "
        "see it any longer."
    )
    async def document(self, info: Info) -> Document | None:
        return await Document.readable(info, self.document_id)

    @classmethod
    def from_row(cls, row: CitationRow) -> Citation:
        return cls(
            document_id=row.document_id,
            number=row.number,
            title=row.title,
            quote=row.quote,
            start_offset=row.start_offset,
            end_offset=row.end_offset,
            page=row.page,
            score=row.score,
            headings=row.headings,
        )


async def citations_of(
    messages: Sequence[str | None], rows: Table[CitationRow] | None = None
) -> Grouped:
    """The citations of many messages, by their row ids (None has none), at once; `rows` are those
    that were read already."""
    if rows is None:
        rows = await citation_rows([key for key in messages if key is not None])
    keys = list(map(str, rows.raw("message_id")))
    counts = Counter(keys)
    wanted = [key for key in messages if key in counts]
    if wanted != list(counts):  # they come grouped, and mostly in the messages' order
        places: defaultdict[str | None, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            places[key].append(place)
        rows = rows.at(chain.from_iterable(places[key] for key in wanted))
    return Grouped(
        [counts[key] if key is not None else 0 for key in messages],
        RowColumns(Citation, rows, Citation.from_row, {}),
    )
