"""A GraphQL request's parameters, from a JSON object or from a URL's query string."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from transport.encoding import parse_json
from transport.errors import InvalidJSON, RequestError

_MAX_URL_FIELDS = 32
_MAX_QUERY = 1024 * 1024
"""Characters. What is longer are values, and reading those as GraphQL takes a second a megabyte."""


@dataclass(frozen=True)
class Parameters:
    query: str
    """Empty if the client sent its hash alone."""
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None


def parse_parameters(value: object) -> Parameters:
    """Check one request's parameters; raises RequestError(400) that names the wrong one."""
    if isinstance(value, list):
        raise RequestError(400, "Batches are not supported: send one operation per request.")
    if not isinstance(value, dict):
        raise RequestError(400, "A GraphQL request must be a JSON object.")
    query = value.get("query")
    if query is None and "persistedQuery" in (_object_or_none(value, "extensions") or {}):
        query = ""  # known by its hash alone
    elif not isinstance(query, str) or not query:
        raise RequestError(400, "The parameter 'query' must be a non-empty string.")
    if len(query) > _MAX_QUERY:
        raise RequestError(
            413, f"The query is longer than {_MAX_QUERY} characters: send values as variables."
        )
    name = value.get("operationName")
    if name is not None and not isinstance(name, str):
        raise RequestError(400, "The parameter 'operationName' must be a string or null.")
    return Parameters(
        query=query,
        variables=_object_or_none(value, "variables"),
        # Some clients send an empty name for an anonymous operation.
        operation_name=name or None,
        extensions=_object_or_none(value, "extensions"),
    )


def parse_json_body(body: bytes) -> Parameters:
    try:
        value = parse_json(body)
    except InvalidJSON as error:
        raise RequestError(400, f"The request body is wrong: {error}") from None
    return parse_parameters(value)


def parse_url(query_string: bytes) -> Parameters:
    """Read the parameters of a GET request; `variables` and `extensions` are JSON texts."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_URL_FIELDS,
        )
    except ValueError:
        raise RequestError(400, "The URL's query string is not valid.") from None
    fields: dict[str, object] = {}
    for name, text in pairs:
        if name in fields:
            raise RequestError(400, "The URL has the same parameter twice.")
        fields[name] = text
    for name in ("variables", "extensions"):
        text = cast("str", fields.get(name, ""))
        try:
            fields[name] = parse_json(text) if text else None
        except InvalidJSON as error:
            raise RequestError(400, f"The parameter '{name}' is wrong: {error}") from None
    return parse_parameters(fields)


def _object_or_none(value: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    found = value.get(name)
    if found is not None and not isinstance(found, dict):
        raise RequestError(400, f"The parameter '{name}' must be a JSON object or null.")
    return found
