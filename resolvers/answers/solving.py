"""When questions without an answer have got one that an editor approved."""

from __future__ import annotations

from uuid import UUID

from tortoise.expressions import Q

from models.approved_answer import ApprovedAnswer
from models.unanswered import UnansweredGroup, UnansweredState
from rag.paraphrase import THRESHOLD, same_details, same_language
from resolvers.answers.unanswered import MAX_GROUPS, group_sizes, with_questions
from resolvers.answers.vectors import NearestVectors, from_bytes


async def solve_answered(answer: ApprovedAnswer, group_id: UUID | None = None) -> None:
    """Mark the open groups whose question gets this answer from now on as SOLVED, and the group
    named, whatever its question and state. Call it in the transaction that stores the answer.

    The same rule as for giving the answer decides, so a group that stays open is one whose question
    would still find nothing.
    """
    solved = set() if group_id is None else {group_id}
    solved |= await _paraphrases(answer)
    if solved:
        await UnansweredGroup.filter(id__in=list(solved)).update(state=UnansweredState.SOLVED)


async def _paraphrases(answer: ApprovedAnswer) -> set[UUID]:
    rows = (
        await UnansweredGroup.filter(
            state=UnansweredState.OPEN, embedding_model=answer.embedding_model
        )
        .order_by("-id")
        .limit(MAX_GROUPS)
    )
    vectors = NearestVectors([row.id for row in rows], [row.vector for row in rows])
    near = vectors.nearest(from_bytes(answer.vector), threshold=THRESHOLD)
    if not near:
        return set()
    groups = await with_questions(await group_sizes(Q(group_id__in=near)))
    return {
        key
        for key, group in groups.items()
        if same_details(group.question, answer.question)
        and same_language(group.question, answer.question)
    }
