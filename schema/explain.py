"""Why a question found what it found, for those who look after the documents."""

from __future__ import annotations

from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from models.user import EDITORS
from rag.explain import CandidateOutcome, ExplainedCandidate, Explanation, Place
from resolvers.errors import BadUserInput
from resolvers.knowledge.explain import explain_message, explain_question
from schema.absent import given
from schema.context import Info
from schema.enums import describe_enum
from schema.knowledge import Document, DocumentFilter, to_filter
from schema.node import row_id


class PromptRole(Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


describe_enum(
    PromptRole,
    "Who speaks in a part of a prompt.",
    {
        "SYSTEM": "The rules and the sources.",
        "USER": "A person: earlier turns, and last the question.",
        "ASSISTANT": "An earlier reply.",
    },
)
describe_enum(
    CandidateOutcome,
    "What became of a passage that was considered.",
    {
        "HIT": "It is one of the sources, as long as the prompt has room.",
        "LOWER": "It was compared closely, and others were better.",
        "DUPLICATE": "It says the same as a better one.",
        "BEYOND": "It was too low for a closer look.",
        "FILTERED": "The filter, or a missing right, excludes it; the ranks are those without.",
        "GONE": "It was deleted meanwhile.",
    },
)


@strawberry.type(description="A rank among the candidates, and the score that gave it.")
class CandidatePlace:
    rank: int = strawberry.field(description="From 1, the best.")
    score: float = strawberry.field(description="Higher is better; see where it stands.")

    @classmethod
    def from_place(cls, place: Place | None) -> CandidatePlace | None:
        return None if place is None else cls(rank=place.rank, score=place.score)


@strawberry.type(description="A passage that was considered as an answer.")
class RetrievalCandidate:
    document_id: strawberry.Private[UUID | None]
    text: str | None = strawberry.field(
        description="The passage; null if it was deleted meanwhile."
    )
    headings: list[str] = strawberry.field(
        description="The headings that it stands under, outermost first."
    )
    outcome: CandidateOutcome = strawberry.field(description="What became of it.")
    number: int | None = strawberry.field(
        description="Its number [n] among the sources; null if it is none."
    )
    dense: CandidatePlace = strawberry.field(
        description="By meaning: the cosine with the question, -1 to 1."
    )
    lexical: CandidatePlace | None = strawberry.field(
        description="By words: the share of the best possible BM25 score, 0 to 1. Null without a "
        "common word."
    )
    fused: CandidatePlace = strawberry.field(
        description="By both together; the best of these are compared closely."
    )
    relevance: CandidatePlace | None = strawberry.field(
        description="By its relevance after the closer look, 0 to 1; null without one."
    )
    reranked: CandidatePlace | None = strawberry.field(
        description="By the reranking model, in numbers of its own; null without one."
    )
    removed_by: list[str] = strawberry.field(
        description="What excludes it: type, category, language, document or collection (a right "
        "that is missing). Empty unless the outcome is FILTERED."
    )

    @strawberry.field(description="Its document; null if the passage was deleted meanwhile.")
    async def document(self, info: Info) -> Document | None:
        return await Document.readable(info, self.document_id)

    @classmethod
    def from_candidate(cls, one: ExplainedCandidate) -> RetrievalCandidate:
        passage = one.passage
        return cls(
            document_id=None if passage is None else UUID(passage.document_id),
            text=None if passage is None else passage.text,
            headings=[] if passage is None else list(passage.headings),
            outcome=one.outcome,
            number=one.number,
            dense=CandidatePlace(rank=one.dense.rank, score=one.dense.score),
            lexical=CandidatePlace.from_place(one.lexical),
            fused=CandidatePlace(rank=one.fused.rank, score=one.fused.score),
            relevance=CandidatePlace.from_place(one.relevance),
            reranked=CandidatePlace.from_place(one.reranked),
            removed_by=list(one.removed_by),
        )


@strawberry.type(description="A part of a prompt.")
class PromptPart:
    role: PromptRole = strawberry.field(description="Who speaks.")
    content: str = strawberry.field(description="The text, as a model would get it.")


@strawberry.type(description="A step of a retrieval.")
class RetrievalStep:
    name: str = strawberry.field(
        description="words, embedding, search, reranking or prompt. Embedding is what was still to "
        "wait for after words."
    )
    milliseconds: float = strawberry.field(description="How long it took, waiting included.")


@strawberry.type(description="How the sources for a question were found.")
class RetrievalExplanation:
    question: str = strawberry.field(description="The question.")
    searched: str = strawberry.field(
        description="The text that was searched: the question, completed from the turns before."
    )
    grounded: bool = strawberry.field(
        description="Whether it would be answered from the documents."
    )
    relevance: float = strawberry.field(
        description="The highest relevance, 0 to 1: what is compared with threshold."
    )
    threshold: float = strawberry.field(
        description="From this relevance on a question is answered from the documents."
    )
    passage_count: int = strawberry.field(description="How many passages there are.")
    allowed_count: int = strawberry.field(description="How many of them the filter leaves.")
    candidates: list[RetrievalCandidate] = strawberry.field(
        description="The sources by their numbers, then the others by fused rank, at most 50; then "
        "what the filter removed, at most 50."
    )
    prompt: list[PromptPart] = strawberry.field(
        description="The prompt that a model would get, in order."
    )
    prompt_tokens: int = strawberry.field(description="Its length in tokens, estimated.")
    timings: list[RetrievalStep] = strawberry.field(description="The steps in order.")

    @classmethod
    def from_explanation(cls, explanation: Explanation) -> RetrievalExplanation:
        return cls(
            question=explanation.question,
            searched=explanation.searched,
            grounded=explanation.grounded,
            relevance=explanation.relevance,
            threshold=explanation.threshold,
            passage_count=explanation.passages,
            allowed_count=explanation.allowed,
            candidates=[RetrievalCandidate.from_candidate(one) for one in explanation.candidates],
            prompt=[
                PromptPart(role=PromptRole(part.role), content=part.content)
                for part in explanation.prompt.messages
            ],
            prompt_tokens=explanation.prompt.prompt_tokens,
            timings=[
                RetrievalStep(name=name, milliseconds=spent)
                for name, spent in explanation.milliseconds
            ],
        )


@strawberry.type
class ExplainQuery:
    @strawberry.field(
        description="How the sources for a question are found now, step by step; nothing is "
        "stored. Give a question or the id of a message. Null if there is no such message in the "
        "viewer's sessions. For the roles EDITOR and ADMIN; others get FORBIDDEN."
    )
    async def explain_retrieval(
        self,
        info: Info,
        question: Annotated[
            str | None,
            strawberry.argument(
                description="A question without turns before it, 1 to 2,000 characters."
            ),
        ] = UNSET,
        message_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="A question that was asked, or a reply to it. The turns before it and "
                "its filter count as they did then; the documents are those of now."
            ),
        ] = UNSET,
        filter: Annotated[
            DocumentFilter | None,
            strawberry.argument(description="Only in some documents; for a question only."),
        ] = UNSET,
    ) -> RetrievalExplanation | None:
        # Who may not ask is told that, and not how to ask.
        info.context.app.require_role(*EDITORS)
        text, key, chosen = given(question), given(message_id), given(filter)
        if (text is None) == (key is None):
            raise BadUserInput("Give either question or messageId.")
        if key is not None and chosen is not None:
            raise BadUserInput("A message has its own filter: leave filter out.")
        if text is not None:
            found: Explanation | None = await explain_question(
                info.context.app, text, to_filter(chosen)
            )
        else:
            assert key is not None
            found = await explain_message(info.context.app, row_id("ChatMessage", key))
        return None if found is None else RetrievalExplanation.from_explanation(found)
