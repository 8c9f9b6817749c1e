"""Errors of the transport itself, and the form in which clients see them.

RequestError       a request that is not well-formed GraphQL over HTTP; carries its HTTP status
InvalidJSON        text that is not JSON in the strict sense of messages.py
"""

from typing import Any

BAD_USER_INPUT = "BAD_USER_INPUT"
INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"

REJECTION_CODES = {4401: "UNAUTHENTICATED", 4429: "RATE_LIMITED"}


class InvalidJSON(ValueError):
    """Its text is a sentence for the client and quotes nothing of the input."""


class RequestError(Exception):
    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = BAD_USER_INPUT,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers

    @property
    def formatted(self) -> dict[str, Any]:
        return error_object(self.message, self.code)


def error_object(message: str, code: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


def internal_error() -> dict[str, Any]:
    return error_object("Internal server error.", INTERNAL_SERVER_ERROR)
