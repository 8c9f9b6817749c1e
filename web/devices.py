"""The connections that people have open, by the logins that they belong to."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from resolvers.account import bearer_token
from resolvers.api_keys import login_of_key
from resolvers.clock import Clock
from resolvers.errors import InvalidToken
from resolvers.tokens import TokenService
from transport.endpoint import Connection, GraphQLEndpoint

_EXPIRED = "The access token has expired; refresh it, and connect again."
# What streams over a connection has so long to send its last event. Seconds.
_GRACE = 1.0


class OpenDevices:
    """Sockets and streamed responses. A socket belongs to the login of its last accepted token."""

    def __init__(self, endpoint: GraphQLEndpoint, tokens: TokenService, clock: Clock) -> None:
        self._endpoint = endpoint
        self._tokens = tokens
        self._clock = clock
        self._ends: dict[str, datetime | None] = {}
        # Of what is open only: checking a signature takes longer than all else here.
        self._known: dict[str, UUID | None] = {}

    def logins(self) -> set[UUID]:
        sent = {connection.authorization for connection in self._endpoint.connections()}
        self._known = {text: self._login(text) for text in sent if text is not None}
        return {login_id for login_id in self._known.values() if login_id is not None}

    async def close(self, login_ids: Collection[UUID], *, reason: str) -> None:
        def matches(connection: Connection) -> bool:
            text = connection.authorization
            return text is not None and self._login(text) in login_ids

        await self._endpoint.retire(matches, code=4403, reason=reason, grace=_GRACE)

    async def close_expired(self) -> None:
        """End what is open with an access token that was good once and is not any more. Keys of
        another kind are checked by what made them."""
        sent = {connection.authorization for connection in self._endpoint.connections()}
        self._ends = {text: self._end(text) for text in sent if text is not None}
        now = self._clock.now()
        expired = {text for text, end in self._ends.items() if end is not None and end <= now}
        if expired:
            await self._endpoint.retire(
                lambda connection: connection.authorization in expired,
                code=4403,
                reason=_EXPIRED,
                grace=_GRACE,
            )

    def _end(self, authorization: str) -> datetime | None:
        """When a token ends, as far as it is one of ours."""
        if authorization in self._ends:
            return self._ends[authorization]
        token = bearer_token(authorization)
        if token is None:
            return None
        try:
            return self._tokens.read_access_token(token).expires_at
        except InvalidToken:
            # Expired between the opening and now, or no access token at all.
            return None if self._tokens.read_login(token) is None else self._clock.now()

    def _login(self, authorization: str) -> UUID | None:
        if authorization in self._known:
            return self._known[authorization]
        token = bearer_token(authorization)
        if token is None:
            return None
        return login_of_key(token) or self._tokens.read_login(token)
