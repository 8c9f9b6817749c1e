"""The messages of graphql-transport-ws that a client may send.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

from dataclasses import dataclass
from typing import Any

from transport.body import Parameters, parse_parameters
from transport.encoding import parse_json
from transport.errors import InvalidJSON, RequestError

MAX_REASON_BYTES = 123
"""RFC 6455, section 5.5: a close frame carries at most 125 bytes, two of them the code."""


@dataclass(frozen=True)
class Init:
    authorization: str | None


@dataclass(frozen=True)
class Ping:
    authorization: str | None
    """A renewed token; None leaves the socket's as it is."""


@dataclass(frozen=True)
class Pong:
    pass


@dataclass(frozen=True)
class Subscribe:
    id: str
    parameters: Parameters


@dataclass(frozen=True)
class Complete:
    id: str


Message = Init | Ping | Pong | Subscribe | Complete


class InvalidMessage(ValueError):
    """A message outside the protocol; its text is the reason of the close with 4400."""


def parse_message(text: str) -> Message:
    """Read one message; raises InvalidMessage."""
    try:
        message = parse_json(text)
    except InvalidJSON as error:
        raise InvalidMessage(str(error)) from None
    if not isinstance(message, dict):
        raise InvalidMessage("A message must be a JSON object.")
    match message.get("type"):
        case "connection_init":
            return Init(_authorization(_payload(message)))
        case "ping":
            return Ping(_authorization(_payload(message)))
        case "pong":
            _payload(message)
            return Pong()
        case "subscribe":
            identifier = _identifier(message)
            if not isinstance(message.get("payload"), dict):
                raise InvalidMessage("The payload of 'subscribe' must be a JSON object.")
            try:
                return Subscribe(identifier, parse_parameters(message["payload"]))
            except RequestError as error:
                raise InvalidMessage(error.message) from None
        case "complete":
            return Complete(_identifier(message))
        case _:
            raise InvalidMessage("The message's 'type' is missing or unknown.")


def close_reason(text: str) -> str:
    """Cut a reason to what a close frame can carry, at a character's boundary."""
    return text.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def too_large(text: str, limit: int) -> bool:
    """Say whether the text takes more than `limit` bytes in UTF-8."""
    # Four bytes a character at most: most messages need no encoding to be judged.
    if len(text) * 4 <= limit:
        return False
    return len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit


def _identifier(message: dict[str, Any]) -> str:
    identifier = message.get("id")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidMessage("The message's 'id' must be a non-empty string.")
    return identifier


def _payload(message: dict[str, Any]) -> dict[str, Any] | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise InvalidMessage("The message's 'payload' must be a JSON object.")
    return payload


def _authorization(payload: dict[str, Any] | None) -> str | None:
    for name in ("authorization", "Authorization"):
        found = payload.get(name) if payload else None
        if found is not None:
            if not isinstance(found, str):
                raise InvalidMessage(f"'{name}' must be a string.")
            return found
    return None
