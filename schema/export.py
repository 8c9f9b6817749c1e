"""Sessions as files."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers import export
from resolvers.export import ExportFormat
from schema.chat import SessionId
from schema.context import Info
from schema.enums import describe_enum
from schema.node import row_id

describe_enum(
    ExportFormat,
    "What an exported session looks like.",
    {
        "MARKDOWN": "To read: a section for each message, its text in a code fence, so that "
        "nothing in it changes the document.",
        "JSON": 'To process: an object with "format": "groundql.session/1", title, createdAt, '
        "exportedAt and messages, each with role, author, createdAt, status, content, grounded, "
        "failure and citations (number, title, quote, source). Keys may be added, none is dropped.",
    },
)


@strawberry.type(description="A session as a file.")
class SessionExport:
    filename: str = strawberry.field(
        description="A name for it: ASCII letters, digits, hyphens and an extension."
    )
    media_type: str = strawberry.field(description="text/markdown or application/json.")
    content: str = strawberry.field(description="The file's text, to be stored as UTF-8.")


@strawberry.type
class ExportQuery:
    @strawberry.field(
        description="The active branch of a session as a file, with names, times in UTC and "
        "citations; null if it does not exist or the viewer is not in it. More than 20,000 "
        "messages or 10,000,000 characters are BAD_USER_INPUT. Needs a login."
    )
    async def export_session(
        self,
        info: Info,
        id: SessionId,
        format: Annotated[
            ExportFormat, strawberry.argument(description="What it looks like.")
        ] = ExportFormat.MARKDOWN,
    ) -> SessionExport | None:
        info.context.app.require_viewer()
        key = row_id("ChatSession", id)
        made = None if key is None else await export.export_session(info.context.app, key, format)
        if made is None:
            return None
        return SessionExport(
            filename=made.filename, media_type=made.media_type, content=made.content
        )


__all__ = ["ExportQuery"]
