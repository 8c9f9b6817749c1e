"""Access tokens (JWT) and opaque one-time tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from models.base import new_id
from models.login import Login
from models.user import User
from resolvers.clock import Clock
from resolvers.errors import InvalidToken

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
REFRESH_PREFIX = "gqr_"
EMAIL_PREFIX = "gqe_"
KEY_PREFIX = "gqk_"

_ALGORITHM = "HS256"
_LEEWAY = 10  # seconds that the clocks of two of our servers may differ
_MAX_LENGTH = 4096
_COMPACT_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # RFC 7515, 7.1
_REQUIRED = ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "typ"]


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a valid access token says."""

    user_id: UUID
    login_id: UUID
    token_id: str
    issued_at: datetime
    expires_at: datetime


class TokenService:
    """Makes and reads access tokens.

    The header's `kid` names the key, so a later key can sign while an earlier one is still read.
    """

    def __init__(
        self,
        secret: str,
        clock: Clock,
        *,
        issuer: str = "groundql",
        audience: str = "groundql-api",
    ) -> None:
        """
        Raises:
            ValueError: the secret has less than 32 bytes, the size of HS256's hash (RFC 7518).
        """
        if len(secret.encode()) < 32:
            raise ValueError("the secret that signs access tokens must have at least 32 bytes")
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._kid = _key_id(secret)
        self._keys = {self._kid: secret}

    def __repr__(self) -> str:
        return f"<TokenService {self._kid}>"

    def access_token(self, user: User, login: Login) -> tuple[str, datetime]:
        """A token of 15 minutes for this login, and when it expires."""
        issued_at = int(self._clock.now().timestamp())
        expires_at = issued_at + int(ACCESS_TOKEN_LIFETIME.total_seconds())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user.id),
            "sid": str(login.id),
            "jti": new_id().hex,
            "iat": issued_at,
            "exp": expires_at,
            "typ": "access",
        }
        text = jwt.encode(
            claims, self._keys[self._kid], algorithm=_ALGORITHM, headers={"kid": self._kid}
        )
        return text, datetime.fromtimestamp(expires_at, UTC)

    def sign(self, purpose: bytes, data: bytes) -> bytes:
        """HMAC-SHA-256 of `data`, with a key that the secret gives for this purpose alone."""
        secret = self._keys[self._kid].encode()
        key = hmac.digest(secret, b"groundql " + purpose, hashlib.sha256)
        return hmac.digest(key, data, hashlib.sha256)

    def next_refresh_token(self, token: str) -> tuple[str, str]:
        """The refresh token that follows this one, and the hash under which it is stored.

        It is always the same one, so that an answer that was lost can be given again though only
        hashes are stored. Nobody can tell it from a random one without the secret.
        """
        signature = self.sign(b"refresh token", token.encode("utf-8", "surrogatepass"))
        text = REFRESH_PREFIX + base64.urlsafe_b64encode(signature).decode().rstrip("=")
        return text, hash_opaque_token(text)

    def read_access_token(self, token: str) -> AccessClaims:
        """The claims of an access token that we signed and that has not expired.

        Times are compared here and not by PyJWT, which knows only the machine's clock.

        Raises:
            InvalidToken: for anything else, whatever it is.
        """
        claims = self._signed_claims(token)
        issued_at, expires_at = _seconds(claims, "iat"), _seconds(claims, "exp")
        now = self._clock.now().timestamp()
        if claims["typ"] != "access" or issued_at > now + _LEEWAY:
            raise _malformed()
        if expires_at <= now - _LEEWAY:
            raise InvalidToken("The access token has expired; refresh it.")
        try:
            return AccessClaims(
                user_id=UUID(claims["sub"]),
                login_id=UUID(claims["sid"]),
                token_id=claims["jti"],
                issued_at=datetime.fromtimestamp(issued_at, UTC),
                expires_at=datetime.fromtimestamp(expires_at, UTC),
            )
        except (ValueError, AttributeError, TypeError, OverflowError, OSError):
            raise _malformed() from None

    def read_login(self, token: str) -> UUID | None:
        """The login that an access token of ours belongs to, also once it has expired: a socket
        outlives the token that it was opened with. None for anything else."""
        try:
            return UUID(self._signed_claims(token)["sid"])
        except (InvalidToken, ValueError, AttributeError, TypeError):
            return None

    def _signed_claims(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_LENGTH or not _COMPACT_FORM.fullmatch(token):
            raise _malformed()
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                raise _malformed()
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": _REQUIRED,
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            # Besides its own errors, PyJWT lets through what the JSON parser and a header of odd
            # types raise; a stranger writes both.
            raise _malformed() from None
        return claims


def new_opaque_token(prefix: str) -> tuple[str, str]:
    """A random token of 256 bits and the hash under which it is stored.

    The prefix tells people and secret scanners what they look at, and logs what to mask.
    """
    text = prefix + secrets.token_urlsafe(32)
    return text, hash_opaque_token(text)


def hash_opaque_token(text: str) -> str:
    """SHA-256 in hexadecimal; enough for 256 random bits, where a slow hash adds nothing."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"groundql key id\0" + secret.encode()).hexdigest()[:16]


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims[name]
    if type(value) is not int:  # bool is an int, too, and NaN a float
        raise _malformed()
    return value


def _malformed() -> InvalidToken:
    return InvalidToken("The access token is malformed or was not made by this server.")
