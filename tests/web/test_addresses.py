"""What stands for a client's address in logs, rates and events."""

from __future__ import annotations

import pytest
from starlette.types import Message, Receive, Scope, Send

from web.addresses import ClientAddresses

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("evil<script>", "unknown"),
        ("1.2.3.4\nforged line", "unknown"),
        ("\xff", "unknown"),
        ("1" * 65, "unknown"),
        ("", "unknown"),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_what_cannot_be_an_address_is_unknown(kind: str, sent: str, seen: str) -> None:
    """A proxy that passes on whatever the client has sent brings nothing into logs."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    await ClientAddresses(app)({"type": kind, "client": (sent, 80)}, receive, send)
    assert scopes[0]["client"][0] == seen
    await ClientAddresses(app)({"type": "lifespan"}, receive, send)
    assert scopes[1].get("client") is None
