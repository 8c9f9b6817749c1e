"""What Strawberry's results and exceptions become for a client."""

import logging
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from transport.errors import (
    BAD_USER_INPUT,
    INTERNAL_SERVER_ERROR,
    REJECTION_CODES,
    SERVICE_UNAVAILABLE,
    RequestError,
    error_object,
    internal_error,
)
from transport.hooks import Hooks, Rejected, request_id

logger = logging.getLogger("groundql.transport")

_STATUSES = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "RATE_LIMITED": 429,
    INTERNAL_SERVER_ERROR: 500,
    SERVICE_UNAVAILABLE: 503,
    "OPERATION_TIMEOUT": 504,
}

Payload = dict[str, Any]


def is_request_error(result: ExecutionResult) -> bool:
    """Say whether the operation was refused before any field ran.

    The specification wants no `data` entry then. Every error of a field has a path; those of
    parsing, validation, coercion and of a subscription's source have none.
    """
    errors = result.errors or ()
    return result.data is None and bool(errors) and not any(e.path for e in errors)


def to_payload(result: ExecutionResult, hooks: Hooks) -> Payload:
    payload: Payload = {}
    if result.errors:
        payload["errors"] = format_errors(result.errors, hooks)
    if not is_request_error(result):
        payload["data"] = result.data
    if result.extensions:
        payload["extensions"] = result.extensions
    return payload


def format_errors(errors: Sequence[GraphQLError], hooks: Hooks) -> list[dict[str, Any]]:
    """Equal ones once: where hooks hide what is wrong, their number would tell how many of the
    names in an operation are wrong. Those of fields have paths and stay."""
    formatted: list[dict[str, Any]] = []
    for error in errors:
        one = _format(error, hooks)
        if error.path or one not in formatted:
            formatted.append(one)
    return formatted


def status_of(payload: Payload) -> int:
    """The HTTP status of a response to a well-formed request, for graphql-response+json."""
    if "data" in payload:
        return 200
    codes = [error.get("extensions", {}).get("code") for error in payload["errors"]]
    return max((_STATUSES.get(code, 400) for code in codes), default=400)


def refused_operation(error: Exception, *, method: str) -> RequestError | None:
    """Turn Strawberry's refusal of an operation's kind or name into ours, if it is one."""
    if isinstance(error, CannotGetOperationTypeError):
        return RequestError(400, error.as_http_error_reason())
    if isinstance(error, InvalidOperationTypeError):
        if error.operation_type is OperationType.MUTATION:
            return RequestError(
                405, f"A mutation needs POST, not {method}.", headers=((b"allow", b"POST"),)
            )
        return RequestError(
            400,
            "A subscription needs a WebSocket (graphql-transport-ws), or Accept: "
            'multipart/mixed;subscriptionSpec="1.0", or Accept: text/event-stream.',
        )
    return None


def find_rejection(result: ExecutionResult) -> Rejected | None:
    """The Rejected that a subscription's source raised, if that is what ended it."""
    for error in result.errors or ():
        if isinstance(error.original_error, Rejected):
            return error.original_error
    return None


def failure(error: Exception, hooks: Hooks) -> Payload:
    """The payload for an exception that escaped a hook or the schema; logs it if it is a bug."""
    if isinstance(error, GraphQLError):
        return {"errors": [_format(error, hooks)]}
    if isinstance(error, RequestError):
        return {"errors": [error.formatted]}
    if isinstance(error, Rejected):
        code = REJECTION_CODES.get(error.code, "FORBIDDEN")
        return {"errors": [error_object(error.reason, code)]}
    if (limit := _interpreter_limit(error)) is not None:
        return {"errors": [limit]}
    logger.error("Request %s failed outside any field", request_id.get(), exc_info=error)
    return {"errors": [internal_error()]}


def _format(error: GraphQLError, hooks: Hooks) -> dict[str, Any]:
    if (limit := _interpreter_limit(error.original_error)) is not None:
        return {**limit, "path": error.path} if error.path else limit
    if isinstance(error.original_error, CannotGetOperationTypeError):
        return error_object(error.message, BAD_USER_INPUT)
    try:
        return hooks.format_error(error)
    except Exception:
        logger.exception("Request %s: an error could not be formatted", request_id.get())
        return internal_error()


def _interpreter_limit(error: Exception | None) -> dict[str, Any] | None:
    """The client's error if the operation met a limit of the interpreter, else None.

    graphql-core recurses through documents and values and calls int() on literals without a check
    of its own. A client's document or variables reach the stack's depth and the 4,300 digits of
    int() far sooner than our resolvers would, so both count as the client's.
    """
    if isinstance(error, RecursionError):
        message = "The operation is nested too deeply."
    elif isinstance(error, ValueError) and "integer string conversion" in str(error):
        message = "The operation holds a number with too many digits."
    else:
        return None
    # A thousand frames per hostile request would flood the log.
    trace = error if logger.isEnabledFor(logging.DEBUG) else None
    logger.warning("Request %s: %s", request_id.get(), message, exc_info=trace)
    return error_object(message, BAD_USER_INPUT)
