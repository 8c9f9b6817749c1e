"""A line in the log for each operation and each other request, with an id that a client can quote.

No line holds a document's text, its variables, a query string or a header: only who, what and how
it ended.
"""

from __future__ import annotations

import logging
import re
from time import perf_counter
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.security_event import EventKind
from resolvers.context import Services
from resolvers.event_log import Origin
from resolvers.refusals import Refused
from transport.endings import Ending
from transport.endpoint import chosen_request_id, request_id

log = logging.getLogger("groundql.requests")

GRAPHQL: Final = "/graphql"


def log_operation(ending: Ending) -> None:
    """One line for an operation."""
    viewer = None if ending.context is None else ending.context.app.viewer
    _log(
        ending.connection.request_id,
        {
            "kind": ending.connection.kind,
            "user_id": None if viewer is None else str(viewer.id),
            "api_key_id": None if viewer is None or viewer.key_id is None else str(viewer.key_id),
            "operation": ending.name,
            "document": ending.document,
            "status": ending.status,
            "errors": list(ending.codes),
            "ms": round(ending.seconds * 1_000, 1),
            "address": ending.connection.client_address,
        },
    )


def _log(request: str, fields: dict[str, Any]) -> None:
    shown = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, []))
    log.info("%s", shown, extra={"request_id": request, "fields": fields})


class RequestIds:
    """Gives what is not GraphQL an id, too: in the response and, with `logged`, a line in the log.
    GraphQL's endpoint does so by itself."""

    def __init__(self, app: ASGIApp, *, logged: bool) -> None:
        self._app = app
        self._logged = logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == GRAPHQL:
            await self._app(scope, receive, send)
            return
        chosen = chosen_request_id(Headers(scope=scope))
        token = request_id.set(chosen)
        began, status = perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = chosen
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)
            if status >= 400 and (trick := _trick(scope)) is not None:
                await _note_trick(scope, chosen, trick)
            if self._logged:
                client = scope.get("client")
                fields = {
                    "kind": "page",
                    "method": scope["method"],
                    "path": _shown(scope["path"]),
                    "status": status,
                    "ms": round((perf_counter() - began) * 1_000, 1),
                    "address": client[0] if client else None,
                }
                _log(chosen, fields)


def _trick(scope: Scope) -> str | None:
    """What no right client writes into an address, by a word of our own."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    path = unquote_to_bytes(unquote_to_bytes(raw[:2_000]))
    if any(part in (b"..", b"...") for part in re.split(rb"[/\\]", path)):
        return "PATH_ABOVE"
    if any(byte < 0x20 or byte == 0x7F for byte in path):
        return "PATH_CONTROL_CHARACTER"
    return None


async def _note_trick(scope: Scope, request: str, trick: str) -> None:
    services: Services = scope["app"].state.services
    services.store.bind()
    client = scope.get("client")
    agent = Headers(scope=scope).get("user-agent", "")
    await services.refusals.note(
        [Refused(EventKind.CALL_REFUSED, trick)],
        Origin(client[0] if client else "", agent, request),
    )


def _shown(path: str) -> str:
    """A path in one line; it cannot hold a secret of ours, but anything else."""
    return path[:200] if path.isprintable() and path.isascii() else "-"
