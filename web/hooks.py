"""What the transport asks of the application: who is there, and how errors look."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any

from graphql import GraphQLError

from models.api_key import ApiScope
from models.errors import is_unavailable
from models.security_event import EventKind
from models.user import EDITORS
from resolvers.account import ORDINARY_PROBLEMS, authenticate, bearer_token
from resolvers.context import Context, Services, Viewer
from resolvers.event_log import Origin
from resolvers.refusals import Collected, Refused, collected
from resolvers.tokens import KEY_PREFIX
from schema.context import GraphQLContext
from schema.errors import UNAVAILABLE, Telling, collect_refusal, format_error
from transport.endpoint import Connection, Rejected, request_id
from transport.errors import SERVICE_UNAVAILABLE, RequestError

log = logging.getLogger("groundql")

# What the operation of the current task may be told; without one, its caller is not known.
_telling: ContextVar[Telling] = ContextVar("telling", default=Telling.NOTHING)

TRY_AGAIN_LATER = 1013  # the registered close code of that name


class ApplicationHooks:
    """Checks the access token for every operation, and when a socket opens."""

    def __init__(self, services: Services, *, production: bool = False) -> None:
        self._services = services
        self._production = production

    async def connect(self, connection: Connection) -> None:
        """Refuse a socket whose token is wrong; one without a token is anonymous."""
        try:
            _, problem = await self._authenticate(connection)
        except RequestError as error:
            raise Rejected(TRY_AGAIN_LATER, error.message) from error
        if problem is not None:
            if (refused := _refused_token(connection, problem)) is not None:
                await self._note(connection, [refused], None)
            raise Rejected(4403, problem)

    def operation(self, connection: Connection) -> AbstractAsyncContextManager[GraphQLContext]:
        return self._operation(connection)

    @asynccontextmanager
    async def _operation(self, connection: Connection) -> AsyncIterator[GraphQLContext]:
        found = Collected()
        collected.set(found)
        viewer, problem = await self._authenticate(connection)
        if self._production:
            _telling.set(Telling.NOTHING if viewer is None else Telling.NO_SUGGESTIONS)
        if (refused := _refused_token(connection, problem)) is not None:
            found.refused.append(refused)
        try:
            yield self._context(connection, viewer, problem)
        finally:
            if found.refused:
                await self._note(connection, found.refused, viewer)

    def _context(
        self, connection: Connection, viewer: Viewer | None, problem: str | None
    ) -> GraphQLContext:
        return GraphQLContext(
            app=Context(
                services=self._services,
                viewer=viewer,
                token_problem=problem,
                address=connection.client_address or "",
                user_agent=connection.headers.get("user-agent", "")[:300],
                request_id=connection.request_id,
                accept_language=connection.headers.get("accept-language", "")[:500],
            )
        )

    async def _note(
        self, connection: Connection, refused: list[Refused], viewer: Viewer | None
    ) -> None:
        await self._services.refusals.note(
            refused,
            Origin(
                connection.client_address or "",
                connection.headers.get("user-agent", ""),
                connection.request_id,
            ),
            actor=None if viewer is None else viewer.id,
            api_key=None if viewer is None else viewer.key_id,
        )

    async def may_send_more(self, connection: Connection) -> bool:
        """Large bodies hold texts of documents and manifests, which editors send."""
        viewer, _ = await self._authenticate(connection)
        if viewer is None or viewer.needs_second_factor or viewer.user.role not in EDITORS:
            return False
        return viewer.scopes is None or ApiScope.DOCUMENTS in viewer.scopes

    async def _authenticate(self, connection: Connection) -> tuple[Viewer | None, str | None]:
        self._services.store.bind()
        try:
            return await authenticate(self._services, connection.authorization)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.error("The database cannot be used: %s", error)
            raise RequestError(503, UNAVAILABLE, code=SERVICE_UNAVAILABLE) from error

    def format_error(self, error: GraphQLError) -> dict[str, Any]:
        telling = _telling.get() if self._production else Telling.ALL
        formatted = format_error(error, request_id=request_id.get(), telling=telling)
        collect_refusal(error, formatted["extensions"]["code"])
        return formatted


def _refused_token(connection: Connection, problem: str | None) -> Refused | None:
    """A token that was never right, as far as we know. One that has expired, or whose login was
    ended, is what every client sends now and then."""
    if problem is None or problem in ORDINARY_PROBLEMS:
        return None
    token = bearer_token(connection.authorization or "") or ""
    what = "API_KEY" if token.startswith(KEY_PREFIX) else "ACCESS_TOKEN"
    return Refused(EventKind.TOKEN_REFUSED, what)
