"""E-mail addresses in the one form that they are stored, looked up and written to in."""

from __future__ import annotations

import unicodedata

from email_validator import EmailNotValidError, validate_email

from resolvers.errors import InvalidInput
from texts import fill

_MAX_LENGTH = 254  # RFC 5321: 256 octets with the angle brackets


def normalise(email: str, *, field: str = "email") -> str:
    """The normal form of an address: trimmed, in lower case, NFC.

    The whole address is lowered, the local part too: no provider in use tells addresses apart by
    case, and people type it as it comes. Mail goes to this form and never to what was typed, so
    two spellings that meet in one normal form are one account of one mailbox.

    Nobody is asked whether the domain exists. The names reserved for tests (.test, .example) are
    accepted, so that staging systems work.

    Raises:
        InvalidInput: with a sentence that says what is wrong.
    """
    email = email.strip()
    if not email:
        raise InvalidInput(field, "Please enter an email address.")
    if len(email) > _MAX_LENGTH:  # before any parsing, whose cost grows faster than the length
        raise InvalidInput(
            field, fill("An email address has at most {maximum} characters.", maximum=_MAX_LENGTH)
        )
    try:
        valid = validate_email(
            unicodedata.normalize("NFC", email).lower(),
            check_deliverability=False,
            test_environment=True,
            strict=True,
        )
    except EmailNotValidError as error:
        raise InvalidInput(field, str(error)) from None
    if "." not in valid.domain:
        raise InvalidInput(
            field, "The part after the @-sign is not valid. It should have a period."
        )
    return valid.normalized
