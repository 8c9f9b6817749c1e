"""Rotation of keys, key pairs, and secrets that can be guessed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization import PrivateFormat as Format

from models.login import Login
from models.user import User
from resolvers.errors import InvalidToken
from resolvers.public_links import link_token, read_link_token
from resolvers.signing_keys import key_pair, shared_key, weakness
from resolvers.tokens import TokenService
from tests.clock import SettableClock
from tests.resolvers.conftest import SECRET
from tests.resolvers.test_token_forgery import pem

NEW = "another-secret-of-more-than-32-bytes"
LINK = UUID("01234567-89ab-7def-8123-456789abcdef")


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


def made(tokens: TokenService) -> str:
    user = User(email="a@example.com", display_name="a", password_hash="")
    return tokens.access_token(user, Login(user_id=user.id))[0]


def counts(tokens: TokenService, text: str) -> bool:
    try:
        tokens.read_access_token(text)
    except InvalidToken:
        return False
    return True


def test_a_former_secret_counts_until_its_end(clock: SettableClock) -> None:
    """Its tokens and links are read in the overlap, also if they were read before, and new ones
    are made with the present one alone."""
    before = TokenService(SECRET, clock)
    old, link = made(before), link_token(before, LINK)
    end = clock.time + timedelta(minutes=5)
    after = TokenService(NEW, clock, former_secrets=[(SECRET, end)])
    new = made(after)
    assert counts(after, old)
    assert counts(after, new)
    assert read_link_token(after, link) == LINK
    assert not counts(before, new)
    assert link_token(after, LINK) != link
    clock.time = end - timedelta(seconds=1)
    assert counts(after, old)
    clock.time = end
    assert not counts(after, old)
    assert after.read_login(old) is None
    assert read_link_token(after, link) is None
    assert counts(after, new)


def test_the_present_key_has_no_end(clock: SettableClock) -> None:
    """Also if it is named as a former one."""
    tokens = TokenService(SECRET, clock, former_secrets=[(SECRET, clock.time)])
    assert counts(tokens, made(tokens))


@pytest.mark.parametrize(
    ("key", "algorithm", "kty"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA", "OKP"),
        (rsa.generate_private_key(public_exponent=65537, key_size=3072), "RS256", "RSA"),
    ],
)
def test_others_verify_with_the_key_set(
    clock: SettableClock, key: Any, algorithm: str, kty: str
) -> None:
    """The JWKS document is all that another service needs; it holds nothing private."""
    tokens = TokenService(SECRET, clock, pair=key_pair(pem(key)))
    text = made(tokens)
    (published,) = tokens.public_keys()["keys"]
    header = jwt.get_unverified_header(text)
    assert header == {"alg": algorithm, "typ": "JWT", "kid": published["kid"]}
    assert (published["kty"], published["alg"], published["use"]) == (kty, algorithm, "sig")
    assert not {"d", "p", "q", "k"} & published.keys()
    claims = jwt.decode(
        text,
        jwt.PyJWK(published),
        algorithms=[algorithm],
        audience="groundql-api",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "groundql"


def test_from_a_secret_to_a_pair_and_to_the_next_pair(clock: SettableClock) -> None:
    """The secret's tokens count only while it is named as a former one; the key set holds the
    former pair until its end."""
    first, second = (pem(ed25519.Ed25519PrivateKey.generate()) for _ in range(2))
    by_secret = made(TokenService(SECRET, clock))
    end = clock.time + timedelta(minutes=5)
    assert not counts(TokenService(SECRET, clock, pair=key_pair(first)), by_secret)
    overlap = TokenService(SECRET, clock, former_secrets=[(SECRET, end)], pair=key_pair(first))
    assert counts(overlap, by_secret)
    by_first = made(overlap)
    later = TokenService(
        SECRET, clock, pair=key_pair(second), former_pairs=[key_pair(first, ends_at=end)]
    )
    assert counts(later, by_first)
    assert len(later.public_keys()["keys"]) == 2
    clock.time = end
    assert not counts(later, by_first)
    assert [key["kid"] for key in later.public_keys()["keys"]] == [key_pair(second).kid]


def test_a_shared_secret_is_in_no_key_set(clock: SettableClock) -> None:
    assert TokenService(SECRET, clock).public_keys() == {"keys": []}


def test_the_signature_is_checked_once(
    clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that comes again costs no second check, and what is remembered is bounded."""
    tokens = TokenService(SECRET, clock)
    texts = [made(tokens) for _ in range(3)]
    checked: list[str] = []
    decode = jwt.decode

    def counted(text: str, *more: Any, **options: Any) -> Any:
        checked.append(text)
        return decode(text, *more, **options)

    monkeypatch.setattr("resolvers.tokens.jwt.decode", counted)
    monkeypatch.setattr("resolvers.tokens._MAX_KNOWN", 2)
    for text in (texts[0], texts[0], texts[1], texts[0], texts[2], texts[0], texts[1]):
        assert counts(tokens, text)
    assert checked == [texts[0], texts[1], texts[2], texts[1]]


def test_what_is_not_a_usable_pair() -> None:
    """Each is refused with a reason that quotes nothing."""
    small = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(
        ValueError,
        match="at least 3072 bits, and this one has 2048; make a new one, or an Ed25519 key",
    ):
        key_pair(pem(small))
    with pytest.raises(ValueError, match="neither an Ed25519 nor an RSA key"):
        key_pair(pem(ec.generate_private_key(ec.SECP256R1())))
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, Format.PKCS8, BestAvailableEncryption(b"password")
    )
    for text in (b"", b"SECRET", locked):
        with pytest.raises(ValueError, match=r"^it is not a private key in PEM"):
            key_pair(text)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("short", "at least 32 bytes"),
        ("a-string-secret-at-least-256-bits-long", "public examples"),
        ("A-String-Secret-At-Least-256-Bits-Long", "public examples"),
        ("secretsecretsecretsecretsecretsecret", "repeats itself"),
        ("0" * 64, "repeats itself"),
        ("changemechangemechangemechangemechange", "repeats itself"),
        ("abababbaabababababbaababbabaabbaabab", "repeats itself"),
    ],
)
def test_secrets_that_can_be_guessed(secret: str, reason: str) -> None:
    """They are refused at the start, and the refusal does not quote them."""
    with pytest.raises(ValueError, match=reason) as refused:
        shared_key(secret)
    assert secret not in str(refused.value)


def test_random_secrets_are_taken() -> None:
    for secret in (NEW, SECRET, "f3b1c2d4e5a697887766554433221100", "Ключ-который-никто-не-знает"):
        assert weakness(secret) is None
    assert NEW not in repr(shared_key(NEW))
