"""How errors look to clients: members of result unions, and `extensions.code`."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final, ParamSpec, TypeVar

import strawberry
from graphql import FieldNode, GraphQLError, GraphQLSyntaxError

from models.errors import is_unavailable
from models.security_event import EventKind
from resolvers import errors
from resolvers.refusals import collect
from schema.enums import describe_enum
from texts import ENGLISH, Language, translate

INVALID_EMAIL = "The email address is not valid."

log = logging.getLogger("groundql.schema")

UNAVAILABLE = "The service cannot store or look up anything now. Please try again soon."

# How the parser says it; graphql-core has no class for it.
_TOO_MANY_TOKENS = re.compile(r"Document contains more than \d+ tokens")

_SUGGESTION = re.compile(r"\s*Did you mean .*", re.DOTALL)
UNFIT = "The operation or its variables do not fit the schema."

P = ParamSpec("P")
R = TypeVar("R")


@strawberry.interface(description="An outcome that the person should be told about.")
class Problem:
    message: str = strawberry.field(description="What went wrong and what to do, in words.")


@strawberry.type(description="A field of the input cannot be accepted; nothing was changed.")
class InvalidInput(Problem):
    field: str = strawberry.field(description="The input field that must be changed.")


@strawberry.type(description="The address or the password is wrong.")
class InvalidCredentials(Problem):
    pass


@strawberry.type(description="The address must be verified before this is possible.")
class EmailNotVerified(Problem):
    pass


@strawberry.type(
    description="The password is right, and a code of the second factor is missing or wrong: call "
    "again with `code`."
)
class SecondFactorRequired(Problem):
    pass


@strawberry.type(description="The token is malformed, unknown, used, revoked or expired.")
class InvalidToken(Problem):
    pass


describe_enum(
    errors.SignInFailure,
    "Why a sign-in by a provider has failed.",
    {
        "PROVIDER_FAILED": "The provider cannot be reached, or what it says cannot be trusted.",
        "NO_VERIFIED_EMAIL": "The provider names no address that it has verified.",
        "NOT_STRONG_ENOUGH": "The person must sign in there with more, such as a second factor.",
        "TOO_LONG_AGO": "The person must sign in there anew.",
    },
)


@strawberry.type(
    description="A provider of sign-ins cannot be used now, or what it says is not enough."
)
class SignInFailed(Problem):
    reason: errors.SignInFailure = strawberry.field(description="Why, for the program.")


@strawberry.type(
    description="The provider's address has an account here that the identity is not linked to: "
    "log in to it, and link the identity with linkSignIn."
)
class LinkRequired(Problem):
    pass


@strawberry.type(description="The object does not exist, or not for this person.")
class NotFound(Problem):
    pass


@strawberry.type(description="Too many requests; try again later.")
class RateLimited(Problem):
    retry_after_seconds: int = strawberry.field(description="Seconds to wait before trying again.")


def problem_type(error: errors.Problem, language: Language) -> Problem:
    """The union member for a problem that a use case raised, in the person's language."""
    message = translate(error.message, language)
    match error:
        case errors.InvalidInput():
            if error.field == "email" and message == error.message:
                # The library that checks addresses says more, in English.
                message = translate(INVALID_EMAIL, language) if language != ENGLISH else message
            return InvalidInput(message=message, field=error.field)
        case errors.InvalidCredentials():
            return InvalidCredentials(message=message)
        case errors.EmailNotVerified():
            return EmailNotVerified(message=message)
        case errors.SecondFactorRequired():
            return SecondFactorRequired(message=message)
        case errors.InvalidToken():
            return InvalidToken(message=message)
        case errors.SignInFailed():
            return SignInFailed(message=message, reason=error.reason)
        case errors.LinkRequired():
            return LinkRequired(message=message)
        case errors.NotFound():
            return NotFound(message=message)
        case errors.RateLimited():
            return RateLimited(message=message, retry_after_seconds=error.retry_after_seconds)
    raise TypeError(f"{type(error).__name__} has no GraphQL type")


