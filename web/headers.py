"""Headers that tell browsers what they must not do."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Pages bring their own; everything else is no page.
    "Content-Security-Policy": "default-src 'none'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
}
_HTTPS: Final = "max-age=31536000; includeSubDomains"


class SecurityHeaders:
    """Adds them to every response that has none of its own. `https`: people reach us by https,
    which browsers remember for a year, for names below ours, too."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = dict(_ALWAYS)
        if https:
            self._headers["Strict-Transport-Security"] = _HTTPS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
