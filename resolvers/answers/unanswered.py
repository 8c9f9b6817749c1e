"""Questions that found nothing, in groups of like meaning, for those who write the documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.functions import Count, Max, Min

from models.base import new_id
from models.errors import is_unavailable
from models.store import Store
from models.unanswered import UnansweredGroup, UnansweredQuestion, UnansweredState
from models.user import EDITORS
from rag.paraphrase import RELATED, details
from rag.pipeline import Pipeline
from rag.types import FloatMatrix, Retrieval
from resolvers.answers.vectors import NearestVectors, to_bytes
from resolvers.clock import Clock
from resolvers.context import Context
from resolvers.errors import BadUserInput, NotFound
from resolvers.paging import Page, PageRequest, check_page, decode_cursor, encode_cursor

log = logging.getLogger("groundql.answers")

# So many groups are compared with a new question, the newest ones.
MAX_GROUPS = 5_000


@dataclass(frozen=True, slots=True)
class GroupData:
    """A group as editors see it. `question` is the one of its questions that came first."""

    id: UUID
    question: str
    count: int
    first_asked_at: datetime
    last_asked_at: datetime
    state: UnansweredState


class UnansweredQuestions:
    """Takes note of questions beside the replies; nothing waits for it.

    Whatever goes wrong is a line in the log.
    """

    def __init__(self, store: Store, clock: Clock, *, max_groups: int = MAX_GROUPS) -> None:
        """Compares a question with `max_groups`, and up to a tenth more before it forgets some."""
        self._max_groups = max_groups
        self._store = store
        self._clock = clock
        self._groups: NearestVectors | None = None
        self._model_key = ""
        self._details: dict[UUID, frozenset[str]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, message_id: UUID, found: Retrieval, pipeline: Pipeline) -> None:
        """Take note of a question in the background."""
        key = pipeline.embedding.identity.key
        task = asyncio.create_task(
            self._run(message_id, found.question, found.query_vector, key),
            name=f"unanswered-{message_id}",
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Return when what was begun is done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(
        self, message_id: UUID, question: str, vector: FloatMatrix, model_key: str
    ) -> None:
        try:
            await self.note(message_id, question, vector, model_key)
        except IntegrityError:
            return  # noted already (it was asked again), or deleted meanwhile
        except Exception as error:
            if not is_unavailable(error):
                log.exception("An unanswered question was not noted")
            else:
                log.warning("An unanswered question was not noted: %s", error)

    async def note(
        self, message_id: UUID, question: str, vector: FloatMatrix, model_key: str
    ) -> UUID:
        """Put a question into the group that it belongs to, or into a new one; returns its id.

        A group that was solved is open again, since the documents still do not say it; one that was
        dismissed stays so.

        Raises:
            IntegrityError: the message is noted already, or gone.
        """
        self._store.bind()
        async with self._one_at_a_time:
            groups = await self._load(model_key)
            near = groups.nearest(vector, threshold=RELATED)
            named = details(question)
            found = next((key for key in near if self._details[key] == named), None)
            key = found or new_id()
            async with self._store.transaction():
                if found is None:
                    await UnansweredGroup.create(
                        id=key, vector=to_bytes(vector), embedding_model=model_key
                    )
                else:
                    await UnansweredGroup.filter(id=key, state=UnansweredState.SOLVED).update(
                        state=UnansweredState.OPEN
                    )
                await UnansweredQuestion.create(
                    group_id=key, message_id=message_id, created_at=self._clock.now()
                )
            if found is None:
                groups.add(key, vector)
                self._details[key] = named
                if len(groups) > self._max_groups * 1.1:
                    self._groups = None  # read again, without the oldest ones
            return key

    async def _load(self, model_key: str) -> NearestVectors:
        """The groups of this model; those whose last question was deleted go first."""
        if self._groups is not None and self._model_key == model_key:
            return self._groups
        await UnansweredGroup.filter(questions__isnull=True).delete()
        rows = (
            await UnansweredGroup.filter(embedding_model=model_key)
            .order_by("-id")
            .limit(self._max_groups)
        )
        compared = {row.id for row in rows}
        sizes = await group_sizes(Q(group__embedding_model=model_key))
        # Not of all: a statement takes only so many values.
        data = await with_questions([size for size in sizes if size.group_id in compared])
        known = [row for row in rows if row.id in data]
        self._details = {row.id: details(data[row.id].question) for row in known}
        self._groups = NearestVectors([row.id for row in known], [row.vector for row in known])
        self._model_key = model_key
        return self._groups


async def list_unanswered(
    context: Context, request: PageRequest, state: UnansweredState
) -> Page[GroupData]:
    """Groups in this state, the largest first, of equal ones the one that was asked last.

    Raises:
        Unauthenticated, Forbidden, BadUserInput
    """
    context.require_role(*EDITORS)
    window = check_page(request)
    ordered = sorted(await group_sizes(Q(group__state=state)), reverse=True)
    if window.after is not None:
        after = _size(window.after)
        ordered = [size for size in ordered if size[:3] < after[:3]]
    if window.before is not None:
        before = _size(window.before)
        ordered = [size for size in ordered if size[:3] > before[:3]]
    shown = ordered[-window.size :] if window.backward else ordered[: window.size]
    more = len(ordered) > len(shown)
    data = await with_questions(shown)
    return Page(
        [data[size.group_id] for size in shown if size.group_id in data],
        [
            encode_cursor(str(size.questions), size.last.isoformat(), str(size.group_id))
            for size in shown
            if size.group_id in data
        ],
        has_next=window.before is not None if window.backward else more,
        has_previous=more if window.backward else window.after is not None,
    )


async def set_state(context: Context, key: UUID | None, state: UnansweredState) -> GroupData:
    """Say that a group is solved or of no interest, or open it again.

    Raises:
        Unauthenticated, Forbidden, NotFound
    """
    context.require_role(*EDITORS)
    if key is None or not await UnansweredGroup.filter(id=key).update(state=state):
        raise NotFound("group of questions")
    found = await get_group(context, key)
    if found is None:
        raise NotFound("group of questions")
    return found


async def get_group(context: Context, key: UUID) -> GroupData | None:
    """One group, for editors; None for everyone else.

    Raises:
        Unauthenticated
    """
    if context.require_viewer().user.role not in EDITORS:
        return None
    return (await with_questions(await group_sizes(Q(group_id=key)))).get(key)


class GroupSize(NamedTuple):
    """A group by what lists are ordered by."""

    questions: int
    last: datetime
    group_id: UUID
    first: datetime


async def group_sizes(condition: Q) -> list[GroupSize]:
    """The groups of the questions that meet the condition, which is one on their group."""
    rows = (
        await UnansweredQuestion.filter(condition)
        .annotate(count=Count("id"), first=Min("created_at"), last=Max("created_at"))
        .group_by("group_id")
        .values("group_id", "count", "first", "last")
    )
    return [GroupSize(row["count"], row["last"], row["group_id"], row["first"]) for row in rows]


async def with_questions(sizes: Sequence[GroupSize]) -> dict[UUID, GroupData]:
    """The groups with the text that began each."""
    by_id = {size.group_id: size for size in sizes}
    rows = await UnansweredQuestion.filter(
        group_id__in=list(by_id), created_at__in={size.first for size in sizes}
    ).select_related("message", "group")
    found: dict[UUID, GroupData] = {}
    for row in sorted(rows, key=lambda row: row.id):
        size = by_id[row.group_id]
        if row.created_at == size.first and row.group_id not in found:
            found[row.group_id] = GroupData(
                row.group_id,
                row.message.content,
                size.questions,
                size.first,
                size.last,
                row.group.state,
            )
    return found


def _size(cursor: str) -> GroupSize:
    count, last, key = decode_cursor(cursor, 3)
    try:
        moment = datetime.fromisoformat(last)
        if moment.tzinfo is None:
            raise ValueError
        return GroupSize(int(count), moment, UUID(key), moment)
    except ValueError:
        raise BadUserInput("The cursor is not one that this connection returned.") from None
