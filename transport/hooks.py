"""What the transport asks of the application, and what it tells it about a client."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from graphql import GraphQLError

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the HTTP request or WebSocket operation that the current task serves, for logs."""


@dataclass(frozen=True)
class Connection:
    """What an operation's context is made from.

    Over a WebSocket, `authorization` is that of connection_init or of the last accepted renewal,
    and `request_id` is the socket's id in `Hooks.connect` and `socket.number` in
    `Hooks.operation`.
    """

    kind: Literal["http", "websocket"]
    # Neither may reach a log through repr.
    authorization: str | None = field(repr=False)
    """The raw Authorization header, or `authorization` of the connection_init payload."""
    client_address: str | None
    headers: Mapping[str, str] = field(repr=False)
    """Of the HTTP request or of the WebSocket's handshake; names match in any case."""
    request_id: str


class Rejected(Exception):
    """Refuses a client. On a WebSocket it closes the socket with `code` and `reason`.

    `Hooks.connect`, `Hooks.operation` and a running subscription may raise it. Over HTTP the
    operation is answered with an error: 4401 as UNAUTHENTICATED, 4429 as RATE_LIMITED, any other
    code as FORBIDDEN.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


MaySendMore: TypeAlias = Callable[[Connection], Awaitable[bool]]
"""Whether this client may send a large body. It may raise RequestError."""


class Hooks(Protocol):
    """The application's side. None of the three may wait without a limit of its own."""

    async def connect(self, connection: Connection) -> None:
        """Accept a WebSocket client, at connection_init and at each renewal of its token.

        Raises Rejected to close the socket, e.g. `Rejected(4403, "Forbidden")`.
        """
        ...

    def operation(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """Yield the Strawberry context value of one operation.

        Left when the operation or subscription has ended, was cancelled or failed. A GraphQLError
        raised on entering is the operation's request error.
        """
        ...

    def format_error(self, error: GraphQLError) -> dict[str, Any]:
        """Give the final JSON form of an error: masked, with `extensions.code`.

        Called in the operation's task and inside `operation`, so context variables set there hold.
        """
        ...
