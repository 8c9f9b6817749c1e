from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from models.base import new_id
from models.login import Login
from models.user import User
from resolvers.errors import InvalidToken
from resolvers.tokens import (
    REFRESH_PREFIX,
    TokenService,
    hash_opaque_token,
    new_opaque_token,
)
from tests.clock import SettableClock
from tests.resolvers.conftest import SECRET

MALFORMED = "The access token is malformed or was not made by this server."
EXPIRED = "The access token has expired; refresh it."


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def tokens(clock: SettableClock) -> TokenService:
    return TokenService(SECRET, clock)


@pytest.fixture
def user() -> User:
    return User(email="a@example.com", display_name="a", password_hash="")


@pytest.fixture
def login(user: User) -> Login:
    return Login(user_id=user.id)


def problem(tokens: TokenService, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        tokens.read_access_token(token)
    return caught.value.message


def forge(token: str, *, key: Any = SECRET, header: Any = None, **claims: Any) -> str:
    """The token with other claims and headers, signed anew. None takes a claim out."""
    payload = {**jwt.decode(token, options={"verify_signature": False}), **claims}
    headers = {**jwt.get_unverified_header(token), **(header or {})}
    return jwt.encode(
        {name: value for name, value in payload.items() if value is not None},
        key,
        algorithm=headers["alg"],
        headers=headers,
    )


def raw(header: bytes, payload: bytes, key: str = SECRET) -> str:
    """A token with any bytes as header and payload, properly signed with HS256."""

    def b64(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = b64(header) + b"." + b64(payload)
    return (signed + b"." + b64(hmac.digest(key.encode(), signed, hashlib.sha256))).decode()


def test_round_trip(tokens: TokenService, clock: SettableClock, user: User, login: Login) -> None:
    """A token says who, which login, when and until when: 15 minutes later."""
    text, expires_at = tokens.access_token(user, login)
    claims = tokens.read_access_token(text)
    assert (claims.user_id, claims.login_id) == (user.id, login.id)
    assert claims.issued_at == clock.time
    assert claims.expires_at == expires_at == clock.time + timedelta(minutes=15)


def test_claims_and_header(tokens: TokenService, user: User, login: Login) -> None:
    """The claims are the registered ones; the header names the key; each token has its own jti."""
    text, expires_at = tokens.access_token(user, login)
    header = jwt.get_unverified_header(text)
    assert header == {"alg": "HS256", "typ": "JWT", "kid": header["kid"]}
    claims = jwt.decode(text, options={"verify_signature": False})
    assert claims == {
        "iss": "groundql",
        "aud": "groundql-api",
        "sub": str(user.id),
        "sid": str(login.id),
        "jti": claims["jti"],
        "iat": int(expires_at.timestamp()) - 900,
        "exp": int(expires_at.timestamp()),
        "typ": "access",
    }
    other = jwt.decode(tokens.access_token(user, login)[0], options={"verify_signature": False})
    assert other["jti"] != claims["jti"]


def test_expiry(tokens: TokenService, clock: SettableClock, user: User, login: Login) -> None:
    """A token works until 10 seconds after its time and then says that it has expired."""
    text, expires_at = tokens.access_token(user, login)
    clock.time = expires_at + timedelta(seconds=9)
    tokens.read_access_token(text)
    clock.time = expires_at + timedelta(seconds=10)
    assert problem(tokens, text) == EXPIRED


def test_clocks_may_differ_a_little(
    tokens: TokenService, clock: SettableClock, user: User, login: Login
) -> None:
    """A token from 10 seconds in the future is read, one from 11 is not."""
    text, _ = tokens.access_token(user, login)
    clock.forward(seconds=-10)
    tokens.read_access_token(text)
    clock.forward(seconds=-1)
    assert problem(tokens, text) == MALFORMED


@pytest.mark.parametrize(
    "claims",
    [
        {"typ": "refresh"},
        {"typ": ["access"]},
        {"iss": "somebody"},
        {"iss": ["groundql"]},
        {"aud": "other-api"},
        {"aud": ["groundql-api"]},
        {"aud": ["groundql-api", "other-api"]},
        {"sub": "1"},
        {"sub": 1},
        {"sid": "x"},
        {"sid": 5},
        {"sid": {}},
        {"jti": 1},
        {"exp": "9999999999"},
        {"exp": 9999999999.5},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**30},
        {"iat": -(10**30)},
        {"iat": 9999999999},
        {"iat": "now"},
        *({name: None} for name in ("iss", "aud", "sub", "sid", "jti", "iat", "exp", "typ")),
    ],
    ids=str,
)
def test_wrong_claims(
    tokens: TokenService, user: User, login: Login, claims: dict[str, Any]
) -> None:
    """A token with our signature but with a wrong or missing claim is refused."""
    text, _ = tokens.access_token(user, login)
    tokens.read_access_token(forge(text))
    try:
        forged = forge(text, **claims)
    except TypeError:  # PyJWT does not write such an issuer: write it by hand
        payload = {**jwt.decode(text, options={"verify_signature": False}), **claims}
        header = json.dumps(jwt.get_unverified_header(text)).encode()
        forged = raw(header, json.dumps(payload).encode())
    assert problem(tokens, forged) == MALFORMED


def test_forged_signatures(tokens: TokenService, user: User, login: Login) -> None:
    """No algorithm but HS256 counts, no key but ours, and nothing may be cut off or changed."""
    text, _ = tokens.access_token(user, login)
    head, body, signature = text.split(".")
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    key_of_header = {"jwk": {"kty": "oct", "k": base64.b64encode(b"x" * 32).decode()}}
    forgeries = [
        forge(text, key=None, header={"alg": "none"}),
        *(
            text.replace(
                head,
                base64.urlsafe_b64encode(
                    json.dumps({**jwt.get_unverified_header(text), "alg": alg}).encode()
                )
                .rstrip(b"=")
                .decode(),
            )
            for alg in ("none", "None", "NONE", "nOnE", "", "HS512", "RS256", "ES256")
        ),
        forge(text, key="x" * 32),
        forge(text, key="x" * 32, header=key_of_header),
        forge(text, key=SECRET + SECRET, header={"alg": "HS512"}),
        forge(text, key=SECRET + SECRET, header={"alg": "HS384"}),
        forge(text, key=rsa_key, header={"alg": "RS256"}),
        forge(text, header={"kid": "other"}),
        forge(text, key="x" * 32, header={"kid": "../../../../dev/null"}),
        forge(text, header={"crit": ["exp"]}),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}..{signature}",
        f".{body}.{signature}",
        f"{head}.{body}.{signature[:-2]}",
        f"{head}.{body[:-2]}.{signature}",
        f"{head}.{body}.{signature}.{signature}",
        f"{head}.{body}.{'A' * len(signature)}",
        text + "=",
        text + "\n",
        " " + text,
        text.upper(),
        text[: len(text) // 2],
    ]
    for forgery in forgeries:
        assert problem(tokens, forgery) == MALFORMED, forgery


def test_key_id_is_required(tokens: TokenService, user: User, login: Login) -> None:
    """A token that names no key is refused, so that keys can be rotated."""
    text, _ = tokens.access_token(user, login)
    payload = jwt.decode(text, options={"verify_signature": False})
    assert problem(tokens, jwt.encode(payload, SECRET)) == MALFORMED


def test_other_tokens_are_no_access_tokens(tokens: TokenService) -> None:
    """A refresh or mail token is never an access token."""
    assert problem(tokens, new_opaque_token(REFRESH_PREFIX)[0]) == MALFORMED


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b"{}", b"{}"),
        (b"[]", b"{}"),
        (b"null", b"{}"),
        (b'{"alg":"HS256","kid":KID}', b"[]"),
        (b'{"alg":"HS256","kid":KID}', b"null"),
        (b'{"alg":"HS256","kid":KID}', b"\xff\xfe"),
        (b'{"alg":"HS256","kid":KID}', b"[" * 1500),
        (b'{"alg":"HS256","kid":KID}', b'{"exp":' + b"9" * 1500 + b"}"),
        (b'{"alg":"HS256","kid":KID,"x":' + b"[" * 1400, b"{}"),
        (b'{"alg":"HS256","kid":KID,"b64":false,"crit":["b64"]}', b""),
        (b'{"alg":["HS256"],"kid":KID}', b"{}"),
        (b'{"alg":{},"kid":KID}', b"{}"),
        (b'{"alg":"HS256","kid":["a"]}', b"{}"),
        (b'{"alg":"HS256","kid":{}}', b"{}"),
        (b'{"alg":"HS256","kid":null}', b"{}"),
    ],
)
def test_strange_json(
    tokens: TokenService, user: User, login: Login, header: bytes, payload: bytes
) -> None:
    """Whatever JSON stands in a token, even in one signed with our key, it is only refused."""
    kid = jwt.get_unverified_header(tokens.access_token(user, login)[0])["kid"]
    token = raw(header.replace(b"KID", json.dumps(kid).encode()), payload)
    assert problem(tokens, token) == MALFORMED


