"""Who may be given an approved answer."""

from __future__ import annotations

from uuid import UUID

from models.document import Document, DocumentStatus


async def may_see_source(
    document: Document,
    *,
    asker_id: UUID,
    session_id: UUID | None,
) -> bool:
    """Whether a person, and everyone else in the session, may see the source of an answer.

    This is the one place that decides it. Today every person may see every document that was not
    deleted. `session_id` is None for a session that begins with this question.
    """
    return document.deleted_at is None and document.status is not DocumentStatus.PENDING
