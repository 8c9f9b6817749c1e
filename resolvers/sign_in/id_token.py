"""What a provider has signed: ID tokens, about who has signed in (OpenID Connect Core, 3.1.3.7),
and logout tokens, about who has signed out there (Back-Channel Logout, 2.6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

# Each with the kind of key that it takes. Neither "none" nor HS256, whose key would be the public
# one or the client's secret.
ALGORITHMS: Final[Mapping[str, str]] = {
    "RS256": "RSA",
    "PS256": "RSA",
    "ES256": "EC",
    "EdDSA": "OKP",
    "Ed25519": "OKP",  # RFC 9864's name of the same
}
# Seconds that the provider's clock may differ.
LEEWAY: Final = 60
MAX_LENGTH: Final = 64 * 1024
# Seconds for which a logout token counts, whatever its end: so long its jti is remembered.
LOGOUT_LIVES: Final = 600
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
# Many providers still write none, or JWT.
_LOGOUT_TYPES: Final = frozenset({"jwt", "logout+jwt", "application/logout+jwt"})
MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_KINDS: Final[dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}


class UnknownKey(Exception):
    """No key of the provider fits: it may have new ones."""


class BadIdToken(Exception):
    """The token cannot be trusted; the message says why, for the log, without the token."""


class _Registry(JWSRegistry):
    """Only the algorithms above. joserfc itself warns of "EdDSA", which most providers still call
    it."""

    max_header_length = 8 * 1024
    max_payload_length = MAX_LENGTH

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


# Members of the header that nobody knows are ignored (RFC 7515, 4), but for `crit`.
_REGISTRY: Final = _Registry(strict_check_header=False)


def read_keys(found: Any, *, min_rsa_bits: int = MIN_RSA_BITS) -> list[Key]:
    """The keys of a JWK set that a signature may be checked with; others, such as RSA keys of
    fewer bits, are passed over.

    Raises:
        ValueError: it is no JWK set.
    """
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("it is no set of keys")
    keys: list[Key] = []
    for one in found["keys"][:100]:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig" or "d" in one:
            continue
        kind = _KINDS.get(str(one.get("kty")))
        if kind is None:
            continue
        try:
            # In base64, before so many bits are computed with.
            if kind is RSAKey and len(str(one.get("n", ""))) * 6 > _MAX_RSA_BITS + 64:
                continue
            key = kind.import_key(one)
            if isinstance(key, RSAKey) and key.public_key.key_size < min_rsa_bits:
                continue
            keys.append(key)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return keys


def read_id_token(
    text: str,
    keys: Iterable[Key],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str,
    now: datetime,
) -> dict[str, Any]:
    """The claims of a token that this provider made for this client and this sign-in.

    Raises:
        BadIdToken
        UnknownKey: it is signed with a key that is not among `keys`.
    """
    with _reading():
        token = _token(text, keys)
        name = token.header["alg"]
        claims = CodeIDToken(
            token.claims,
            # at_hash is made with the same function under both names.
            {**token.header, "alg": "EdDSA" if name == "Ed25519" else name},
            options={
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": client_id},
            },
            params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )
        _require_times(claims)
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY)
        if not isinstance(claims["nonce"], str) or not is_subject(claims["sub"]):
            raise BadIdToken("its sub or nonce is no text")
    return dict(claims)


def read_logout_token(
    text: str, keys: Iterable[Key], *, issuer: str, client_id: str, now: datetime
) -> dict[str, Any]:
    """The claims of a token by which the provider ends logins (OpenID Connect Back-Channel Logout
    1.0, 2.6, steps 2 to 7). `jti` is a text that the caller has to remember.

    Raises:
        BadIdToken
        UnknownKey: it is signed with a key that is not among `keys`.
    """
    with _reading():
        token = _token(text, keys)
        if str(token.header.get("typ", "jwt")).lower() not in _LOGOUT_TYPES:
            raise BadIdToken("its typ is not of a logout token")
        claims = token.claims
        _require_times(claims)
        jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client_id},
            iat={"essential": True},
            exp={"essential": True},
            jti={"essential": True},
        ).validate(claims)
        if now.timestamp() - claims["iat"] > LOGOUT_LIVES + LEEWAY:
            raise BadIdToken("it is too old")
        if not is_subject(claims["jti"]):
            raise BadIdToken("its jti is no text")
        if "nonce" in claims:
            raise BadIdToken("it has a nonce, so it is an ID token")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise BadIdToken("its events name no logout")
        named = [claims[name] for name in ("sub", "sid") if name in claims]
        if not named or not all(is_subject(one) for one in named):
            raise BadIdToken("it names nobody: sub and sid are absent or no texts")
    return dict(claims)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever is wrong with a token into BadIdToken."""
    try:
        yield
    except JoseError as error:
        # The kind and the claim's name alone: the rest is the provider's words.
        raise BadIdToken(f"{error.error}: {getattr(error, 'claim', '')}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise BadIdToken("it is malformed") from None


def _require_times(claims: Mapping[str, Any]) -> None:
    """Refuse NaN, which is neither before nor after anything, and what is no number.

    Raises:
        BadIdToken, TypeError
    """
    for claim in ("exp", "iat", "nbf"):
        if not math.isfinite(claims.get(claim, 0)):
            raise BadIdToken(f"its {claim} is no time")


def _token(text: str, keys: Iterable[Key]) -> jwt.Token:
    """The token, if one of these keys has signed it.

    Raises:
        BadIdToken, JoseError, UnknownKey; ValueError and its like for what is no token
    """
    if len(text) > MAX_LENGTH:
        raise BadIdToken("it is too long")
    header = jws.extract_compact(text.encode(), registry=_REGISTRY).headers()
    name = header["alg"]
    kind = ALGORITHMS.get(name)
    if kind is None:
        raise BadIdToken("its algorithm is not accepted")
    fitting = [key for key in keys if _fits(key, kind, name, header.get("kid"))]
    if not fitting:
        raise UnknownKey
    return _verified(text, fitting)


def _verified(text: str, keys: list[Key]) -> jwt.Token:
    failure: JoseError | None = None
    for key in keys:
        try:
            return jwt.decode(text, key, algorithms=list(ALGORITHMS), registry=_REGISTRY)
        except JoseError as error:
            failure = error
    assert failure is not None
    raise failure


def _fits(key: Key, kind: str, algorithm: str, kid: str | None) -> bool:
    return (
        key.key_type == kind
        and (kid is None or key.get("kid") == kid)
        and (key.alg is None or key.alg == algorithm)
    )


def is_subject(value: Any) -> bool:
    """At most 255 ASCII characters (Core, 2)."""
    return (
        isinstance(value, str) and 0 < len(value) <= 255 and value.isascii() and "\0" not in value
    )
