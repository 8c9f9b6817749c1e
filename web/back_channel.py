"""POST /sign-in/{provider}/back-channel-logout: a provider says that somebody has signed out there.

OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8. Nobody is logged in here: the token that is sent
is signed by the provider.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from models.errors import is_unavailable
from resolvers.context import Context, Services
from resolvers.errors import NotFound, RateLimited
from resolvers.sign_in.id_token import MAX_LENGTH
from resolvers.sign_in.logging_out import LogoutRefused, end_provider_logins
from schema.errors import UNAVAILABLE
from transport.endpoint import request_id

log = logging.getLogger("groundql.accounts")

PATH: Final = "/sign-in/{provider}/back-channel-logout"
MAX_BODY: Final = MAX_LENGTH + 1024
_FORM: Final = "application/x-www-form-urlencoded"


async def _log_out(request: Request) -> Response:
    services: Services = request.app.state.services
    address = request.client.host if request.client is not None else ""
    try:
        await services.rates.take_provider_logout(address)
    except RateLimited as limited:
        return _refusal(429, limited.message, retry_after=limited.retry_after_seconds)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return _refusal(415, f"The body must be {_FORM}.")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                return _refusal(413, f"The body is larger than {MAX_BODY} bytes.")
    except ClientDisconnect:
        return _refusal(400, "The body has not come whole.")
    token = _token(bytes(body))
    if token is None:
        return _refusal(400, "The body must have one logout_token.")
    services.store.bind()
    context = Context(
        services,
        None,
        address=address,
        user_agent=request.headers.get("user-agent", "")[:300],
        request_id=request_id.get(),
    )
    try:
        await end_provider_logins(context, request.path_params["provider"], token)
    except NotFound:
        return _refusal(404, "There is no such provider.")
    except LogoutRefused as error:
        return _refusal(400, str(error))
    except Exception as error:
        if is_unavailable(error):
            log.error("The database cannot be used: %s", error)
            return _refusal(503, UNAVAILABLE, retry_after=30)
        log.exception("A logout by a provider failed")
        return _refusal(500, "Something went wrong on our side.")
    return Response(headers={"cache-control": "no-store"})


def _token(body: bytes) -> str | None:
    """The one `logout_token` of a form; what else stands there is ignored (2.5)."""
    try:
        found = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
    except ValueError:
        return None
    tokens = found.get("logout_token", [])
    return tokens[0] if len(tokens) == 1 else None


def _refusal(status: int, message: str, *, retry_after: int | None = None) -> Response:
    """As RFC 6749, 5.2 writes errors, which Back-Channel Logout refers to."""
    headers = {"cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    error = {"error": "invalid_request", "error_description": message}
    return JSONResponse(error, status_code=status, headers=headers)


def back_channel_routes(*, providers: bool) -> list[BaseRoute]:
    """The address, if there are providers; otherwise it does not exist."""
    return [Route(PATH, _log_out, methods=["POST"])] if providers else []
