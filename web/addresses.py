"""Whether what stands for a client's address is one."""

from __future__ import annotations

import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

# IPv4, IPv6 with a zone, and names, which servers other than uvicorn and tests have here.
_ADDRESS: Final = re.compile(r"[0-9A-Za-z.:%_-]{1,64}")
UNKNOWN: Final = "unknown"


class ClientAddresses:
    """Takes what cannot be an address for an unknown one.

    uvicorn believes every word of a trusted proxy's `X-Forwarded-For`, and a proxy that only adds
    to this header lets clients write what they like into our logs and rates. All of them are then
    one client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client and not _ADDRESS.fullmatch(str(client[0])):
            scope["client"] = (UNKNOWN, 0)
        await self._app(scope, receive, send)
