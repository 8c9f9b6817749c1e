"""GET /.well-known/jwks.json: the public keys by which others verify our access tokens."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from resolvers.context import Services

PATH: Final = "/.well-known/jwks.json"
# A new key should be known to others soon; five minutes are what most of them wait anyway.
_CACHE: Final = "public, max-age=300"


async def _keys(request: Request) -> Response:
    services: Services = request.app.state.services
    return JSONResponse(
        services.tokens.public_keys(),
        media_type="application/jwk-set+json",
        headers={"cache-control": _CACHE},
    )


def jwks_routes() -> list[BaseRoute]:
    """Without a key pair (SIGNING_KEY_FILE) the list is empty: a shared secret is never shown."""
    return [Route(PATH, _keys, methods=["GET"])]
