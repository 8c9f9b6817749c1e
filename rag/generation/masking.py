"""Keeps API keys out of error texts, causes and logs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from rag.errors import RagError
from rag.generation.retrying import Failure

MAX_DETAIL = 300


def checked_key(api_key: str) -> str:
    """The key without surrounding whitespace.

    Raises:
        RagError: it is empty or cannot stand in an HTTP header.
    """
    key = api_key.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise RagError("The API key is empty or has characters that no API key has.")
    return key


def checked_base_url(base_url: str) -> str:
    """The URL without a closing slash.

    Raises:
        RagError: it is no plain http(s) URL. One with a user name, password or query is refused,
            because it would be a secret that HTTP libraries write to their logs.
    """
    url = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    if not plain or parts.username is not None or parts.query or parts.fragment:
        raise RagError(
            "The provider's base URL must look like https://host/path, without a user name,"
            " password, query or fragment."
        )
    return url


def without_secret(text: object, secret: str) -> str:
    """A vendor's text as one line of at most 300 characters that does not contain `secret`."""
    line = " ".join(str(text).replace(secret, "***").split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 1] + "…"


def with_cause(failure: Failure, cause: Exception, secret: str) -> Failure:
    """Make `cause` the cause of the failure's error, unless its traceback would show `secret`."""
    link: BaseException | None = cause
    while link is not None:
        if secret in f"{link}{link!r}":
            return failure
        link = link.__cause__ or link.__context__
    failure.error.__cause__ = cause
    return failure
