"""Access tokens (JWT) and opaque one-time tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
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
from resolvers.sealing import Seal
from resolvers.signing_keys import SigningKey, key_set, shared_key

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
REFRESH_PREFIX = "gqr_"
EMAIL_PREFIX = "gqe_"
KEY_PREFIX = "gqk_"
FLOW_PREFIX = "gqs_"
EXPIRED = "The access token has expired; refresh it."
# What is longer is none of ours, and is not hashed.
MAX_OPAQUE_LENGTH = 200

_LEEWAY = 10  # seconds that the clocks of two of our servers may differ
_MAX_LENGTH = 4096
_MAX_KNOWN = 4096  # tokens whose signature is remembered; about 1 KB each
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


@dataclass(frozen=True, slots=True)
class _Known:
    claims: AccessClaims
    key: SigningKey


class TokenService:
    """Makes and reads access tokens.

    The header's `kid` names the key and nothing else does: a key has one algorithm, former keys
    are read until their end, and headers that bring a key of their own are not looked at.

    Whose signature was right is remembered, since checking it takes longer than the rest of an
    operation's beginning. Times, and the ends of keys, are compared each time.
    """

    def __init__(
        self,
        secret: str,
        clock: Clock,
        *,
        former_secrets: Sequence[tuple[str, datetime]] = (),
        pair: SigningKey | None = None,
        former_pairs: Sequence[SigningKey] = (),
        issuer: str = "groundql",
        audience: str = "groundql-api",
    ) -> None:
        """
        `pair` signs access tokens instead of `secret`, which then signs only what stays here. Each
        former secret comes with its end.

        Raises:
            ValueError: a secret is too short or can be guessed.
        """
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        present = shared_key(secret)
        self._secret = secret
        self._former = tuple(shared_key(text, ends_at=end) for text, end in former_secrets)
        self._key = pair or present
        # Whatever their ends: those are about who is let in.
        self.seal = Seal([(key.kid, key.private) for key in (present, *self._former)])
        self._present = present
        # The present key comes last: it counts though it is named as a former one, too.
        self._keys = {key.kid: key for key in (*self._former, *former_pairs, self._key)}
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def __repr__(self) -> str:
        return f"<TokenService {self._key.kid}>"

    def public_keys(self) -> dict[str, list[dict[str, str]]]:
        """The JWKS document by which others verify our access tokens."""
        return key_set(tuple(self._keys.values()), self._clock.now())

    @property
    def key_ids(self) -> str:
        """The ids of what signs: of access tokens, and of everything else if that is another."""
        return " ".join(dict.fromkeys((self._key.kid, self._present.kid)))

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
            claims,
            self._key.private,
            algorithm=self._key.algorithm,
            headers={"kid": self._key.kid},
        )
        return text, datetime.fromtimestamp(expires_at, UTC)

    def sign(self, purpose: bytes, data: bytes) -> bytes:
        """HMAC-SHA-256 of `data`, with a key that the secret gives for this purpose alone."""
        return _sign(self._secret, purpose, data)

    def signatures(self, purpose: bytes, data: bytes) -> list[bytes]:
        """What `sign` gives, and what it gave with the former secrets that still count."""
        now = self._clock.now()
        former = [key.private for key in self._former if key.counts(now)]
        return [_sign(secret, purpose, data) for secret in (self._secret, *former)]

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
        claims = self._verified(token)
        now = self._clock.now().timestamp()
        if claims.issued_at.timestamp() > now + _LEEWAY:
            raise _malformed()
        if claims.expires_at.timestamp() <= now - _LEEWAY:
            raise InvalidToken(EXPIRED)
        return claims

    def read_login(self, token: str) -> UUID | None:
        """The login that an access token of ours belongs to, also once it has expired: a socket
        outlives the token that it was opened with. None for anything else."""
        try:
            return self._verified(token).login_id
        except InvalidToken:
            return None

    def _verified(self, token: str) -> AccessClaims:
        """The claims of an access token with a right signature of a key that counts now."""
        # The text itself is not kept: memory that leaks should hold no token.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            key = known.key
        else:
            key = self._named_key(token)
        if not key.counts(self._clock.now()):
            raise _malformed()
        if known is None:
            known = _Known(_access_claims(self._signed_claims(token, key)), key)
            self._known[digest] = known
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return known.claims

    def _named_key(self, token: str) -> SigningKey:
        if len(token) > _MAX_LENGTH or not _COMPACT_FORM.fullmatch(token):
            raise _malformed()
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _malformed() from None
        if key is None:
            raise _malformed()
        return key

    def _signed_claims(self, token: str, key: SigningKey) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
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


def _access_claims(claims: dict[str, Any]) -> AccessClaims:
    issued_at, expires_at = _seconds(claims, "iat"), _seconds(claims, "exp")
    # None of ours begins later than it was made.
    if claims["typ"] != "access" or "nbf" in claims:
        raise _malformed()
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


def _sign(secret: str, purpose: bytes, data: bytes) -> bytes:
    key = hmac.digest(secret.encode(), b"groundql " + purpose, hashlib.sha256)
    return hmac.digest(key, data, hashlib.sha256)


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims[name]
    if type(value) is not int:  # bool is an int, too, and NaN a float
        raise _malformed()
    return value


def _malformed() -> InvalidToken:
    return InvalidToken("The access token is malformed or was not made by this server.")
