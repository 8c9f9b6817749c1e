"""The knowledge base."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from models.document import Document as DocumentRow
from models.document import DocumentStatus
from rag.types import Filter, Hit
from resolvers.errors import InvalidInput
from resolvers.knowledge import search
from resolvers.text import check_text
from schema.absent import given
from schema.collection_types import Collection
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.enums import describe_enum
from schema.node import Node, global_id, row_id
from texts import fill

describe_enum(
    DocumentStatus,
    "Where a document stands in the indexing.",
    {
        "PENDING": "What was sent last waits to be indexed; a version before it can be found.",
        "PROCESSING": "What was sent last is being indexed; a version before it can be found.",
        "READY": "Can be found as it was sent last.",
        "FAILED": "What was sent last could not be indexed; failure says why. A version before it "
        "can be found.",
    },
)


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@strawberry.type(description="A document of the knowledge base.")
class Document(Node):
    collection_id: strawberry.Private[UUID | None]
    title: str = strawberry.field(description="Its title, at most 300 characters.")
    type: str = strawberry.field(description="Its kind, such as policy, faq or manual.")
    category: str = strawberry.field(description="Its subject, such as shipping.")
    language: str | None = strawberry.field(
        description="ISO 639-1 code of its language; null if unknown."
    )
    source: str | None = strawberry.field(
        description="A file name or an address; null for a document that was sent as text."
    )
    key: str | None = strawberry.field(
        description="The name by which an outside system knows it; null if it has none."
    )
    content: str = strawberry.field(
        description="The text that offsets refer to; empty once the document was deleted."
    )
    status: DocumentStatus = strawberry.field(description="Where it stands in the indexing.")
    failure: str | None = strawberry.field(
        description="Why it could not be indexed, in words; null otherwise."
    )
    version: int = strawberry.field(description="Counts its changes, from 1.")
    chunk_count: int = strawberry.field(description="Into how many passages it was cut.")
    created_at: datetime = strawberry.field(description="When it was added.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")

    @strawberry.field(
        description="The collection that it is in, which says who sees it; null once both were "
        "deleted."
    )
    async def collection(self, info: Info) -> Collection | None:
        if self.collection_id is None:
            return None
        row = await info.context.loaders.collections.load(self.collection_id)
        return None if row is None else Collection.from_row(row)

    @classmethod
    def hidden(cls) -> Document:
        """What stands for a document that the viewer may not see, where there must be one: the same
        for all of them. Its id leads to nothing."""
        return cls(
            collection_id=None,
            id=global_id("Document", UUID(int=0)),
            title="",
            type="",
            category="",
            language=None,
            source=None,
            key=None,
            content="",
            status=DocumentStatus.READY,
            failure=None,
            version=0,
            chunk_count=0,
            created_at=_LONG_AGO,
            updated_at=_LONG_AGO,
        )

    @classmethod
    async def readable(cls, info: Info, document_id: UUID | None) -> Document | None:
        """What something refers to; None once it was deleted, or if the viewer may not see it."""
        if document_id is None:
            return None
        row = await info.context.loaders.documents.load(document_id)
        return None if row is None or row.deleted_at is not None else cls.from_row(row)

    @classmethod
    def from_row(cls, row: DocumentRow) -> Document:
        return cls(
            collection_id=row.collection_id,
            id=global_id("Document", row.id),
            title=row.title,
            type=row.type,
            category=row.category,
            language=row.language,
            source=row.source,
            key=row.key,
            content=row.content,
            status=row.status,
            failure=row.failure,
            version=row.version,
            chunk_count=row.chunk_count,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.input(
    description="Restricts a search. Values of one field are alternatives; fields are combined "
    "with and. An absent field, or an empty list, does not restrict."
)
class DocumentFilter:
    types: list[str] | None = strawberry.field(
        default=UNSET, description="Only documents of these types."
    )
    categories: list[str] | None = strawberry.field(
        default=UNSET, description="Only documents of these categories."
    )
    languages: list[str] | None = strawberry.field(
        default=UNSET,
        description="Only documents in these languages (ISO 639-1), in capitals or not.",
    )
    document_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="Only these documents."
    )
    collection_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET,
        description="Only documents of these collections; one that the viewer may not see holds "
        "nothing.",
    )


MAX_FILTER_VALUES = 100
MAX_FILTER_LENGTH = 60


def to_filter(value: DocumentFilter | None) -> Filter:
    """The filter as the retrieval takes it; an id of nothing matches nothing.

    Raises:
        InvalidInput: too many values, or one that no document can have.
    """
    if value is None:
        return Filter()
    for values in (
        value.types,
        value.categories,
        value.languages,
        value.document_ids,
        value.collection_ids,
    ):
        if len(given(values) or ()) > MAX_FILTER_VALUES:
            raise InvalidInput(
                "filter",
                fill("A filter takes at most {maximum} values each.", maximum=MAX_FILTER_VALUES),
            )
    for values in (value.types, value.categories, value.languages):
        for one in given(values) or ():
            check_text("filter", one, maximum=MAX_FILTER_LENGTH)
    ids = [row_id("Document", one) for one in given(value.document_ids) or ()]
    collections = [row_id("Collection", one) for one in given(value.collection_ids) or ()]
    return Filter(
        types=tuple(given(value.types) or ()),
        categories=tuple(given(value.categories) or ()),
        # As documents have them, however somebody writes them.
        languages=tuple(one.strip().lower() for one in given(value.languages) or ()),
        document_ids=tuple(str(one) for one in ids if one is not None) if ids else None,
        collections=tuple(str(one) for one in collections if one is not None)
        if collections
        else None,
    )


@strawberry.type(description="A passage that was found.")
class SearchHit:
    document_id: strawberry.Private[UUID]
    text: str = strawberry.field(
        description="The passage: document.content[startOffset:endOffset] of the version that "
        "was searched."
    )
    headings: list[str] = strawberry.field(
        description="The headings that it stands under, outermost first."
    )
    start_offset: int = strawberry.field(description="Its begin, in Unicode code points.")
    end_offset: int = strawberry.field(description="Its end, in Unicode code points.")
    page: int | None = strawberry.field(
        description="The page of the PDF, or the slide, that it begins on, counted from 1. "
        "Null for documents without pages."
    )
    score: float = strawberry.field(description="Relevance from 0 to 1, comparable across queries.")

    @strawberry.field(
        description="The document that it was found in. For a viewer who may not see that any "
        "longer, a document without title, content and time (version 0)."
    )
    async def document(self, info: Info) -> Document:
        row = await info.context.loaders.documents.load(self.document_id)
        return Document.hidden() if row is None else Document.from_row(row)

    @classmethod
    def from_hit(cls, hit: Hit) -> SearchHit:
        return cls(
            document_id=UUID(hit.passage.document_id),
            text=hit.passage.text,
            headings=list(hit.passage.headings),
            start_offset=hit.passage.start,
            end_offset=hit.passage.end,
            page=hit.passage.page,
            score=hit.score,
        )


@strawberry.type
class KnowledgeQuery:
    @strawberry.field(
        description="The documents that the viewer may see, newest first; EDITOR and ADMIN see "
        "all. Needs a login."
    )
    async def documents(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        filter: Annotated[
            DocumentFilter | None, strawberry.argument(description="Only some documents.")
        ] = UNSET,
    ) -> Connection[Document]:
        page = await search.list_documents(
            info.context.app, page_request(first, after, last, before), to_filter(given(filter))
        )
        return connection(page, Document.from_row)

    @strawberry.field(
        description="The passages that fit a question best, best first, from documents whose "
        "audience the viewer is in. Needs a login."
    )
    async def search_knowledge(
        self,
        info: Info,
        query: Annotated[
            str, strawberry.argument(description="A question or words, 1 to 2,000 characters.")
        ],
        first: Annotated[
            int | None,
            strawberry.argument(description="How many at most, 1 to 50; 10 if nothing is said."),
        ] = UNSET,
        filter: Annotated[
            DocumentFilter | None, strawberry.argument(description="Only in some documents.")
        ] = UNSET,
    ) -> list[SearchHit]:
        hits = await search.search_knowledge(
            info.context.app,
            query,
            first=10 if first is None or first is UNSET else first,
            filter=to_filter(given(filter)),
        )
        return [SearchHit.from_hit(hit) for hit in hits]
