"""The few addresses beside /graphql: health, GraphiQL, and the pages that mails link to."""

from __future__ import annotations

from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from resolvers.knowledge.base import KnowledgeBase
from web import mail_pages

GRAPHIQL_DIST = Path(__file__).parent.parent / "graphiql" / "dist"

# GraphiQL's own styles are set by script; everything else comes from our files alone.
GRAPHIQL_POLICY = (
    "default-src 'self'; object-src 'none'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; script-src 'self'; "
    "connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class _GraphiQLFiles(StaticFiles):
    """The bundle, with a policy that lets the page talk to nobody else."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = GRAPHIQL_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        # Names under assets/ carry a hash of their content.
        hashed = path.startswith("assets/")
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if hashed else "no-cache"
        )
        return response


async def _healthz(request: Request) -> Response:
    """The process is alive."""
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    """Questions can be answered; 503 until then, with how far the indexing is."""
    knowledge: KnowledgeBase = request.app.state.knowledge
    progress = knowledge.progress
    details = {
        "documents": progress.documents,
        "ready": progress.ready,
        "failed": progress.failed,
        "chunks": progress.chunks,
    }
    if knowledge.is_ready:
        return JSONResponse({"status": "ready", **details})
    status = "failed" if knowledge.failure else "indexing"
    return JSONResponse({"status": status, **details}, status_code=503)


async def _home(request: Request) -> Response:
    """Points a person who opens the bare address to where something is."""
    links = '<li><a href="graphql">/graphql</a>: the API</li>'
    if request.app.state.graphiql:
        links = '<li><a href="graphiql/">/graphiql/</a>: try it in the browser</li>' + links
    title = escape("GroundQL")
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<h1>{title}</h1><p>The chat backend is running.</p><ul>{links}</ul></html>",
        headers={
            "Content-Security-Policy": mail_pages.PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
        },
    )


async def _to_graphiql(request: Request) -> Response:
    return RedirectResponse("graphiql/")


def routes(*, graphiql: bool) -> list[BaseRoute]:
    """All of them; GraphiQL's only if it is switched on."""
    found: list[BaseRoute] = [
        Route("/", _home),
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        *mail_pages.routes(),
    ]
    if graphiql:
        found += [
            Route("/graphiql", _to_graphiql),
            Mount("/graphiql", _GraphiQLFiles(directory=GRAPHIQL_DIST, html=True)),
        ]
    return found
