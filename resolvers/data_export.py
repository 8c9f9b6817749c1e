"""Everything that is kept about a person, as one JSON document that is written piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tortoise.expressions import Q

from models.api_key import ApiKey
from models.chat_message import ChatMessage
from models.collection import GroupMember
from models.login import Login
from models.message_rating import MessageRating
from models.participant import Participant
from models.security_event import EventKind, SecurityEvent
from models.sign_in import SignInIdentity
from models.user import User
from resolvers import rows
from resolvers.attempts import Rule
from resolvers.audit import note
from resolvers.context import Context, Services

FORMAT: Final = "groundql.account/1"
# Messages and sessions that are read in one step; others run between two of them.
_PAGE: Final = 200
# It is much work.
_RULE: Final = Rule("export", 10, timedelta(hours=1))


async def begin_export(context: Context) -> AsyncIterator[str]:
    """Count an export and begin it; its pieces are one JSON object.

    Raises:
        Unauthenticated
        RateLimited: too many exports.
    """
    viewer, services = context.require_viewer(), context.services
    async with services.attempts.turn(_RULE, str(viewer.id)):
        await note(context, EventKind.DATA_EXPORTED)
        return _pieces(services, viewer.user)


async def _pieces(services: Services, user: User) -> AsyncIterator[str]:
    groups = await GroupMember.filter(user_id=user.id).select_related("group").order_by("id")
    head = {
        "format": FORMAT,
        "exportedAt": _time(services.clock.now()),
        "account": {
            "id": str(user.id),
            "email": user.email,
            "displayName": user.display_name,
            "role": user.role.value,
            "language": user.language,
            "createdAt": _time(user.created_at),
            "emailVerifiedAt": _time(user.email_verified_at),
            "groups": [member.group.name for member in groups],
        },
        "signIns": [
            {
                "provider": one.provider,
                "issuer": one.issuer,
                "subject": one.subject,
                "email": one.email,
                "createdAt": _time(one.created_at),
                "lastUsedAt": _time(one.last_used_at),
            }
            for one in await SignInIdentity.filter(user_id=user.id).order_by("id")
        ],
        "apiKeys": [
            {
                "name": key.name,
                "scopes": key.scopes,
                "createdAt": _time(key.created_at),
                "expiresAt": _time(key.login.expires_at),
                "lastUsedAt": _time(key.last_used_at),
                "endedAt": _time(key.login.revoked_at),
            }
            for key in await ApiKey.filter(user_id=user.id).select_related("login").order_by("id")
        ],
        "logins": [
            {
                "device": login.user_agent,
                "address": login.address,
                "createdAt": _time(login.created_at),
                "lastUsedAt": _time(login.last_used_at),
                "endedAt": _time(login.revoked_at),
            }
            for login in await Login.filter(user_id=user.id, is_key=False).order_by("id")
        ],
    }
    text = json.dumps(head, ensure_ascii=False)
    yield text[:-1] + ', "securityEvents": ['
    separator = ""
    async for event in _events(user.id):
        yield separator + json.dumps(event, ensure_ascii=False)
        separator = ",\n"
    yield '], "sessions": ['
    separator = ""
    last: UUID | None = None
    while True:
        parts = Participant.filter(user_id=user.id).order_by("id").limit(_PAGE)
        page = await (parts if last is None else parts.filter(id__gt=last)).select_related(
            "session"
        )
        for part in page:
            session = part.session
            about = {
                "title": session.title,
                "createdAt": _time(session.created_at),
                "updatedAt": _time(session.updated_at),
                "role": part.role.value,
                "archived": part.archived,
                "pinned": part.pinned,
                "tags": part.tags,
            }
            yield separator + json.dumps(about, ensure_ascii=False)[:-1] + ', "messages": ['
            separator = ""
            async for messages in _messages(user.id, session.id):
                for message in messages:
                    yield separator + json.dumps(message, ensure_ascii=False)
                    separator = ",\n"
            yield "]}"
            separator = ",\n"
        if len(page) < _PAGE:
            break
        last = page[-1].id
    yield "]}\n"


async def _events(user_id: UUID) -> AsyncIterator[dict[str, Any]]:
    """What was noted about the person, oldest first; without where others were who did it."""
    query = SecurityEvent.filter(Q(actor_id=user_id) | Q(concerns_id=user_id))
    query = query.order_by("id").limit(_PAGE)
    page = await query
    while page:
        for row in page:
            own = row.actor_id == user_id
            yield {
                "kind": row.kind,
                "outcome": row.outcome,
                "createdAt": _time(row.created_at),
                "yours": own,
                "address": row.address if own else None,
                "device": row.device if own else None,
            }
        await asyncio.sleep(0)
        page = [] if len(page) < _PAGE else await query.filter(id__gt=page[-1].id)


async def _messages(user_id: UUID, session_id: UUID) -> AsyncIterator[list[dict[str, Any]]]:
    """All messages of a session, on every branch, oldest first."""
    query = ChatMessage.filter(session_id=session_id).order_by("id").limit(_PAGE)
    page = await query
    while page:
        ids = [row.id for row in page]
        authors = {row.author_id for row in page if row.author_id is not None}
        names = {one.id: one.display_name for one in await rows.users(list(authors))}
        ratings = {
            one.message_id: one
            for one in await MessageRating.filter(user_id=user_id, message_id__in=ids)
        }
        cited: dict[UUID, list[dict[str, Any]]] = {}
        for citation in await rows.citations(ids):
            cited.setdefault(citation.message_id, []).append(
                {"number": citation.number, "title": citation.title, "quote": citation.quote}
            )
        found = []
        for row in page:
            rated = ratings.get(row.id)
            found.append(
                {
                    "id": str(row.id),
                    "parent": None if row.parent_id is None else str(row.parent_id),
                    "role": row.role.value,
                    "author": None if row.author_id is None else names.get(row.author_id),
                    "yours": row.author_id == user_id,
                    "createdAt": _time(row.created_at),
                    "status": row.status.value,
                    "content": row.content,
                    "citations": cited.get(row.id, []),
                    "yourRating": None
                    if rated is None
                    else {"rating": rated.rating.value, "comment": rated.comment},
                }
            )
        yield found
        await asyncio.sleep(0)
        page = [] if len(page) < _PAGE else await query.filter(id__gt=page[-1].id)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
