"""Who may be given an approved answer."""

from __future__ import annotations

from uuid import UUID

from models.document import Document, DocumentStatus
from models.store import Store
from resolvers.knowledge import audiences


async def may_see_source(
    store: Store, document: Document, *, asker_id: UUID, session_id: UUID | None
) -> bool:
    """Whether a person, and everyone else in the session, may see the source of an answer, now.

    `session_id` is None for a session that begins with this question.
    """
    if document.deleted_at is not None or document.status is DocumentStatus.PENDING:
        return False
    if session_id is None:
        visible = await audiences.visible_collections(store, [asker_id])
    else:
        visible = await audiences.visible_in_session(store, asker_id, session_id)
    return str(document.collection_id) in visible
