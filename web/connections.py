"""Connections that take their time, and addresses that open too many.

uvicorn waits without an end for the rest of a request's head and body, and closes an idle
connection only if not a single byte came. Here each of these waits has its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("groundql.connections")

_LOCAL: Final = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds, and how many connections one address may have open; 0 is no limit.

    A proxy on the same machine brings everybody from one address, so that has no limit.
    """

    head_seconds: float = 10.0
    """From the first byte, or the opening, to the end of the head."""
    body_seconds: float = 10.0
    upload_seconds: float = 120.0
    """Likewise for the body of a multipart form."""
    per_address: int = 0
    open: Counter[str] = field(default_factory=Counter)


def patient(patience: Patience) -> type[HttpToolsProtocol]:
    """The protocol to give to uvicorn as `http`."""

    class Patient(_PatientProtocol):
        _patience = patience

    return Patient


class _PatientProtocol(HttpToolsProtocol):
    _patience: Patience

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self._deadline: asyncio.TimerHandle | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self._patience.per_address and address and address not in _LOCAL:
            if self._patience.open[address] >= self._patience.per_address:
                self._close(b"HTTP/1.1 429 Too Many Requests")
                return
            self._patience.open[address] += 1
            self._address = address
        self._wait(self._patience.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Empty lines between requests begin none, but they stop uvicorn's own clock.
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._deadline is None and self.parser is not None:
            self._wait(self._patience.head_seconds)

    def handle_websocket_upgrade(self) -> None:
        self._leave()
        super().handle_websocket_upgrade()
        # Whatever comes now is the socket's, which has limits of its own.
        self.parser = None  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._wait(self._patience.head_seconds)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        kind = next((value for name, value in self.headers if name == b"content-type"), b"")
        is_form = kind.lower().startswith(b"multipart/form-data")
        self._wait(self._patience.upload_seconds if is_form else self._patience.body_seconds)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_waiting()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _leave(self) -> None:
        """The connection is another's now, or nobody's."""
        self._stop_waiting()
        if self._address is not None:
            self._patience.open[self._address] -= 1
            if not self._patience.open[self._address]:
                del self._patience.open[self._address]
            self._address = None

    def _too_slow(self) -> None:
        self._deadline = None
        busy = self.cycle is not None and not self.cycle.response_complete
        self._close(b"" if busy else b"HTTP/1.1 408 Request Timeout")

    def _close(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        if status:
            self.transport.write(status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
