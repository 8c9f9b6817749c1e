"""Who may see which documents: the one place where that is decided.

Searching for an answer sees what everyone sees who will read the answer. Reading documents
themselves is wider for one case: an EDITOR or ADMIN, who looks after all of them. Why, and what it
means for people who join a session later: docs/decisions/audiences.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from models import audience
from models.chat_message import RUNNING, ChatMessage
from models.document import Document
from models.reply_log import ReplyLog
from models.store import Store
from models.user import User
from rag.types import Filter
from resolvers.errors import InvalidInput
from resolvers.knowledge.passages import DocumentRows

NOT_FOR_THEM = (
    "This conversation draws on documents that this person may not see, so it cannot be shared "
    "with them. Ask an editor to open the documents' collection to them first."
)
NOT_YET = (
    "A reply is being written from documents that this person may not see. Try again once it has "
    "ended."
)


async def visible_collections(store: Store, user_ids: Sequence[UUID]) -> tuple[str, ...]:
    """The ids of the collections that each of these people may see, now; none for no people."""
    return _texts(await audience.seen_by_all(store, user_ids))


async def visible_in_session(store: Store, user_id: UUID, session_id: UUID) -> tuple[str, ...]:
    """The ids of the collections that this person and all participants of a session may see, now.

    Ask once the question is stored: then who joins later comes after it, and `check_newcomer` has
    seen that a reply is being written.
    """
    return _texts(await audience.seen_in_session(store, user_id, session_id))


def narrowed(filter: Filter, visible: Sequence[str]) -> Filter:
    """The filter, which may name collections itself, within what is visible."""
    wanted = filter.collections
    allowed = tuple(one for one in visible if wanted is None or one in wanted)
    return replace(filter, collections=allowed)


async def readable_collections(store: Store, user_id: UUID) -> tuple[UUID, ...]:
    """The collections whose documents this person may read, now."""
    return await audience.read_by(store, user_id)


async def readable_documents(
    store: Store, documents: DocumentRows, user_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, Document]:
    """The rows of these documents as far as the person may read them, tombstones included."""
    readable = set(await readable_collections(store, user_id))
    found = await documents.documents(ids)
    return {key: row for key, row in found.items() if row.collection_id in readable}


async def why_not_join(store: Store, session_id: UUID, user: User | None) -> str | None:
    """Why a person may not join a session now, in words; None if they may.

    They may if they see every document that its replies were made from, and, while one is being
    written, everything that it may be made from. `user` None is an address without an account. Call
    it in a transaction that holds the session.
    """
    if user is None:
        seen = set(await audience.seen_by_new_account(store))
    else:
        seen = set(await audience.seen_by_all(store, [user.id]))
    # First: a reply that ends between the two questions is then in one of the answers.
    running = await ChatMessage.filter(session_id=session_id, status__in=RUNNING).exists()
    if running and not seen.issuperset(await _seen_by_participants(store, session_id)):
        return NOT_YET
    logs = ReplyLog.filter(reply__session_id=session_id)
    drawn = await _drawn_on(logs)
    if await _hidden(set().union(*drawn.values()), seen):
        return NOT_FOR_THEM
    return None


async def check_newcomer(store: Store, session_id: UUID, user: User | None) -> None:
    """Refuse to let a person see what was made from documents that they may not see.

    Raises:
        InvalidInput
    """
    if (reason := await why_not_join(store, session_id, user)) is not None:
        raise InvalidInput("email", reason)


async def withheld_from_public(store: Store, reply_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these replies that were made from a document that is not open to everyone now."""
    drawn = await _drawn_on(ReplyLog.filter(reply_id__in=set(reply_ids)))
    seen = set(await audience.seen_by_everyone(store))
    hidden = await _hidden(set().union(*drawn.values()), seen)
    return {reply_id for reply_id, documents in drawn.items() if documents & hidden}


async def _seen_by_participants(store: Store, session_id: UUID) -> tuple[UUID, ...]:
    people = await User.filter(participations__session_id=session_id).values_list("id", flat=True)
    return await audience.seen_by_all(store, [UUID(str(one)) for one in people])


async def _drawn_on(logs: Any) -> dict[UUID, set[UUID]]:
    """The documents that each of these ended replies was made from, by its id."""
    drawn: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for row in await logs.filter(documents__isnull=False).values("reply_id", "documents"):
        drawn[row["reply_id"]].update(map(UUID, row["documents"]))
    # Some logs have no list, but the passages themselves.
    old = logs.filter(documents__isnull=True, sources__isnull=False)
    for row in await old.values("reply_id", "sources"):
        drawn[row["reply_id"]].update(UUID(hit["document"]) for hit in row["sources"])
    return drawn


async def _hidden(documents: set[UUID], seen: set[UUID]) -> set[UUID]:
    """Those of these documents that stand in none of the collections `seen`."""
    if not documents:
        return set()
    rows = await Document.filter(id__in=documents).values("id", "collection_id")
    return documents - {row["id"] for row in rows if row["collection_id"] in seen}


def _texts(ids: Iterable[UUID]) -> tuple[str, ...]:
    return tuple(map(str, ids))
