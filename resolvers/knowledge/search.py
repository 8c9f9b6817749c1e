"""Reading the knowledge base."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from models.document import Document
from rag.errors import RagError
from rag.types import Filter, Hit
from resolvers.context import Context
from resolvers.errors import BadUserInput, InvalidInput, Unavailable
from resolvers.knowledge import audiences
from resolvers.knowledge.state import NotReady
from resolvers.paging import Page, PageRequest, id_page
from resolvers.text import check_text

MAX_QUERY = 2_000
MAX_HITS = 50


async def search_knowledge(
    context: Context, query: str, *, first: int, filter: Filter
) -> Sequence[Hit]:
    """The best passages for a query, best first.

    Raises:
        Unauthenticated
        BadUserInput: the query is empty or too long.
        Unavailable: model or index could not be loaded.
    """
    viewer = context.require_viewer()
    if not 1 <= first <= MAX_HITS:
        raise BadUserInput(f"first must be between 1 and {MAX_HITS}.")
    try:
        check_text("query", query.strip(), maximum=MAX_QUERY)
    except InvalidInput as error:
        raise BadUserInput(error.message) from error
    try:
        pipeline = await context.services.knowledge.pipeline()
    except NotReady as error:
        raise Unavailable from error
    started = pipeline.start_query(query)
    try:
        visible = await audiences.visible_collections(context.services.store, [viewer.id])
    except BaseException:
        started.cancel()
        raise
    try:
        retrieval = await pipeline.retrieve(
            query, filter=audiences.narrowed(filter, visible), limit=first, started=started
        )
    except RagError as error:
        raise Unavailable from error
    return retrieval.hits


async def list_documents(context: Context, request: PageRequest, filter: Filter) -> Page[Document]:
    """The documents that the viewer may read, newest first.

    Raises:
        Unauthenticated, BadUserInput
    """
    viewer = context.require_viewer()
    readable = await audiences.readable_collections(context.services.store, viewer.id)
    if filter.collections is not None:
        readable = tuple(one for one in readable if str(one) in filter.collections)
    query = Document.filter(deleted_at__isnull=True, collection_id__in=readable)
    if filter.types:
        query = query.filter(type__in=list(filter.types))
    if filter.categories:
        query = query.filter(category__in=list(filter.categories))
    if filter.languages:
        query = query.filter(language__in=list(filter.languages))
    if filter.document_ids is not None:
        query = query.filter(id__in=[UUID(value) for value in filter.document_ids])
    return await id_page(query, request, newest_first=True)


async def get_document(context: Context, document_id: UUID) -> Document | None:
    """A document that the viewer may read, and that has not been deleted.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    readable = await audiences.readable_collections(context.services.store, viewer.id)
    return await Document.get_or_none(
        id=document_id, deleted_at__isnull=True, collection_id__in=readable
    )
