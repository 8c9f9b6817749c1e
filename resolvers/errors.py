"""What use cases refuse, and why.

DomainError
├── Problem               an outcome for the end user: a member of the operation's result union
│   ├── InvalidInput      a field of the input; `.field` names it
│   ├── InvalidCredentials
│   ├── EmailNotVerified
│   ├── SecondFactorRequired
│   ├── InvalidToken
│   ├── SignInFailed      a provider cannot be used now, or says too little; `.reason`
│   ├── LinkRequired
│   ├── NotFound          does not exist, or not for this person
│   └── RateLimited       `.retry_after_seconds`
└── AccessError           for the client's author: `errors[].extensions.code`
    ├── Unauthenticated   UNAUTHENTICATED
    ├── Forbidden         FORBIDDEN; `.reason` names what the person can do about it, if anything
    ├── BadUserInput      BAD_USER_INPUT: where the operation has no result union
    ├── TooManyChanges    RATE_LIMITED, with `.retry_after_seconds`
    └── Unavailable       SERVICE_UNAVAILABLE: nothing is wrong with the request
"""

from __future__ import annotations

from enum import StrEnum


class DomainError(Exception):
    """Base class; the message is shown to the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Problem(DomainError):
    """An outcome that an end user should see."""


class InvalidInput(Problem):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class InvalidCredentials(Problem):
    def __init__(self, message: str = "The address or the password is wrong.") -> None:
        super().__init__(message)


class EmailNotVerified(Problem):
    def __init__(self) -> None:
        super().__init__("Please verify your address first: open the link in the mail we sent.")


class SecondFactorRequired(Problem):
    def __init__(self, message: str = "Give the code that your authenticator app shows.") -> None:
        super().__init__(message)


class InvalidToken(Problem):
    def __init__(self, message: str = "The token is invalid, used or expired.") -> None:
        super().__init__(message)


class SignInFailure(StrEnum):
    """Why a sign-in by a provider has failed."""

    PROVIDER_FAILED = "PROVIDER_FAILED"
    NO_VERIFIED_EMAIL = "NO_VERIFIED_EMAIL"
    NOT_STRONG_ENOUGH = "NOT_STRONG_ENOUGH"
    TOO_LONG_AGO = "TOO_LONG_AGO"


class SignInFailed(Problem):
    def __init__(self, message: str, reason: SignInFailure) -> None:
        super().__init__(message)
        self.reason = reason


class LinkRequired(Problem):
    def __init__(self) -> None:
        super().__init__(
            "This address has an account here. Log in to it and link the provider there; if you "
            "have no password, ask for the link for a forgotten one."
        )


class NotFound(Problem):
    def __init__(self, what: str = "object") -> None:
        super().__init__(f"There is no such {what}.")


class RateLimited(Problem):
    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class AccessError(DomainError):
    """The client must be changed, or the person lacks a right."""


class Unauthenticated(AccessError):
    def __init__(self, message: str = "Log in first: this needs an access token.") -> None:
        super().__init__(message)


class ForbiddenReason(StrEnum):
    """What a person can do to be allowed: `extensions.reason` beside the code FORBIDDEN."""

    SECOND_FACTOR_NEEDED = "SECOND_FACTOR_NEEDED"
    SIGN_IN_AGAIN = "SIGN_IN_AGAIN"


class Forbidden(AccessError):
    def __init__(
        self,
        message: str = "Your role does not allow this.",
        *,
        reason: ForbiddenReason | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason


class BadUserInput(AccessError):
    """Input that the schema cannot express as wrong, in an operation without a result union."""


class TooManyChanges(AccessError):
    """The person has changed accounts, rights or shares too often in this hour; nothing was
    changed this time."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("You have made too many changes in this hour; try again later.")
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AccessError):
    """What this needs is not there at the moment; it may be tried again later."""

    def __init__(self, message: str = "The knowledge base is not available at the moment.") -> None:
        super().__init__(message)
