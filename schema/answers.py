"""What editors do about answers: approve them, and see which questions had none."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

import strawberry
from strawberry import UNSET

from models.approved_answer import ApprovedAnswer as ApprovedAnswerRow
from models.unanswered import UnansweredState
from resolvers.answers import approving, unanswered
from schema.absent import given
from schema.chat import Deleted, DeleteResult
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.enums import describe_enum
from schema.errors import InvalidInput, NotFound, answers_problems
from schema.knowledge import Document
from schema.node import Node, global_id, row_id

describe_enum(
    UnansweredState,
    "What became of a group of unanswered questions.",
    {
        "OPEN": "Nobody has dealt with it.",
        "SOLVED": "The documents, or an approved answer, answer it now. Another question that "
        "finds nothing opens it.",
        "DISMISSED": "It is of no interest, whoever asks again.",
    },
)


@strawberry.type(
    description="An answer that an editor has approved. Close paraphrases of its question get it "
    "at once, without the language model."
)
class ApprovedAnswer(Node):
    row: strawberry.Private[ApprovedAnswerRow]
    question: str = strawberry.field(description="The question that it answers.")
    answer: str = strawberry.field(description="The text that is given, without its [1].")
    quote: str | None = strawberry.field(
        description="What its source said, word for word; null without a source. It is given only "
        "as long as the document says so, and to people who may see the document."
    )
    created_at: datetime = strawberry.field(description="When it was approved.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")

    @strawberry.field(description="Its source; null without one, and once that was deleted.")
    async def document(self, info: Info) -> Document | None:
        return await Document.readable(info, self.row.document_id)

    @classmethod
    def from_row(cls, row: ApprovedAnswerRow) -> ApprovedAnswer:
        return cls(
            row=row,
            id=global_id("ApprovedAnswer", row.id),
            question=row.question,
            answer=row.answer,
            quote=row.quote if row.has_source else None,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.type(description="Questions that mean about the same and had no answer.")
class UnansweredGroup(Node):
    question: str = strawberry.field(description="The one of them that was asked first.")
    count: int = strawberry.field(description="How many there are.")
    first_asked_at: datetime = strawberry.field(description="When the first one was asked.")
    last_asked_at: datetime = strawberry.field(description="When the last one was asked.")
    state: UnansweredState = strawberry.field(description="What became of it.")

    @classmethod
    def from_data(cls, data: unanswered.GroupData) -> UnansweredGroup:
        return cls(
            id=global_id("UnansweredGroup", data.id),
            question=data.question,
            count=data.count,
            first_asked_at=data.first_asked_at,
            last_asked_at=data.last_asked_at,
            state=data.state,
        )


@strawberry.input(description="An answer to approve.")
class ApproveAnswerInput:
    question: str = strawberry.field(description="The question, 1 to 2,000 characters.")
    answer: str = strawberry.field(
        description="The answer, 1 to 8,000 characters. Numbers such as [1] are removed; one [1] "
        "is added if there is a source."
    )
    message_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="A reply whose first citation is the source."
    )
    document_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The document that is the source; not with messageId."
    )
    quote: str | None = strawberry.field(
        default=UNSET,
        description="What the document says, word for word, at most 4,000 characters. Absent: its "
        "passage that fits the question best.",
    )
    unanswered_group_id: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The group of unanswered questions that it answers, which becomes SOLVED.",
    )


@strawberry.input(description="A change of an approved answer; what is absent stays.")
class UpdateApprovedAnswerInput:
    id: strawberry.ID = strawberry.field(description="The approved answer.")
    question: str | None = strawberry.field(
        default=UNSET, description="The question, 1 to 2,000 characters."
    )
    answer: str | None = strawberry.field(
        default=UNSET, description="The answer, 1 to 8,000 characters."
    )


ApprovedAnswerResult: TypeAlias = Annotated[
    ApprovedAnswer | InvalidInput | NotFound,
    strawberry.union("ApprovedAnswerResult", description="The outcome of approving an answer."),
]
UnansweredResult: TypeAlias = Annotated[
    UnansweredGroup | NotFound,
    strawberry.union("UnansweredResult", description="The outcome of a change of a group."),
]


@strawberry.type
class AnswersQuery:
    @strawberry.field(description="The approved answers, newest first. Needs EDITOR or ADMIN.")
    async def approved_answers(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[ApprovedAnswer]:
        page = await approving.list_approved(
            info.context.app, page_request(first, after, last, before)
        )
        return connection(page, ApprovedAnswer.from_row)

    @strawberry.field(
        description="Questions that found nothing, in groups of like meaning: the largest first, "
        "of equal ones the one that was asked last. Nobody sees who asked. Needs EDITOR or ADMIN."
    )
    async def unanswered(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        state: Annotated[
            UnansweredState | None,
            strawberry.argument(description="Which groups; OPEN if nothing is said."),
        ] = UNSET,
    ) -> Connection[UnansweredGroup]:
        page = await unanswered.list_unanswered(
            info.context.app,
            page_request(first, after, last, before),
            given(state) or UnansweredState.OPEN,
        )
        return connection(page, UnansweredGroup.from_data)


@strawberry.type
class AnswersMutation:
    @strawberry.mutation(
        description="Give a question, and close paraphrases of it, this answer from now on. Open "
        "groups of unanswered questions that it answers become SOLVED. Needs EDITOR or ADMIN."
    )
    @answers_problems
    async def approve_answer(
        self,
        info: Info,
        input: Annotated[ApproveAnswerInput, strawberry.argument(description="The answer.")],
    ) -> ApprovedAnswerResult:
        document_id, message_id = given(input.document_id), given(input.message_id)
        approval = approving.Approval(
            question=input.question,
            answer=input.answer,
            message_id=_known_or_missing("ChatMessage", message_id),
            document_id=_known_or_missing("Document", document_id),
            quote=given(input.quote),
            group_id=_known_or_missing("UnansweredGroup", given(input.unanswered_group_id)),
        )
        return ApprovedAnswer.from_row(await approving.approve(info.context.app, approval))

    @strawberry.mutation(description="Change an approved answer. Needs EDITOR or ADMIN.")
    @answers_problems
    async def update_approved_answer(
        self,
        info: Info,
        input: Annotated[UpdateApprovedAnswerInput, strawberry.argument(description="The change.")],
    ) -> ApprovedAnswerResult:
        row = await approving.update_approved(
            info.context.app,
            row_id("ApprovedAnswer", input.id),
            question=given(input.question),
            answer=given(input.answer),
        )
        return ApprovedAnswer.from_row(row)

    @strawberry.mutation(description="Take an approved answer back. Needs EDITOR or ADMIN.")
    @answers_problems
    async def remove_approved_answer(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The approved answer.")],
    ) -> DeleteResult:
        key = await approving.remove_approved(info.context.app, row_id("ApprovedAnswer", id))
        return Deleted(id=global_id("ApprovedAnswer", key))

    @strawberry.mutation(
        description="Say what became of a group of unanswered questions: SOLVED, for example, once "
        "a document was added that answers it. Needs EDITOR or ADMIN."
    )
    @answers_problems
    async def set_unanswered_state(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The group.")],
        state: Annotated[UnansweredState, strawberry.argument(description="Its new state.")],
    ) -> UnansweredResult:
        key = row_id("UnansweredGroup", id)
        return UnansweredGroup.from_data(await unanswered.set_state(info.context.app, key, state))


def _known_or_missing(type_name: str, value: str | None) -> UUID | None:
    if value is None:
        return None
    return row_id(type_name, value) or UUID(int=0)
