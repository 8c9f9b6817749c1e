"""ID tokens: what a provider says about who has signed in (OpenID Connect Core, 3.1.3.7)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
_MIN_RSA_BITS: Final = 2048
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


def read_keys(found: Any) -> list[Key]:
    """The keys of a JWK set that a signature may be checked with; others are passed over.

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
            size = len(str(one.get("n", ""))) * 6  # bits, in base64
            if kind is not RSAKey or _MIN_RSA_BITS <= size <= 4 * _MIN_RSA_BITS + 64:
                keys.append(kind.import_key(one))
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
    if len(text) > MAX_LENGTH:
        raise BadIdToken("it is too long")
    try:
        header = jws.extract_compact(text.encode(), registry=_REGISTRY).headers()
        name = header["alg"]
        kind = ALGORITHMS.get(name)
        if kind is None:
            raise BadIdToken("its algorithm is not accepted")
        fitting = [key for key in keys if _fits(key, kind, name, header.get("kid"))]
        if not fitting:
            raise UnknownKey
        token = _verified(text, fitting)
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
        # NaN is neither before nor after anything.
        for claim in ("exp", "iat", "nbf"):
            if not math.isfinite(claims.get(claim, 0)):
                raise BadIdToken(f"its {claim} is no time")
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY)
        if not isinstance(claims["nonce"], str) or not _is_subject(claims["sub"]):
            raise BadIdToken("its sub or nonce is no text")
    except BadIdToken:
        raise
    except JoseError as error:
        # The kind and the claim's name alone: the rest is the provider's words.
        raise BadIdToken(f"{error.error}: {getattr(error, 'claim', '')}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise BadIdToken("it is malformed") from None
    return dict(claims)


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


def _is_subject(value: Any) -> bool:
    """At most 255 ASCII characters (Core, 2)."""
    return (
        isinstance(value, str) and 0 < len(value) <= 255 and value.isascii() and "\0" not in value
    )
