"""The pages that mails link to, each a form for one mutation with the link's token.

Opening one changes nothing, so that programs which look at the links in mails confirm nothing. All
share one script; what differs stands in the form's data attributes. The texts are in the language
that the browser asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from texts import Language, preferred_language, translate

PAGE_POLICY: Final = (
    "default-src 'none'; object-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
FAILED: Final = "That did not work. Please try again."
UNREACHABLE: Final = "The server could not be reached. Please try again."


@dataclass(frozen=True, slots=True)
class MailPage:
    """Texts are English. `mutation` takes $token, and $password if there is a `label` for one;
    `success` is the type of its result that says `done`, or `half` if the result is not done."""

    path: str
    title: str
    intro: str
    label: str
    autocomplete: str
    button: str
    mutation: str
    success: str
    done: str
    half: str = ""

    def html(self, language: Language) -> str:
        def say(sentence: str) -> str:
            return escape(translate(sentence, language))

        data = {
            "mutation": self.mutation,
            "success": self.success,
            "done": translate(self.done, language),
            "half": translate(self.half, language),
            "failed": translate(FAILED, language),
            "unreachable": translate(UNREACHABLE, language),
        }
        attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in data.items())
        field = _FIELD.format(label=say(self.label), autocomplete=self.autocomplete)
        return _PAGE.format(
            language=language.value,
            title=say(self.title),
            intro=f"<p>{say(self.intro)}</p>" if self.intro else "",
            attributes=attributes,
            field=field if self.label else "",
            button=say(self.button),
        )


MAIL_PAGES: Final = (
    MailPage(
        path="verify-email",
        title="Confirm your address",
        intro="If you did not register, close this page: nothing is confirmed then.",
        label="The password with which you registered",
        autocomplete="current-password",
        button="Confirm this address",
        mutation="mutation VerifyEmail($token: String!, $password: String) {"
        " verifyEmail(token: $token, password: $password) {"
        " __typename ... on User { email } ... on Problem { message } } }",
        success="User",
        done="{email} is confirmed. You can close this page and log in.",
    ),
    MailPage(
        path="reset-password",
        title="Set a new password",
        intro="",
        label="New password, 8 to 128 characters",
        autocomplete="new-password",
        button="Set this password",
        mutation="mutation ResetPassword($token: String!, $password: String!) {"
        " resetPassword(token: $token, newPassword: $password) {"
        " __typename ... on Problem { message } } }",
        success="Acknowledged",
        done="The new password is set. You can close this page and log in.",
    ),
    MailPage(
        path="confirm-email-change",
        title="Confirm the change of your address",
        intro="Press the button to agree.",
        label="",
        autocomplete="",
        button="Confirm the change",
        mutation="mutation ConfirmEmailChange($token: String!) {"
        " confirmEmailChange(token: $token) {"
        " __typename ... on EmailChange { newEmail done } ... on Problem { message } } }",
        success="EmailChange",
        done="The address is {newEmail} now. You can close this page.",
        half="Confirmed. Please open the link in the mail to the other address, too.",
    ),
)

_PAGE: Final = """\
<!doctype html>
<html lang="{language}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer"><title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif }}
body {{ max-width: 30rem; margin: 4rem auto; padding: 0 1rem }}
button, input {{ font: inherit; padding: .5rem 1rem }}
button {{ cursor: pointer }}
</style></head>
<body><h1>{title}</h1>
{intro}
<form id="form" {attributes}>
{field}
<p><button type="submit">{button}</button></p></form>
<p id="outcome" role="status"></p>
<script src="mail-page.js"></script></body>
</html>
"""
_FIELD: Final = """\
<p><label for="password">{label}</label><br>
<input id="password" type="password" autocomplete="{autocomplete}" required></p>"""

SCRIPT: Final = """\
const form = document.getElementById("form");
const outcome = document.getElementById("outcome");
const page = form.dataset;

// The token comes behind the #, which no server sees; links of older mails have it in the query. It
// leaves the address at once, and is kept for a reload of the page.
let token = "";
function take() {
  const sent =
    new URLSearchParams(location.hash.slice(1)).get("token") ??
    new URLSearchParams(location.search).get("token");
  token = sent ?? history.state?.token ?? "";
  if (sent) history.replaceState({ token }, "", location.pathname);
}
take();
addEventListener("hashchange", () => {
  take();
  location.reload();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const password = form.querySelector("input");
  const variables = { token };
  if (password) variables.password = password.value;
  button.disabled = true;
  try {
    const response = await fetch("graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query: page.mutation, variables }),
    });
    const [result] = Object.values((await response.json()).data ?? {});
    if (result?.__typename === page.success) {
      const text = result.done === false ? page.half : page.done;
      outcome.textContent = text.replace(/\\{(\\w+)\\}/g, (_, name) => result[name]);
      form.hidden = true;
      return;
    }
    outcome.textContent = result?.message ?? page.failed;
  } catch {
    outcome.textContent = page.unreachable;
  }
  button.disabled = false;
});
"""


def routes() -> list[BaseRoute]:
    """The pages and their script."""
    return [
        *(Route(f"/{page.path}", _endpoint(page)) for page in MAIL_PAGES),
        Route("/mail-page.js", _script),
    ]


def _endpoint(page: MailPage) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        language = preferred_language(request.headers.get("accept-language", "")[:500])
        return HTMLResponse(
            page.html(language or Language.EN),
            headers={
                "Content-Security-Policy": PAGE_POLICY,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
                "Vary": "Accept-Language",
            },
        )

    return show


async def _script(request: Request) -> Response:
    return Response(
        SCRIPT,
        media_type="text/javascript",
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
    )
