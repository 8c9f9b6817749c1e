"""The connections that people have open, by the logins that they belong to."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from resolvers.account import bearer_token
from resolvers.api_keys import login_of_key
from resolvers.tokens import TokenService
from transport.endpoint import Connection, GraphQLEndpoint

_REASON = "This login was ended; log in again."
# What streams over a connection has so long to send its last event. Seconds.
_GRACE = 1.0


class OpenDevices:
    """Sockets and streamed responses. A socket belongs to the login of its last accepted token."""

    def __init__(self, endpoint: GraphQLEndpoint, tokens: TokenService) -> None:
        self._endpoint = endpoint
        self._tokens = tokens
        # Of what is open only: checking a signature takes longer than all else here.
        self._known: dict[str, UUID | None] = {}

    def logins(self) -> set[UUID]:
        sent = {connection.authorization for connection in self._endpoint.connections()}
        self._known = {text: self._login(text) for text in sent if text is not None}
        return {login_id for login_id in self._known.values() if login_id is not None}

    async def close(self, login_ids: Collection[UUID]) -> None:
        def matches(connection: Connection) -> bool:
            text = connection.authorization
            return text is not None and self._login(text) in login_ids

        await self._endpoint.retire(matches, code=4403, reason=_REASON, grace=_GRACE)

    def _login(self, authorization: str) -> UUID | None:
        if authorization in self._known:
            return self._known[authorization]
        token = bearer_token(authorization)
        if token is None:
            return None
        return login_of_key(token) or self._tokens.read_login(token)
