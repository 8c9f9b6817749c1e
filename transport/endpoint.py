"""The ASGI application for GraphQL: HTTP requests and WebSockets on one path."""

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import strawberry
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from transport.endings import OnEnding
from transport.errors import REJECTION_CODES, SERVICE_UNAVAILABLE, error_object
from transport.hooks import Connection, Hooks, MaySendMore, Rejected, request_id
from transport.http import Exchange
from transport.limits import Limits
from transport.persisted import PersistedQueries
from transport.websocket import Socket

__all__ = ["Connection", "GraphQLEndpoint", "Hooks", "Limits", "Rejected", "request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class GraphQLEndpoint:
    """Serve `schema` on every HTTP request and WebSocket that reaches this application.

    `allowed_origins` are the origins beside its own from which browsers may open WebSockets
    (`https://host[:port]`, or `*` for all). CORS for HTTP is the caller's.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        hooks: Hooks,
        *,
        limits: Limits | None = None,
        allowed_origins: Sequence[str] = (),
        persisted: PersistedQueries | None = None,
        may_send_more: MaySendMore | None = None,
        ended: OnEnding | None = None,
    ) -> None:
        """`may_send_more` is asked before more than `limits.body_bytes` of a body are read; nobody
        may without it. `ended` is called at the end of each operation; it must not raise, nor take
        long."""
        self._schema = schema
        self._hooks = hooks
        self._limits = limits or Limits()
        self._persisted = persisted or PersistedQueries()
        self._may_send_more = may_send_more
        self._ended = ended
        self._allowed_origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._sockets: dict[asyncio.Task[None], Socket] = {}
        self._exchanges: dict[asyncio.Task[None], Exchange] = {}
        self._addresses: Counter[str] = Counter()
        self._closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise RuntimeError(f"Unexpected scope type {scope['type']!r}")

    async def shutdown(
        self, *, code: int = 1012, reason: str = "Service restart", grace: float = 30.0
    ) -> None:
        """Refuse new work, let what runs end within `grace` seconds, then end the rest.

        Idle sockets close at once, the others after their last event, all with `code`. Streamed
        responses that did not end are closed with an error; plain requests are left to the server.
        """
        self._closing = True
        for socket in list(self._sockets.values()):
            socket.drain(code, reason)
        await _wait([*self._sockets, *self._exchanges], grace)
        for socket in list(self._sockets.values()):
            socket.end(code, reason)
        payload = {"errors": [error_object(reason, SERVICE_UNAVAILABLE)]}
        for exchange in list(self._exchanges.values()):
            exchange.end(payload)
        streams = [task for task, e in self._exchanges.items() if e.stream is not None]
        await _wait([*self._sockets, *streams], self._limits.close_seconds)

    def close(
        self, matches: Callable[[Connection], bool], *, code: int = 4403, reason: str = "Forbidden"
    ) -> int:
        """End the sockets and streamed responses whose connection matches; returns how many.

        For a logout, a suspension or an expired token. A socket's connection is the last accepted
        one, so one that renewed its token in time no longer matches the old one.
        """
        error = error_object(reason, REJECTION_CODES.get(code, "FORBIDDEN"))
        ended = 0
        for socket in list(self._sockets.values()):
            if matches(socket.connection):
                socket.end(code, reason)
                ended += 1
        for exchange in list(self._exchanges.values()):
            if exchange.stream is not None and matches(exchange.connection):
                exchange.end({"errors": [error]})
                ended += 1
        return ended

    async def retire(
        self,
        matches: Callable[[Connection], bool],
        *,
        code: int = 4403,
        reason: str = "Forbidden",
        grace: float = 1.0,
    ) -> None:
        """Like `close`, but what runs has `grace` seconds to end by itself; nothing new starts."""
        sockets = [task for task, one in self._sockets.items() if matches(one.connection)]
        for task in sockets:
            self._sockets[task].drain(code, reason)
        streams = [
            task
            for task, exchange in self._exchanges.items()
            if exchange.stream is not None and matches(exchange.connection)
        ]
        await _wait([*sockets, *streams], grace)
        self.close(matches, code=code, reason=reason)

    def connections(self) -> list[Connection]:
        """Who is connected: the sockets and the streamed responses that are open."""
        streamed = [one.connection for one in self._exchanges.values() if one.stream is not None]
        return [socket.connection for socket in self._sockets.values()] + streamed

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = _connect(scope, "http")
        exchange = Exchange(
            self._schema,
            self._hooks,
            self._limits,
            connection,
            persisted=self._persisted,
            may_send_more=self._may_send_more,
            ended=self._ended,
            scope=scope,
            receive=receive,
            send=send,
        )
        task = _current_task()
        token = request_id.set(connection.request_id)
        self._exchanges[task] = exchange
        try:
            await exchange.run(refuse=self._closing)
        finally:
            del self._exchanges[task]
            request_id.reset(token)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        connection = _connect(scope, "websocket")
        if self._closing:
            await _deny(scope, send, 503)
            return
        if not self._origin_allowed(connection):
            await _deny(scope, send, 403)
            return
        address = connection.client_address or ""
        allowed = self._limits.sockets_per_address
        if allowed is not None and self._addresses[address] >= allowed:
            await _deny(scope, send, 429)
            return
        socket = Socket(
            self._schema,
            self._hooks,
            self._limits,
            connection,
            persisted=self._persisted,
            ended=self._ended,
            receive=receive,
            send=send,
        )
        task = _current_task()
        token = request_id.set(connection.request_id)
        self._sockets[task] = socket
        self._addresses[address] += 1
        try:
            await socket.run(scope["subprotocols"])
        finally:
            del self._sockets[task]
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            request_id.reset(token)

    def _origin_allowed(self, connection: Connection) -> bool:
        """Only browsers send Origin, and they never let a page forge it."""
        origin = connection.headers.get("origin")
        if origin is None:
            return True
        origin = origin.lower()
        if "*" in self._allowed_origins or origin in self._allowed_origins:
            return True
        try:
            parts = urlsplit(origin)
            default = _DEFAULT_PORTS.get(parts.scheme)
            host = urlsplit(f"//{connection.headers.get('host', '').lower()}")
            # Behind a proxy the own scheme is unknown: the origin's decides the default port.
            return (
                default is not None
                and parts.hostname is not None
                and parts.hostname == host.hostname
                and (parts.port or default) == (host.port or default)
            )
        except ValueError:
            return False


def _connect(scope: Scope, kind: str) -> Connection:
    headers = Headers(scope=scope)
    client = scope.get("client")
    return Connection(
        kind="http" if kind == "http" else "websocket",
        authorization=headers.get("authorization"),
        client_address=client[0] if client else None,
        headers=headers,
        request_id=chosen_request_id(headers),
    )


def chosen_request_id(headers: Mapping[str, str]) -> str:
    """The id that the client has sent as X-Request-ID, if it can be one, else a new one."""
    sent = headers.get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


async def _deny(scope: Scope, send: Send, status: int) -> None:
    """Refuse a handshake; servers without the denial extension answer 403."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close"})


async def _wait(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    others = [task for task in tasks if task is not asyncio.current_task()]
    if others:
        await asyncio.wait(others, timeout=seconds)


def _current_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task
