"""What editors do with approved answers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from models.approved_answer import ApprovedAnswer
from models.chat_message import ChatMessage, MessageRole
from models.citation import Citation
from models.document import Document
from models.unanswered import UnansweredGroup
from models.user import EDITORS
from rag.errors import EmbeddingError
from rag.types import Filter, FloatMatrix
from resolvers.access import find_message
from resolvers.answers.approved import without_markers
from resolvers.answers.solving import solve_answered
from resolvers.answers.vectors import to_bytes
from resolvers.context import Context
from resolvers.errors import InvalidInput, NotFound, Unavailable
from resolvers.knowledge.state import NotReady
from resolvers.paging import Page, PageRequest, id_page
from resolvers.text import check_text

MAX_QUESTION = 2_000
MAX_ANSWER = 8_000
MAX_QUOTE = 4_000


@dataclass(frozen=True, slots=True)
class Approval:
    """A question with its answer, and where the answer is from. Ids are row ids; `group_id` is that
    of the unanswered questions that it was written for."""

    question: str
    answer: str
    message_id: UUID | None = None
    document_id: UUID | None = None
    quote: str | None = None
    group_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    document_id: UUID
    title: str
    quote: str
    headings: list[str]
    start: int
    end: int


async def list_approved(context: Context, request: PageRequest) -> Page[ApprovedAnswer]:
    """All approved answers, newest first.

    Raises:
        Unauthenticated, Forbidden, BadUserInput
    """
    context.require_role(*EDITORS)
    return await id_page(ApprovedAnswer.all(), request, newest_first=True)


async def get_approved(context: Context, key: UUID) -> ApprovedAnswer | None:
    """One, for editors; None for everyone else.

    Raises:
        Unauthenticated
    """
    if context.require_viewer().user.role not in EDITORS:
        return None
    return await ApprovedAnswer.get_or_none(id=key)


async def approve(context: Context, approval: Approval) -> ApprovedAnswer:
    """Give this question, and close paraphrases of it, this answer from now on.

    With a message, its first citation is the source; with a document, the quote, or else the
    passage of the document that fits the question best. Open groups of unanswered questions whose
    question gets the answer now are solved, and so is the one that is named.

    Raises:
        Unauthenticated, Forbidden, InvalidInput
        NotFound: the message, the document or the group.
        Unavailable: the embedding model is not available.
    """
    viewer = context.require_role(*EDITORS)
    question, answer = _checked(approval.question, approval.answer)
    if await ApprovedAnswer.exists(question=question):
        raise InvalidInput("question", "This question has an approved answer; change that one.")
    if approval.group_id is not None and not await UnansweredGroup.exists(id=approval.group_id):
        raise NotFound("group of questions")
    source = await _source(context, approval)
    row = ApprovedAnswer(question=question, answer=answer, approved_by_id=viewer.id)
    if source is not None:
        row.has_source = True
        row.document_id = source.document_id
        row.title, row.quote, row.headings = source.title, source.quote, source.headings
        row.start_offset, row.end_offset = source.start, source.end
    await _set_vector(context, row)
    approved = context.services.approved
    async with context.services.store.transaction():
        await row.save(force_create=True)
        await solve_answered(row, approval.group_id)
        await approved.count_change()
    await approved.catch_up()
    return row


async def update_approved(
    context: Context, key: UUID | None, *, question: str | None, answer: str | None
) -> ApprovedAnswer:
    """Change the question or the answer; the source stays.

    Raises:
        Unauthenticated, Forbidden, InvalidInput, NotFound
        Unavailable: the embedding model is not available.
    """
    context.require_role(*EDITORS)
    row = None if key is None else await ApprovedAnswer.get_or_none(id=key)
    if row is None:
        raise NotFound("approved answer")
    new_question, row.answer = _checked(
        row.question if question is None else question, row.answer if answer is None else answer
    )
    is_reworded = new_question != row.question
    if is_reworded:
        if await ApprovedAnswer.exists(question=new_question):
            raise InvalidInput("question", "This question has an approved answer; change that one.")
        row.question = new_question
        await _set_vector(context, row)
    approved = context.services.approved
    async with context.services.store.transaction():
        await row.save()
        if is_reworded:
            await solve_answered(row)
        await approved.count_change()
    await approved.catch_up()
    return row


async def remove_approved(context: Context, key: UUID | None) -> UUID:
    """Take an approved answer back.

    Raises:
        Unauthenticated, Forbidden, NotFound
    """
    context.require_role(*EDITORS)
    approved = context.services.approved
    async with context.services.store.transaction():
        if key is None or not await ApprovedAnswer.filter(id=key).delete():
            raise NotFound("approved answer")
        await approved.count_change()
    await approved.catch_up()
    return key


def _checked(question: str, answer: str) -> tuple[str, str]:
    question, answer = " ".join(question.split()), without_markers(answer)
    check_text("question", question, maximum=MAX_QUESTION)
    check_text("answer", answer, maximum=MAX_ANSWER)
    return question, answer


async def _set_vector(context: Context, row: ApprovedAnswer) -> None:
    embedding = context.services.knowledge.embedding
    try:
        vector: FloatMatrix = await embedding.embed_query(row.question)
    except EmbeddingError as error:
        raise Unavailable from error
    row.vector, row.embedding_model = to_bytes(vector), embedding.identity.key


async def _source(context: Context, approval: Approval) -> _Source | None:
    if approval.message_id is not None:
        return await _source_of_reply(context, approval.message_id)
    if approval.document_id is None:
        if approval.quote is not None:
            raise InvalidInput("quote", "A quote needs the document that it stands in.")
        return None
    document = await Document.get_or_none(id=approval.document_id, deleted_at__isnull=True)
    if document is None:
        raise NotFound("document")
    if approval.quote is None:
        return await _best_passage(context, document, approval.question)
    check_text("quote", approval.quote, maximum=MAX_QUOTE)
    start = document.content.find(approval.quote)
    if start < 0:
        raise InvalidInput("quote", "The document does not say this; quote it word for word.")
    end = start + len(approval.quote)
    return _Source(document.id, document.title, approval.quote, [], start, end)


async def _source_of_reply(context: Context, message_id: UUID) -> _Source | None:
    message: ChatMessage | None = await find_message(context, message_id)
    if message is None or message.role is not MessageRole.ASSISTANT:
        raise NotFound("reply")
    citations = await Citation.filter(message_id=message.id).order_by("number")
    if not citations:
        return None
    # The answer is given to who may see its one source: all that it says must be for them.
    documents = {one.document_id for one in citations}
    there = Document.filter(id__in=[one for one in documents if one], deleted_at__isnull=True)
    found = await there.values_list("id", "collection_id")
    if len(found) != len(documents) or len({collection for _, collection in found}) > 1:
        raise InvalidInput(
            "messageId",
            "The reply cites documents that were deleted, or that not the same people may see. "
            "Name the one document that says the answer as documentId instead.",
        )
    cited = citations[0]
    assert cited.document_id is not None
    return _Source(
        cited.document_id,
        cited.title,
        cited.quote,
        cited.headings,
        cited.start_offset,
        cited.end_offset,
    )


async def _best_passage(context: Context, document: Document, question: str) -> _Source:
    try:
        pipeline = await context.services.knowledge.pipeline()
    except NotReady as error:
        raise Unavailable from error
    only = Filter(document_ids=(str(document.id),))
    found = await pipeline.retrieve(question, filter=only, limit=1)
    if not found.hits:
        raise InvalidInput("documentId", "This document has no text that could be quoted.")
    passage = found.hits[0].passage
    return _Source(
        document.id,
        document.title,
        passage.text,
        list(passage.headings),
        passage.start,
        passage.end,
    )
