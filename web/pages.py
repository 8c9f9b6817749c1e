"""The few addresses beside /graphql: health, GraphiQL, and the page that mails link to."""

from __future__ import annotations

from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from resolvers.knowledge.base import KnowledgeBase

GRAPHIQL_DIST = Path(__file__).parent.parent / "graphiql" / "dist"

# GraphiQL's own styles are set by script; everything else comes from our files alone.
GRAPHIQL_POLICY = (
    "default-src 'self'; object-src 'none'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; script-src 'self'; "
    "connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE_POLICY = (
    "default-src 'none'; object-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
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


VERIFY_SCRIPT = """\
const button = document.getElementById("confirm");
const outcome = document.getElementById("outcome");
button.addEventListener("click", async () => {
  button.disabled = true;
  const query = `mutation VerifyEmail($token: String!) {
    verifyEmail(token: $token) { __typename ... on User { email } ... on Problem { message } } }`;
  const token = new URLSearchParams(location.search).get("token") ?? "";
  try {
    const response = await fetch("graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query, variables: { token } }),
    });
    const result = (await response.json()).data?.verifyEmail;
    if (result?.__typename === "User") {
      outcome.textContent = `${result.email} is confirmed. You can close this page.`;
      button.hidden = true;
      return;
    }
    outcome.textContent = result?.message ?? "That did not work. Please try again.";
  } catch {
    outcome.textContent = "The server could not be reached. Please try again.";
  }
  button.disabled = false;
});
"""

VERIFY_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer"><title>Confirm your address</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 4rem auto; padding: 0 1rem }
button { font: inherit; padding: .5rem 1rem; cursor: pointer }
</style></head>
<body><h1>Confirm your address</h1>
<p>Press the button to confirm that this address is yours.</p>
<p><button id="confirm" type="button">Confirm this address</button></p>
<p id="outcome" role="status"></p>
<script src="verify-email.js"></script></body>
</html>
"""


async def _verify_page(request: Request) -> Response:
    """A page with a button: mail scanners that open the link change nothing."""
    return _page(VERIFY_PAGE)


def _page(text: str) -> Response:
    return HTMLResponse(
        text,
        headers={
            "Content-Security-Policy": PAGE_POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )


async def _verify_script(request: Request) -> Response:
    return _script(VERIFY_SCRIPT)


def _script(text: str) -> Response:
    return Response(
        text,
        media_type="text/javascript",
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
    )


RESET_SCRIPT = """\
const form = document.getElementById("form");
const outcome = document.getElementById("outcome");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("save");
  button.disabled = true;
  const query = `mutation ResetPassword($token: String!, $password: String!) {
    resetPassword(token: $token, newPassword: $password) {
      __typename ... on Problem { message } } }`;
  const token = new URLSearchParams(location.search).get("token") ?? "";
  const password = document.getElementById("password").value;
  try {
    const response = await fetch("graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query, variables: { token, password } }),
    });
    const result = (await response.json()).data?.resetPassword;
    if (result?.__typename === "Acknowledged") {
      outcome.textContent = "The new password is set. You can close this page and log in.";
      form.hidden = true;
      return;
    }
    outcome.textContent = result?.message ?? "That did not work. Please try again.";
  } catch {
    outcome.textContent = "The server could not be reached. Please try again.";
  }
  button.disabled = false;
});
"""

RESET_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer"><title>Set a new password</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 4rem auto; padding: 0 1rem }
button, input { font: inherit; padding: .5rem 1rem }
</style></head>
<body><h1>Set a new password</h1>
<form id="form"><p><label for="password">New password, 8 to 128 characters</label><br>
<input id="password" type="password" autocomplete="new-password" required></p>
<p><button id="save" type="submit">Set this password</button></p></form>
<p id="outcome" role="status"></p>
<script src="reset-password.js"></script></body>
</html>
"""


async def _reset_page(request: Request) -> Response:
    """A page with a form; opening it changes nothing."""
    return _page(RESET_PAGE)


async def _reset_script(request: Request) -> Response:
    return _script(RESET_SCRIPT)


CHANGE_SCRIPT = (
    VERIFY_SCRIPT.replace("mutation VerifyEmail", "mutation ConfirmEmailChange")
    .replace("... on User { email }", "... on EmailChange { newEmail done }")
    .replace("verifyEmail", "confirmEmailChange")
    .replace('"User"', '"EmailChange"')
    .replace(
        "`${result.email} is confirmed. You can close this page.`",
        "result.done ? `The address is ${result.newEmail} now. You can close this page.`\n"
        '        : "Confirmed. Please open the link in the mail to the other address, too."',
    )
)
CHANGE_PAGE = (
    VERIFY_PAGE.replace("Confirm your address", "Confirm the change of your address")
    .replace(
        "Press the button to confirm that this address is yours.", "Press the button to agree."
    )
    .replace("Confirm this address", "Confirm the change")
    .replace("verify-email.js", "confirm-email-change.js")
)


async def _change_page(request: Request) -> Response:
    """A page with a button, for each of the two mailboxes of a change."""
    return _page(CHANGE_PAGE)


async def _change_script(request: Request) -> Response:
    return _script(CHANGE_SCRIPT)


async def _home(request: Request) -> Response:
    """Points a person who opens the bare address to where something is."""
    links = '<li><a href="graphql">/graphql</a>: the API</li>'
    if request.app.state.graphiql:
        links = '<li><a href="graphiql/">/graphiql/</a>: try it in the browser</li>' + links
    title = escape("GroundQL")
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<h1>{title}</h1><p>The chat backend is running.</p><ul>{links}</ul></html>",
        headers={"Content-Security-Policy": PAGE_POLICY, "X-Content-Type-Options": "nosniff"},
    )


async def _to_graphiql(request: Request) -> Response:
    return RedirectResponse("graphiql/")


def routes(*, graphiql: bool) -> list[BaseRoute]:
    """All of them; GraphiQL's only if it is switched on."""
    found: list[BaseRoute] = [
        Route("/", _home),
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        Route("/verify-email", _verify_page),
        Route("/verify-email.js", _verify_script),
        Route("/confirm-email-change", _change_page),
        Route("/confirm-email-change.js", _change_script),
        Route("/reset-password", _reset_page),
        Route("/reset-password.js", _reset_script),
    ]
    if graphiql:
        found += [
            Route("/graphiql", _to_graphiql),
            Mount("/graphiql", _GraphiQLFiles(directory=GRAPHIQL_DIST, html=True)),
        ]
    return found
