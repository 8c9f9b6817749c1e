"""GraphiQL and the page behind the link in mails, in headless Chromium."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.e2e.conftest import PASSWORD, ROOT, Server, find_link, read_mail, require_tool

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
RESULT = "document.querySelector('.result-window .CodeMirror').CodeMirror.getValue()"
VARIABLES = "document.querySelector('.graphiql-editor-tool .CodeMirror').CodeMirror"
# With this variable set to 1, the walk also takes the screenshot that the README shows.
QUESTION = '{\n  "input": {\n    "content": "How long do I have to return something?"\n  }\n}'
SCREENSHOT = os.environ.get("GROUNDQL_SCREENSHOT") == "1"


@dataclass
class Tab:
    """A browser's tab, with everything that it loaded and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open_graphiql(self, server: Server) -> None:
        """Open GraphiQL and wait until its editors, which load one by one, are there."""
        self.page.goto(f"{server.url}/graphiql/", wait_until="networkidle")
        for editor in (".graphiql-query-editor", ".graphiql-editor-tool", ".result-window"):
            self.page.locator(f"{editor} .CodeMirror").first.wait_for(state="attached")

    def open(self, name: str) -> None:
        """Change to one of GraphiQL's prepared tabs."""
        tabs = self.page.get_by_role("tablist")
        tabs.get_by_role("button", name=name, exact=True).click()

    def run(self, field: str) -> Any:
        """Execute the prepared query; gives the value of its field once it is there."""
        self.execute()
        return self.wait_for(field, "true")

    def execute(self) -> None:
        self.page.get_by_role("button", name=re.compile("Execute query")).click()

    def wait_for(self, field: str, condition: str) -> Any:
        """The field's value in the result as soon as a condition on `value` holds."""
        self.page.wait_for_function(
            f"""() => {{
              let value;
              try {{ value = JSON.parse({RESULT}).data.{field}; }} catch {{ return false; }}
              return value && {condition};
            }}"""
        )
        return json.loads(self.page.evaluate(RESULT))["data"][field]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require_tool("chromium", "install Chromium, such as with apt-get install chromium")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A fresh tab; in the end it must have had no errors, and nothing blocked by the policy."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, device_scale_factor=1)
    context.add_init_script(
        "addEventListener('securitypolicyviolation', (event) =>"
        " console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`))"
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    found = Tab(page)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("websocket", lambda socket: found.requests.append(socket.url))
    page.on("pageerror", lambda error: found.complaints.append(f"error: {error}"))

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.complaints.append(f"{message.type}: {message.text}")

    page.on("console", hear)
    yield found
    context.close()
    assert found.complaints == []


def origins(requests: list[str]) -> set[str]:
    """Whom the page asked; `data:` and `blob:` addresses ask nobody."""
    found = (re.match(r"(?:https?|wss?)://[^/]+|[a-z]+:", url) for url in requests)
    return {match[0] for match in found if match} - {"data:", "blob:"}


def test_the_walk_of_a_newcomer(tab: Tab, server: Server) -> None:
    """Register, log in, ask, stream and history, with the prepared tabs just as they are."""
    page = tab.page
    tab.open_graphiql(server)
    bar = page.locator(".account-bar")
    assert "Not signed in" in bar.inner_text()

    registration = tab.run("register")
    assert registration == {
        "__typename": "Registration",
        "email": "newcomer@example.com",
        "verificationRequired": False,
    }

    tab.open("Login")
    login = tab.run("login")
    assert login["__typename"] == "AuthTokens"
    assert login["user"]["displayName"] == "Newcomer"
    page.get_by_text("Signed in as newcomer@example.com").wait_for()

    tab.open("Ask")
    asked = tab.run("ask")
    assert asked["session"]["title"] == "How long do I have to return something?"
    reply = asked["reply"]
    assert (reply["status"], reply["grounded"], reply["failure"]) == ("COMPLETE", True, None)
    assert "30 days" in reply["content"]
    assert "[1]" in reply["content"]
    assert reply["citations"][0]["number"] == 1
    assert reply["citations"][0]["title"] == "Returning goods"
    assert "within 30 days of delivery" in reply["citations"][0]["quote"]

    tab.open("Stream")
    tab.execute()
    ended = tab.wait_for("chat", "value.__typename === 'ReplyEnded'")
    assert ended["reply"]["status"] == "COMPLETE"
    assert ended["reply"]["citations"][0]["title"] == "Returning goods"
    assert ended["seq"] >= 4  # started, sources, text, ended
    tab.open("History")
    history = tab.run("sessions")
    titles = [edge["node"]["title"] for edge in history["edges"]]
    assert titles == ["How do I send a parcel back?", "How long do I have to return something?"]
    told = [edge["node"] for edge in history["edges"][1]["node"]["messages"]["edges"]]
    assert [message["role"] for message in told] == ["USER", "ASSISTANT"]
    assert told[1]["content"] == reply["content"]

    if SCREENSHOT:
        tab.open("Stream")
        page.evaluate(f"{VARIABLES}.setValue({json.dumps(QUESTION)})")
        tab.execute()
        tab.wait_for("chat", "value.reply?.content.includes('30 days')")
        page.screenshot(path=ROOT / "docs" / "images" / "graphiql.png")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("Not signed in").wait_for()

    host = server.url.removeprefix("http://")
    assert origins(tab.requests) == {f"http://{host}", f"ws://{host}"}


def test_the_documentation_is_there(tab: Tab, server: Server) -> None:
    """The schema's descriptions are read from the server and shown."""
    tab.open_graphiql(server)
    tab.page.get_by_role("button", name="Show Documentation Explorer").click()
    tab.page.get_by_text("Streams, over graphql-transport-ws").or_(
        tab.page.get_by_role("link", name="Subscription")
    ).first.wait_for()
    assert origins(tab.requests) == {server.url}


def test_confirming_an_address(tab: Tab, server: Server) -> None:
    """The link in the mail opens a page; only the password of the registration confirms the
    address there."""
    email = "mailbox@example.com"
    token = server.log_in(email)
    verified = "{ me { emailVerified } }"
    link = find_link(read_mail(server, email))
    assert link.startswith(f"{server.url}/verify-email#token=")

    page = tab.page
    page.goto(link)
    button = page.get_by_role("button", name="Confirm this address")
    button.wait_for()
    assert server.execute(verified, token) == {"me": {"emailVerified": False}}

    button.click()  # the browser wants the field filled
    field = page.get_by_label("The password with which you registered")
    field.fill("a sentence of somebody else")
    button.click()
    page.get_by_text("This is not the password of the registration.").wait_for()
    assert server.execute(verified, token) == {"me": {"emailVerified": False}}
    field.fill(PASSWORD)
    button.click()
    page.get_by_text(f"{email} is confirmed. You can close this page").wait_for()
    assert server.execute(verified, token) == {"me": {"emailVerified": True}}
    assert not button.is_visible()
    assert origins(tab.requests) == {server.url}

    page.goto(f"{server.url}/verify-email#token=wrong")
    field.fill(PASSWORD)
    button.click()
    page.get_by_text("link").or_(page.get_by_text("token")).first.wait_for()
    assert button.is_enabled()