def answers_problems(
    resolver: Callable[P, Awaitable[R]],
) -> Callable[P, Awaitable[R]]:
    """Turn problems that a mutation's use case raises into members of its result union.

    A problem that is not in the union is a bug, which GraphQL's own type check reports.
    """

    @functools.wraps(resolver)
    async def answering(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return await resolver(*args, **kwargs)
        except errors.Problem as error:
            _collect(error, args, kwargs)
            return problem_type(error, _language(args, kwargs))

    return answering


def answers_problems_but_limits(
    resolver: Callable[P, Awaitable[R]],
) -> Callable[P, Awaitable[R]]:
    """Like `answers_problems`, for operations whose result has no RateLimited: too many tries are
    an error with the code RATE_LIMITED."""

    @functools.wraps(resolver)
    async def answering(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return await resolver(*args, **kwargs)
        except errors.RateLimited:
            raise
        except errors.Problem as error:
            _collect(error, args, kwargs)
            return problem_type(error, _language(args, kwargs))

    return answering


# Which problems are events, and of which kind. What is not there may be somebody else's.
_EVENTS: Final[dict[type[errors.DomainError], EventKind]] = {
    errors.RateLimited: EventKind.LIMIT_REFUSED,
    errors.InvalidToken: EventKind.TOKEN_REFUSED,
    errors.NotFound: EventKind.ACCESS_REFUSED,
}


def _collect(error: errors.Problem, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    kind = _EVENTS.get(type(error))
    if kind is not None:
        for value in (kwargs.get("info"), *args):
            if isinstance(value, strawberry.Info):
                collect(kind, value._raw_info.field_name)


def collect_refusal(error: GraphQLError, code: str) -> None:
    """Remember an error of an operation for the log of security events, if it is a refusal."""
    if code in ("FORBIDDEN", "RATE_LIMITED", "QUERY_TOO_COMPLEX", "OPERATION_TIMEOUT") or (
        isinstance(error.original_error, errors.NotFound)
    ):
        missing = code in ("FORBIDDEN", "BAD_USER_INPUT")
        node = error.nodes[0] if error.nodes and error.path else None
        # The field's own name, not the alias that the caller has chosen.
        detail = node.name.value if isinstance(node, FieldNode) else code
        collect(EventKind.ACCESS_REFUSED if missing else EventKind.LIMIT_REFUSED, detail)


def _language(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Language:
    """The caller's language; each resolver gets the operation's `info`."""
    for value in (kwargs.get("info"), *args):
        if isinstance(value, strawberry.Info):
            language: Language = value.context.app.language
            return language
    return ENGLISH


def _code(error: GraphQLError) -> str | None:
    original = error.original_error
    match original:
        case errors.Unauthenticated():
            return "UNAUTHENTICATED"
        case errors.Forbidden():
            return "FORBIDDEN"
        case errors.BadUserInput() | errors.InvalidInput() | errors.NotFound():
            return "BAD_USER_INPUT"
        case errors.RateLimited() | errors.TooManyChanges():
            return "RATE_LIMITED"
        case errors.Unavailable():
            return "SERVICE_UNAVAILABLE"
        case None | GraphQLError() if _TOO_MANY_TOKENS.search(error.message):
            return "QUERY_TOO_COMPLEX"
        case None | GraphQLError():
            # Raised by the GraphQL engine itself: syntax, validation, coercion.
            return str((error.extensions or {}).get("code", "BAD_USER_INPUT"))
    return None


class Telling(Enum):
    """How much messages of the engine tell about the schema."""

    ALL = auto()
    NO_SUGGESTIONS = auto()
    NOTHING = auto()


def format_error(
    error: GraphQLError, *, request_id: str, telling: Telling = Telling.ALL
) -> dict[str, Any]:
    """The JSON form of an error; what is nobody's fault but ours is logged and masked."""
    code = _code(error)
    original = error.original_error
    formatted: dict[str, Any] = {**error.formatted}
    if telling is not Telling.ALL and (original is None or isinstance(original, GraphQLError)):
        formatted["message"] = _SUGGESTION.sub("", error.message)
        names = not (error.extensions or {}).get("code") and not isinstance(
            original or error, GraphQLSyntaxError
        )
        if telling is Telling.NOTHING and names and code == "BAD_USER_INPUT":
            formatted = {"message": UNFIT}
    extensions: dict[str, Any] = {**formatted.get("extensions", {})}
    if original is not None and is_unavailable(original):
        code = "SERVICE_UNAVAILABLE"
        log.error("The database cannot be used: %s", original, extra={"request_id": request_id})
        formatted["message"] = UNAVAILABLE
        extensions["requestId"] = request_id
    elif code is None:
        log.error(
            "Unexpected error in %s",
            ".".join(str(part) for part in error.path or ()) or "an operation",
            exc_info=error.original_error,
            extra={"request_id": request_id},
        )
        code = "INTERNAL_SERVER_ERROR"
        formatted["message"] = (
            "Something went wrong on our side. "
            f"Quote the request id {request_id} when you report it."
        )
        extensions = {"requestId": request_id}
    if isinstance(error.original_error, errors.RateLimited | errors.TooManyChanges):
        extensions["retryAfterSeconds"] = error.original_error.retry_after_seconds
    if isinstance(error.original_error, errors.Forbidden) and error.original_error.reason:
        extensions["reason"] = error.original_error.reason.value
    if isinstance(error.original_error, errors.InvalidInput):
        extensions["field"] = error.original_error.field
    formatted["extensions"] = {**extensions, "code": code}
    return formatted
