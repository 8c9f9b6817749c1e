"""ID tokens that are forged, stolen, old or odd sign nobody in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from models.user import User
from resolvers.errors import SignInFailed
from resolvers.sign_in.id_token import read_keys
from tests.openid_provider import CLIENT_SECRET, OpenIdProvider, rsa_key, sign, signing_keys
from tests.resolvers.sign_in.conftest import Visitor

pytestmark = pytest.mark.anyio

Claims = dict[str, Any]


async def refused(visitor: Visitor, provider: OpenIdProvider) -> None:
    with pytest.raises(SignInFailed, match="does not answer as it should"):
        await visitor.sign_in(provider)
    assert await User.all().count() == 0


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"])
async def test_each_algorithm(visitor: Visitor, provider: OpenIdProvider, algorithm: str) -> None:
    """All of them sign in, with at_hash and a key among others."""
    keys = signing_keys()
    provider.key = keys[algorithm]
    provider.published = list(keys.values())
    provider.header = {"alg": algorithm, "kid": provider.key.kid}
    assert (await visitor.sign_in(provider)).user.email == "olga@example.com"


async def test_without_kid(visitor: Visitor, provider: OpenIdProvider) -> None:
    """Then each key of its kind is tried."""
    provider.header = {"alg": "RS256"}
    provider.published = [RSAKey.generate_key(2048, {"kid": "other"}), rsa_key()]
    await visitor.sign_in(provider)


async def test_unknown_members_are_ignored(visitor: Visitor, provider: OpenIdProvider) -> None:
    """A header or claim that nobody here knows harms nothing, nor do several audiences with azp."""
    provider.header["odd"] = ["x"]
    provider.lie = lambda claims: {**claims, "aud": ["other", claims["aud"]], "azp": claims["aud"]}
    await visitor.sign_in(provider)


FORGERIES: dict[str, Callable[[Claims], Claims]] = {
    "nonce": lambda c: {**c, "nonce": "another"},
    "no nonce": lambda c: {k: v for k, v in c.items() if k != "nonce"},
    "list of nonces": lambda c: {**c, "nonce": [c["nonce"]]},
    "issuer": lambda c: {**c, "iss": "https://evil.example"},
    "issuer with a slash": lambda c: {**c, "iss": c["iss"] + "/"},
    "list of issuers": lambda c: {**c, "iss": [c["iss"]]},
    "audience": lambda c: {**c, "aud": "another client"},
    "no audience": lambda c: {k: v for k, v in c.items() if k != "aud"},
    "two audiences without azp": lambda c: {**c, "aud": [c["aud"], "another"]},
    "azp": lambda c: {**c, "azp": "another client"},
    "expired": lambda c: {**c, "exp": c["iat"] - 60},
    "no end": lambda c: {k: v for k, v in c.items() if k != "exp"},
    "an end that is no time": lambda c: {**c, "exp": float("nan")},
    "an end that is a text": lambda c: {**c, "exp": str(c["exp"])},
    "from the future": lambda c: {**c, "iat": c["iat"] + 120},
    "not yet": lambda c: {**c, "nbf": c["iat"] + 120},
    "no beginning": lambda c: {k: v for k, v in c.items() if k != "iat"},
    "at_hash": lambda c: {**c, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "at_hash that is a number": lambda c: {**c, "at_hash": 1},
    "no subject": lambda c: {k: v for k, v in c.items() if k != "sub"},
    "empty subject": lambda c: {**c, "sub": ""},
    "long subject": lambda c: {**c, "sub": "x" * 256},
    "a subject that is a number": lambda c: {**c, "sub": 7},
    "NUL in the subject": lambda c: {**c, "sub": "a\0b"},
    "huge": lambda c: {**c, "odd": "x" * 70_000},
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_claims(visitor: Visitor, provider: OpenIdProvider, forgery: str) -> None:
    """Signed by the right key, and still not for this sign-in."""
    provider.lie = FORGERIES[forgery]
    await refused(visitor, provider)


def public_key_as_secret(claims: Claims) -> str:
    return sign({"alg": "HS256", "kid": "rsa"}, claims, rsa_key().as_pem(False))


SIGNATURES: dict[str, Callable[[Claims], Any]] = {
    "none": lambda c: sign({"alg": "none"}, c, rsa_key()),
    "none with the key's id": lambda c: sign({"alg": "none", "kid": "rsa"}, c, rsa_key()),
    "NONE": lambda c: sign({"alg": "none"}, c, rsa_key()).replace("bm9uZ", "Tk9OR", 1),
    "HS256 with the public key": public_key_as_secret,
    "HS256 with the client's secret": lambda c: sign({"alg": "HS256"}, c, CLIENT_SECRET.encode()),
    "another key": lambda c: sign(
        {"alg": "RS256", "kid": "rsa"}, c, RSAKey.generate_key(2048, {"kid": "rsa"})
    ),
    "a key in the header": lambda c: sign(
        {"alg": "RS256", "jwk": rsa_key().as_dict(private=False), "kid": "evil"}, c, rsa_key()
    ),
    "cut off": lambda c: (
        sign({"alg": "RS256", "kid": "rsa"}, c, rsa_key()).rpartition(".")[0] + "."
    ),
    "other claims": lambda c: ".".join(
        [
            sign({"alg": "RS256", "kid": "rsa"}, c, rsa_key()).split(".")[0],
            sign({"alg": "none"}, {**c, "sub": "admin"}, rsa_key()).split(".")[1],
            sign({"alg": "RS256", "kid": "rsa"}, c, rsa_key()).split(".")[2],
        ]
    ),
    "critical": lambda c: sign({"alg": "RS256", "kid": "rsa"}, c, rsa_key()).replace("e", "f", 1),
    "nothing": lambda c: "",
    "words": lambda c: "words",
    "dots": lambda c: "..",
    "no text": lambda c: {"a": 1},
    "a list": lambda c: sign({"alg": "RS256", "kid": "rsa"}, [c], rsa_key()),
}


@pytest.mark.parametrize("forgery", SIGNATURES)
async def test_signatures(
    visitor: Visitor, provider: OpenIdProvider, forgery: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not signed by a key of the provider with an algorithm that is accepted. The log says what was
    wrong and holds no token."""
    provider.make_token = SIGNATURES[forgery]
    with caplog.at_level(logging.DEBUG, logger="groundql"):
        await refused(visitor, provider)
    assert "Sign-in by keycloak: " in caplog.text
    assert "eyJ" not in caplog.text


