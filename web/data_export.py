"""GET /account/data: everything that is kept about whoever asks, as a JSON file.

It is streamed, for the access token in the Authorization header alone: so nothing secret stands in
an address, and no file lies about on the server.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from resolvers.account import authenticate
from resolvers.context import Context, Services
from resolvers.data_export import begin_export
from resolvers.errors import ForbiddenReason, RateLimited
from schema.scopes import SET_UP_FIRST
from transport.endpoint import request_id

PATH = "/account/data"


async def _export(request: Request) -> Response:
    services: Services = request.app.state.services
    services.store.bind()
    viewer, problem = await authenticate(services, request.headers.get("authorization"))
    context = Context(
        services=services,
        viewer=viewer,
        address=request.client.host if request.client is not None else "",
        user_agent=request.headers.get("user-agent", ""),
        request_id=request_id.get(),
    )
    if viewer is None:
        return JSONResponse(
            {"code": "UNAUTHENTICATED", "message": problem or "Log in first."}, status_code=401
        )
    if viewer.scopes is not None:
        return JSONResponse(
            {"code": "FORBIDDEN", "message": "An API key cannot do this; log in."}, status_code=403
        )
    if viewer.needs_second_factor:
        return JSONResponse(
            {
                "code": "FORBIDDEN",
                "reason": ForbiddenReason.SECOND_FACTOR_NEEDED.value,
                "message": SET_UP_FIRST,
            },
            status_code=403,
        )
    try:
        pieces = await begin_export(context)
    except RateLimited as error:
        return JSONResponse(
            {"code": "RATE_LIMITED", "message": error.message},
            status_code=429,
            headers={"Retry-After": str(error.retry_after_seconds)},
        )
    return StreamingResponse(
        pieces,
        media_type="application/json",
        headers={
            "Content-Disposition": 'attachment; filename="groundql-data.json"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def export_routes() -> list[Route]:
    return [Route(PATH, _export)]
