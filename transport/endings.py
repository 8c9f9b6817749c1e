"""What is told of an operation once it has ended: for a log, so nothing that somebody typed."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from transport.body import Parameters
from transport.hooks import Connection

_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,99}")
# At the beginning alone: further on, a text in the document could look the same.
_NAMED = re.compile(r"\s*(?:query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]{0,99})\b")


@dataclass(frozen=True, slots=True)
class Ending:
    """`context` is what `Hooks.operation` has given, None if it did not come so far; `document` the
    SHA-256 of the operation's document; `status` the HTTP status, None on a WebSocket; `codes`
    those of its errors; `seconds` the time from its first byte to its last."""

    connection: Connection
    context: Any
    name: str | None
    document: str | None
    status: int | None
    codes: tuple[str, ...]
    seconds: float


OnEnding: TypeAlias = Callable[[Ending], None]


class Record:
    """What is known of an operation while it runs."""

    def __init__(self, ended: OnEnding | None) -> None:
        self._ended = ended
        self._began = perf_counter()
        self.parameters: Parameters | None = None
        self.context: Any = None
        self.status: int | None = None
        self._codes: dict[str, None] = {}

    def add_errors(self, payload: Mapping[str, Any]) -> None:
        """Note the codes of a result's errors."""
        for error in payload.get("errors") or ():
            self._codes[str(error.get("extensions", {}).get("code", "-"))] = None

    def end(self, connection: Connection) -> None:
        """Tell that it has ended."""
        if self._ended is None:
            return
        name = document = None
        if self.parameters is not None and self.parameters.query:
            text = self.parameters.query
            name = _name(self.parameters)
            document = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        seconds = perf_counter() - self._began
        self._ended(
            Ending(
                connection, self.context, name, document, self.status, tuple(self._codes), seconds
            )
        )


def _name(parameters: Parameters) -> str | None:
    if parameters.operation_name is not None:
        return parameters.operation_name if _NAME.fullmatch(parameters.operation_name) else None
    found = _NAMED.match(parameters.query)
    return found[1] if found else None
