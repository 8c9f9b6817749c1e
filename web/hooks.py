"""What the transport asks of the application: who is there, and how errors look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from graphql import GraphQLError

from resolvers.account import authenticate
from resolvers.context import Context, Services
from schema.context import GraphQLContext
from schema.errors import format_error
from schema.loaders import Loaders
from transport.endpoint import Connection, Rejected, request_id


class ApplicationHooks:
    """Checks the access token for every operation, and when a socket opens."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def connect(self, connection: Connection) -> None:
        """Refuse a socket whose token is wrong; one without a token is anonymous."""
        self._services.store.bind()
        _, problem = await authenticate(self._services, connection.authorization)
        if problem is not None:
            raise Rejected(4403, problem)

    def operation(self, connection: Connection) -> AbstractAsyncContextManager[GraphQLContext]:
        return self._operation(connection)

    @asynccontextmanager
    async def _operation(self, connection: Connection) -> AsyncIterator[GraphQLContext]:
        self._services.store.bind()
        viewer, problem = await authenticate(self._services, connection.authorization)
        yield GraphQLContext(
            app=Context(
                services=self._services,
                viewer=viewer,
                token_problem=problem,
                address=connection.client_address or "",
                user_agent=connection.headers.get("user-agent", "")[:300],
                request_id=connection.request_id,
            ),
            loaders=Loaders(self._services),
        )

    def format_error(self, error: GraphQLError) -> dict[str, Any]:
        return format_error(error, request_id=request_id.get())
