"""The keys that sign access tokens: the present one, and former ones until their end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

MIN_SECRET_BYTES: Final = 32  # the size of HS256's hash (RFC 7518, 3.2)
MIN_RSA_BITS: Final = 3072  # 128 bits of security (NIST SP 800-57, part 1, table 2)

# Secrets of at least 32 bytes that documentation and examples print: attack tools try them first.
_PUBLISHED: Final = frozenset(
    {
        "a-string-secret-at-least-256-bits-long",
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        "a-string-secret-at-least-256-bits-long-change-this-please",
        "this-is-a-secret-key-for-jwt-authentication",
        "your-256-bit-secret-your-256-bit-secret",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",
        "djangosecretkeydjangosecretkeydjangosecretkey",
        "thisisasecretkeythatshouldbechangedinproduction",
        "change-this-secret-key-in-production-please",
    }
)
_LONGEST_UNIT: Final = 8  # characters that a weak secret repeats
_FEWEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A key and the one algorithm that it is used with, so that no token can choose another.

    `ends_at` is None for the present key; a former one only verifies, and only before its end.
    """

    kid: str
    algorithm: str
    private: Any
    public: Any
    ends_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid} {self.algorithm}>"

    @property
    def is_asymmetric(self) -> bool:
        return self.algorithm != "HS256"

    def counts(self, now: datetime) -> bool:
        """Whether what it signed is accepted now."""
        return self.ends_at is None or now < self.ends_at


def shared_key(secret: str, *, ends_at: datetime | None = None) -> SigningKey:
    """A key for HS256.

    Raises:
        ValueError: it is too short or can be guessed; the message says why and not the secret.
    """
    problem = weakness(secret)
    if problem is not None:
        raise ValueError(problem)
    kid = hashlib.sha256(b"groundql key id\0" + secret.encode()).hexdigest()[:16]
    return SigningKey(kid, "HS256", secret, secret, ends_at)


def key_pair(pem: bytes, *, ends_at: datetime | None = None) -> SigningKey:
    """A key from a private key in PEM without a password: Ed25519 (EdDSA) or RSA (RS256).

    The key's id is its thumbprint (RFC 7638).

    Raises:
        ValueError: it is neither, or an RSA key of less than 3072 bits.
    """
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own words may quote the file.
        raise ValueError("it is not a private key in PEM without a password") from None
    if isinstance(private, Ed25519PrivateKey):
        return SigningKey(
            _thumbprint(public_jwk(private.public_key())),
            "EdDSA",
            private,
            private.public_key(),
            ends_at,
        )
    if isinstance(private, RSAPrivateKey):
        if private.key_size < MIN_RSA_BITS:
            raise ValueError(
                f"an RSA key must have at least {MIN_RSA_BITS} bits, and this one has "
                f"{private.key_size}; make a new one, or an Ed25519 key"
            )
        return SigningKey(
            _thumbprint(public_jwk(private.public_key())),
            "RS256",
            private,
            private.public_key(),
            ends_at,
        )
    raise ValueError("it is neither an Ed25519 nor an RSA key")


def public_jwk(public: Any) -> dict[str, str]:
    """The members of a public key that RFC 7638 counts: those that make the key, and no others."""
    if hasattr(public, "public_numbers"):
        made = RSAAlgorithm.to_jwk(public, as_dict=True)
        return {name: made[name] for name in ("e", "kty", "n")}
    made = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {name: made[name] for name in ("crv", "kty", "x")}


def key_set(keys: Sequence[SigningKey], now: datetime) -> dict[str, list[dict[str, str]]]:
    """The JWKS document (RFC 7517) of the public keys that count now. A shared secret is in none,
    so with HS256 it is empty."""
    return {
        "keys": [
            {**public_jwk(key.public), "kid": key.kid, "alg": key.algorithm, "use": "sig"}
            for key in keys
            if key.is_asymmetric and key.counts(now)
        ]
    }


def weakness(secret: str) -> str | None:
    """Why a shared secret can be guessed, or None. Whether it is random cannot be seen; these are
    the cases that attack tools try."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        return f"the secret that signs access tokens must have at least {MIN_SECRET_BYTES} bytes"
    if secret.casefold() in _PUBLISHED:
        return "the secret that signs access tokens is printed in public examples"
    repeats = any(
        secret == (secret[:unit] * (len(secret) // unit + 1))[: len(secret)]
        for unit in range(1, _LONGEST_UNIT + 1)
    )
    if repeats or len(set(secret)) < _FEWEST_CHARACTERS:
        return "the secret that signs access tokens repeats itself; use a random one"
    return None


def _thumbprint(jwk: dict[str, str]) -> str:
    text = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