async def test_a_token_of_another_sign_in(visitor: Visitor, provider: OpenIdProvider) -> None:
    """A token that was right once is not right again."""
    seen: list[str] = []

    def remember(claims: Claims) -> str:
        seen.append(sign(provider.header, claims, provider.key))
        return seen[0]

    provider.make_token = remember
    first = await visitor.sign_in(provider)
    with pytest.raises(SignInFailed):
        await visitor.sign_in(provider)
    assert first.user.id == (await User.get()).id


def test_keys_that_sign_nothing() -> None:
    """Secrets, private keys, those for encryption, weak and broken ones are passed over."""
    public = rsa_key().as_dict(private=False)
    found = read_keys(
        {
            "keys": [
                {"kty": "oct", "k": "c2VjcmV0"},
                rsa_key().as_dict(private=True),
                {**public, "use": "enc"},
                {**public, "n": public["n"][:171]},
                {**public, "n": "A" * 20_000},
                {**public, "n": 7},
                {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
                {"kty": ["RSA"]},
                "words",
                public,
            ]
        }
    )
    assert [key.as_dict(private=False)["kid"] for key in found] == ["rsa"]


@pytest.mark.parametrize("found", [None, [], {}, {"keys": {}}, {"keys": None}])
def test_no_set_of_keys(found: Any) -> None:
    """It is said so."""
    with pytest.raises(ValueError, match="no set of keys"):
        read_keys(found)
