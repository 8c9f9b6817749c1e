"""Which form of response a client accepts (RFC 9110, section 12.5.1)."""

from enum import Enum
from typing import NamedTuple

from transport.errors import RequestError


class Form(Enum):
    """The response forms, by media type."""

    RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    MULTIPART = "multipart/mixed"
    EVENTS = "text/event-stream"

    @property
    def streamed(self) -> bool:
        return self in (Form.MULTIPART, Form.EVENTS)


class _Range(NamedTuple):
    media_type: str
    parameters: dict[str, str]
    quality: float


def negotiate(accept: str | None) -> Form:
    """Pick the form that the client prefers; raises RequestError(406).

    A client that names a streamed form gets it whatever its weight: such clients add JSON only
    for errors. Between the JSON forms the higher weight wins, then the newer one. A wildcard or no
    header means application/json, as the specification's legacy rule wants.
    """
    if accept is None or not accept.strip() or accept.strip() == "*/*":
        return Form.JSON
    ranges = [_parse(part) for part in _split(accept, ",")]
    for found in ranges:
        if found.quality > 0:
            if found.media_type == Form.EVENTS.value:
                return Form.EVENTS
            if found.media_type == Form.MULTIPART.value and (
                found.parameters.get("subscriptionspec", "").startswith("1.0")
            ):
                return Form.MULTIPART
    response, json = _quality(ranges, Form.RESPONSE), _quality(ranges, Form.JSON)
    if max(response, json) <= 0:
        raise RequestError(406, "Accept application/graphql-response+json or application/json.")
    named = any(found.media_type == Form.RESPONSE.value for found in ranges)
    return Form.RESPONSE if named and response >= json else Form.JSON


def json_form(accept: str | None) -> Form:
    """The JSON form for an answer that is no stream; never fails."""
    if accept is None:
        return Form.JSON
    ranges = [_parse(part) for part in _split(accept, ",")]
    named = [found for found in ranges if found.media_type == Form.RESPONSE.value]
    if not named:
        return Form.JSON
    return Form.RESPONSE if named[0].quality >= _quality(ranges, Form.JSON) else Form.JSON


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """Split a Content-Type header into the media type and its parameters, names in lower case."""
    media_type, parameters, _ = _parse(value)
    return media_type, parameters


def _quality(ranges: list[_Range], form: Form) -> float:
    kind = form.value.partition("/")[0]
    for pattern in (form.value, f"{kind}/*", "*/*"):
        for found in ranges:
            if found.media_type == pattern:
                return found.quality
    return 0.0


def _parse(text: str) -> _Range:
    media_type, *rest = _split(text, ";")
    parameters: dict[str, str] = {}
    for item in rest:
        name, _, value = item.partition("=")
        parameters.setdefault(name.strip().lower(), value.strip().strip('"'))
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 0.0
    return _Range(media_type.strip().lower(), parameters, quality)


def _split(text: str, separator: str) -> list[str]:
    """Split outside quoted strings."""
    if '"' not in text:
        return text.split(separator)
    parts = [""]
    quoted = False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character == separator and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
