"""How a person keeps their sessions: pins and tags, which nobody else sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models.chat_session import ChatSession
from models.participant import Participant
from resolvers.access import require_part
from resolvers.context import Context
from resolvers.errors import InvalidInput
from resolvers.text import check_text
from texts import fill

MAX_TAGS = 20
MAX_TAG = 40


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and how many of the person's sessions have it."""

    name: str
    count: int


async def pin_session(context: Context, session_id: UUID | None, *, pinned: bool) -> ChatSession:
    """Pin a session, or let it go.

    Raises:
        Unauthenticated, NotFound
    """
    part = await require_part(context, session_id)
    await Participant.filter(id=part.id).update(pinned=pinned)
    return part.session


async def tag_session(
    context: Context, session_id: UUID | None, tags: Sequence[str]
) -> ChatSession:
    """Replace the viewer's tags of a session. A tag that they have elsewhere keeps its spelling.

    Raises:
        Unauthenticated, NotFound, InvalidInput
    """
    part = await require_part(context, session_id)
    wanted = check_tags(tags)
    if wanted:
        spellings = await _spellings(part.user_id, other_than=part.id)
        wanted = [
            spellings[tag.casefold()][0] if tag.casefold() in spellings else tag for tag in wanted
        ]
    await Participant.filter(id=part.id).update(tags=wanted)
    return part.session


def check_tags(tags: Sequence[str]) -> list[str]:
    """Tags in one line each, each once whatever its case, in alphabetical order.

    Raises:
        InvalidInput
    """
    kept: dict[str, str] = {}
    for tag in tags:
        tag = " ".join(tag.split())
        check_text("tags", tag, maximum=MAX_TAG)
        kept.setdefault(tag.casefold(), tag)
        if len(kept) > MAX_TAGS:
            raise InvalidInput(
                "tags", fill("At most {maximum} tags are allowed.", maximum=MAX_TAGS)
            )
    return [kept[key] for key in sorted(kept)]


async def list_tags(context: Context) -> list[Tag]:
    """The viewer's tags in alphabetical order.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    found = await _spellings(viewer.id)
    return [Tag(names[0], len(names)) for _, names in sorted(found.items())]


async def tagged(user_id: UUID, tag: str) -> list[UUID]:
    """The ids of a person's participations with a tag, whatever its case."""
    wanted = " ".join(tag.split()).casefold()
    rows = await _tagged_rows(user_id)
    return [key for key, tags in rows if wanted in (one.casefold() for one in tags)]


async def _spellings(user_id: UUID, *, other_than: UUID | None = None) -> dict[str, list[str]]:
    """A person's tags by their folded form, as each session has them, oldest session first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, tags in await _tagged_rows(user_id):
        if key != other_than:
            for tag in tags:
                found[tag.casefold()].append(tag)
    return found


async def _tagged_rows(user_id: UUID) -> list[tuple[UUID, list[str]]]:
    """The tags are kept as JSON, which the two databases search differently: they are compared
    here. Only sessions that have some are read."""
    rows = Participant.filter(user_id=user_id).exclude(tags=[]).order_by("id")
    found: list[tuple[UUID, list[str]]] = await rows.values_list("id", "tags")
    return found