def test_long_tokens(tokens: TokenService) -> None:
    """A token of more than 4 KB is not read."""
    assert problem(tokens, "a." * 500_000) == MALFORMED


@given(st.text(st.characters(codec=None)) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*"))
def test_any_text(text: str) -> None:
    """Any text but our tokens raises InvalidToken and nothing else."""
    assert problem(TokenService(SECRET, SettableClock()), text) == MALFORMED


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("iss", "aud", "sub", "sid", "iat", "exp", "typ"), _json)
    ),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("alg", "kid", "crit", "b64"), _json)),
)
def test_any_claims(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """Any claims and headers signed with our key raise InvalidToken and nothing else."""
    tokens = TokenService(SECRET, SettableClock())
    user = User(email="a@example.com", display_name="a", password_hash="")
    good, _ = tokens.access_token(user, Login(user_id=user.id))
    payload = {**jwt.decode(good, options={"verify_signature": False}), "jti": 1, **claims}
    token = raw(
        json.dumps({**jwt.get_unverified_header(good), **header}).encode(),
        json.dumps(payload).encode(),
    )
    assert problem(tokens, token) == MALFORMED


def test_short_secret() -> None:
    """A secret below the size of the hash is a wrong configuration."""
    with pytest.raises(ValueError, match="32 bytes"):
        TokenService("short", SettableClock())


def test_secrets_stay_out_of_repr(tokens: TokenService) -> None:
    """Printing the service does not show the key."""
    assert SECRET not in repr(tokens)


def test_opaque_tokens() -> None:
    """Opaque tokens carry 256 random bits behind a prefix and are stored as their SHA-256."""
    made = {new_opaque_token("gqr_") for _ in range(100)}
    assert len(made) == 100
    for text, digest in made:
        assert text.startswith("gqr_")
        assert len(base64.urlsafe_b64decode(text.removeprefix("gqr_") + "=")) == 32
        assert digest == hashlib.sha256(text.encode()).hexdigest() == hash_opaque_token(text)


def test_times_are_utc(tokens: TokenService, user: User, login: Login) -> None:
    """Expiry comes as an aware time in UTC."""
    _, expires_at = tokens.access_token(user, login)
    assert expires_at.tzinfo is UTC
    assert expires_at == datetime(2030, 1, 1, 12, 15, tzinfo=UTC)


def test_ids_are_uuids(tokens: TokenService) -> None:
    """Ids may be any UUID."""
    user = User(id=new_id(), email="a@example.com", display_name="a", password_hash="")
    text, _ = tokens.access_token(user, Login(user_id=user.id))
    assert tokens.read_access_token(text).user_id == user.id
