"""A session as a file: Markdown to read, JSON to process.

In Markdown everything that people or a model wrote stands in a fence that is longer than any run of
backticks in it, so that nothing in it can become a heading, a rule, a link or HTML of the document;
titles, names and quotes are one line each with the characters escaped that mean something.
"""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.citation import Citation
from models.participant import Participant
from resolvers import rows
from resolvers.context import Context, Services
from resolvers.errors import BadUserInput
from resolvers.knowledge.audiences import readable_documents

# What is more than this is no file that one answer can carry.
MAX_MESSAGES = 20_000
MAX_CHARACTERS = 10_000_000
# Messages that are read and written in one step; others run between two of them.
PAGE = 200
FORMAT = "groundql.session/1"


class ExportFormat(StrEnum):
    MARKDOWN = "MARKDOWN"
    JSON = "JSON"


@dataclass(frozen=True, slots=True)
class SessionExport:
    filename: str
    media_type: str
    content: str


@dataclass(frozen=True, slots=True)
class _Source:
    number: int
    title: str
    quote: str
    source: str | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A message with what is shown of it."""

    row: ChatMessage
    author: str | None
    sources: tuple[_Source, ...]


async def export_session(
    context: Context, session_id: UUID, format: ExportFormat
) -> SessionExport | None:
    """The active branch of a session that the viewer is in; None if there is no such session.

    Raises:
        Unauthenticated
        BadUserInput: it has more than MAX_MESSAGES messages, or MAX_CHARACTERS characters.
    """
    viewer = context.require_viewer()
    part = await Participant.find(viewer.id, session_id)
    if part is None:
        return None
    session = part.session
    count = await ChatMessage.filter(session_id=session.id, active=True).count()
    if count > MAX_MESSAGES:
        raise BadUserInput(
            f"The session has {count} messages; at most {MAX_MESSAGES} can be exported. "
            "Read them through `messages`."
        )
    now = context.services.clock.now()
    written: list[Any] = []
    length = 0
    async with aclosing(_entries(context.services, viewer.id, session)) as entries:
        async for entry in entries:
            length += len(entry.row.content)
            if length > MAX_CHARACTERS:
                raise BadUserInput(
                    f"The session has more than {MAX_CHARACTERS} characters, which cannot be "
                    "exported. Read it through `messages`."
                )
            if format is ExportFormat.JSON:
                written.append(json_entry(entry))
            else:
                written.append(markdown_entry(entry))
    name = _file_name(session.title)
    if format is ExportFormat.JSON:
        document = {
            "format": FORMAT,
            "title": session.title,
            "createdAt": _time(session.created_at),
            "exportedAt": _time(now),
            "messages": written,
        }
        text = await asyncio.to_thread(json.dumps, document, ensure_ascii=False, indent=1)
        return SessionExport(f"{name}.json", "application/json", text + "\n")
    head = (
        f"# {inline(session.title)}\n\nBegun {_time(session.created_at)}, exported {_time(now)}\n"
    )
    return SessionExport(f"{name}.md", "text/markdown", head + "".join(written))


async def _entries(
    services: Services, viewer_id: UUID, session: ChatSession
) -> AsyncGenerator[_Entry, None]:
    """The messages of the active branch, oldest first, a page at a time."""
    query = ChatMessage.filter(session_id=session.id, active=True).order_by("id").limit(PAGE)
    names: dict[UUID, str] = {}
    page = await query
    while page:
        unknown = {row.author_id for row in page if row.author_id is not None} - names.keys()
        if unknown:
            names |= {user.id: user.display_name for user in await rows.users(list(unknown))}
        cited: defaultdict[UUID, list[Citation]] = defaultdict(list)
        for citation in await rows.citations([row.id for row in page]):
            cited[citation.message_id].append(citation)
        documents = await readable_documents(
            services.store,
            services.knowledge.documents,
            viewer_id,
            list({one.document_id for group in cited.values() for one in group if one.document_id}),
        )
        for row in page:
            yield _Entry(
                row,
                None if row.author_id is None else names.get(row.author_id),
                tuple(
                    _Source(
                        one.number,
                        one.title,
                        one.quote,
                        found.source
                        if one.document_id is not None
                        and (found := documents.get(one.document_id)) is not None
                        and found.deleted_at is None
                        else None,
                    )
                    for one in cited[row.id]
                ),
            )
        await asyncio.sleep(0)
        page = [] if len(page) < PAGE else await query.filter(id__gt=page[-1].id)


def json_entry(entry: _Entry) -> dict[str, Any]:
    """A message of the format groundql.session/1; later versions may add keys, never drop one."""
    row = entry.row
    return {
        "role": row.role.value,
        "author": entry.author,
        "createdAt": _time(row.created_at),
        "status": row.status.value,
        "content": row.content,
        "grounded": row.grounded,
        "failure": row.failure,
        "citations": [
            {"number": one.number, "title": one.title, "quote": one.quote, "source": one.source}
            for one in entry.sources
        ],
    }


def markdown_entry(entry: _Entry) -> str:
    """A message as a section of the document."""
    row = entry.row
    if row.role is MessageRole.ASSISTANT:
        author = "Assistant"
    else:
        author = inline(entry.author) if entry.author else "Former user"
    parts = [f"\n## {author}, {_time(row.created_at)}\n"]
    if row.status is not MessageStatus.COMPLETE:
        reason = f": {inline(row.failure)}" if row.failure else ""
        parts.append(f"\nStatus: {row.status.value}{reason}\n")
    if row.content:
        parts.append(f"\n{fenced(row.content)}\n")
    if entry.sources:
        parts.append("\nSources:\n\n")
        for one in entry.sources:
            where = f" ({inline(one.source)})" if one.source else ""
            parts.append(f"- \\[{one.number}\\] {inline(one.title)}{where}: {inline(one.quote)}\n")
    return "".join(parts)


_BACKTICKS = re.compile("`+")
_MEANING = re.compile(r"[\\`*_{}\[\]<>#|~&!$^:@]")
_FIRST = re.compile(r"^(\d*)([-+=.)])")


def fenced(text: str) -> str:
    """A text in a code fence that nothing in it can close."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def inline(text: str) -> str:
    """A text as one line that Markdown shows as it is."""
    line = " ".join(text.split())
    return _FIRST.sub(r"\1\\\2", _MEANING.sub(r"\\\g<0>", line))


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _file_name(title: str) -> str:
    """A name of ASCII letters, digits and hyphens, safe on every file system."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)[:60].strip("-") or "conversation"
