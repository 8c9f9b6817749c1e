"""A provider of OpenID Connect for tests, over HTTP on 127.0.0.1.

It checks what a real one checks: the client's secret, that a code is used once, its redirect
address, and PKCE with S256. It signs with real keys. Tests make it lie by changing what it says:
`discovery`, `claims`, `header` and the hooks of `Provider`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx
import uvicorn
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from resolvers.sign_in.configuration import ProviderSettings
from resolvers.sign_in.id_token import _REGISTRY, LOGOUT_EVENT
from tests.application import _Server
from tests.clock import SettableClock

CLIENT = "groundql"
CLIENT_SECRET = "the client's secret"
REDIRECT = "https://shop.example/signed-in"


@lru_cache(maxsize=1)
def rsa_key() -> RSAKey:
    """Made once: it takes a tenth of a second."""
    return RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})


def signing_keys() -> dict[str, Key]:
    """A key for each algorithm."""
    return {
        "RS256": rsa_key(),
        "PS256": rsa_key(),
        "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
        "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "okp"}),
        "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "okp2"}),
    }


def sign(header: dict[str, Any], claims: Any, key: Key | bytes) -> str:
    """A token, of whatever algorithm the header names; also those that nobody should accept."""
    payload = json.dumps(claims).encode()
    if header.get("alg") in ("none", "HS256"):
        first = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
        text = first + b"." + base64.urlsafe_b64encode(payload).rstrip(b"=")
        if header["alg"] == "none":
            return text.decode() + "."
        # By hand: the library refuses to take a public key for a secret, as an attacker does.
        assert isinstance(key, bytes)
        last = base64.urlsafe_b64encode(hmac.digest(key, text, "sha256")).rstrip(b"=")
        return (text + b"." + last).decode()
    assert not isinstance(key, bytes)
    return jws.serialize_compact(header, payload, key, registry=_REGISTRY)


def logout_claims(provider: OpenIdProvider, **who: Any) -> dict[str, Any]:
    """What a right logout token says; `who` is sub, sid or both."""
    now = int(provider.clock.time.timestamp())
    return {
        "iss": provider.issuer,
        "aud": CLIENT,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_urlsafe(16),
        "events": {LOGOUT_EVENT: {}},
        **who,
    }


@dataclass
class _Code:
    redirect_uri: str
    challenge: str
    nonce: str
    claims: dict[str, Any]


@dataclass(frozen=True)
class Return:
    """What stands in the address that the person comes back to."""

    url: str
    state: str
    code: str
    iss: str | None


@dataclass
class OpenIdProvider:
    """`claims` is what it says about whoever signs in next."""

    issuer: str
    clock: SettableClock
    key: Key = field(default_factory=rsa_key)
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "rsa"})
    claims: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "248289761001",
            "email": "olga@example.com",
            "email_verified": True,
            "name": "Olga Petrowa",
        }
    )
    discovery: dict[str, Any] = field(default_factory=dict)
    """Members that are other than they should be; None takes one away."""
    userinfo: dict[str, Any] | None = None
    tells_issuer: bool = True
    published: list[Key] | None = None
    lie: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    """What becomes of the claims of an ID token."""
    make_token: Callable[[dict[str, Any]], str] | None = None
    answer: dict[str, Callable[[], Any]] = field(default_factory=dict)
    """By path: what is answered instead, a Response or an awaitable of one."""
    asked: list[str] = field(default_factory=list)
    secret: str = CLIENT_SECRET
    _codes: dict[str, _Code] = field(default_factory=dict)
    _access: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self, name: str = "keycloak", **changes: Any) -> ProviderSettings:
        """What the operator writes about it."""
        values = {"client_id": CLIENT, "client_secret": self.secret, "label": "Keycloak", **changes}
        return ProviderSettings(name=name, issuer=self.issuer, **values)

    # ---- what is served --------------------------------------------------------------------------

    async def serve(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.answer:
            answer = self.answer[path]()
            return answer if isinstance(answer, Response) else await answer
        match path:
            case "/.well-known/openid-configuration":
                return JSONResponse(self.document())
            case "/jwks":
                keys = self.published if self.published is not None else [self.key]
                return JSONResponse({"keys": [key.as_dict(private=False) for key in keys]})
            case "/authorize":
                return self._authorize(request)
            case "/token":
                return await self._token(request)
            case "/userinfo":
                return self._userinfo(request)
        return Response(status_code=404)

    def document(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": self.tells_issuer,
            **self.discovery,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        if (asked["client_id"], asked["redirect_uri"]) != (CLIENT, REDIRECT):
            return Response("unknown client or address", status_code=400)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["scope"].split()[0] == "openid"
        code = secrets.token_urlsafe(16)
        self._codes[code] = _Code(
            asked["redirect_uri"], asked["code_challenge"], asked["nonce"], dict(self.claims)
        )
        back = {"code": code, "state": asked["state"]}
        if self.tells_issuer:
            back["iss"] = self.issuer
        return RedirectResponse(f"{REDIRECT}?{urlencode(back)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        if not self._is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        assert form["grant_type"] == "authorization_code"
        code = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            code is None
            or code.redirect_uri != form.get("redirect_uri")
            or not secrets.compare_digest(code.challenge, challenge)
        ):
            return JSONResponse(
                {"error": "invalid_grant", "error_description": "\x1b[31mno"}, status_code=400
            )
        access_token = secrets.token_urlsafe(16)
        self._access[access_token] = code.claims
        return JSONResponse(
            {
                "access_token": access_token,
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self.id_token(code, access_token),
            },
            headers={"cache-control": "no-store"},
        )

    def _is_client(self, request: Request, form: dict[str, str]) -> bool:
        if not self.secret:
            return form.get("client_id") == CLIENT and "authorization" not in request.headers
        given = (form.get("client_id"), form.get("client_secret"))
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, word = base64.b64decode(rest).decode().partition(":")
            given = (unquote(name), unquote(word))
        return given == (CLIENT, self.secret)

    def id_token(self, code: _Code, access_token: str) -> str:
        now = int(self.clock.time.timestamp())
        size = 64 if self.header["alg"] in ("EdDSA", "Ed25519") else 32
        digest = (hashlib.sha512 if size == 64 else hashlib.sha256)(access_token.encode()).digest()
        claims = self.lie(
            {
                "iss": self.issuer,
                "aud": CLIENT,
                "exp": now + 300,
                "iat": now,
                "nonce": code.nonce,
                "at_hash": base64.urlsafe_b64encode(digest[: size // 2]).rstrip(b"=").decode(),
                **code.claims,
            }
        )
        if self.make_token is not None:
            return self.make_token(claims)
        return sign(self.header, claims, self.key)

    def _userinfo(self, request: Request) -> Response:
        _, _, token = request.headers.get("authorization", "").partition(" ")
        if token not in self._access:
            return Response(status_code=401)
        return JSONResponse(self.userinfo or self._access[token])

    # ---- the person ------------------------------------------------------------------------------

    async def visit(self, url: str) -> Return:
        """What a person's browser does: open the address, sign in, and come back."""
        assert url.startswith(f"{self.issuer}/authorize?")
        async with httpx.AsyncClient(verify=False) as browser:
            response = await browser.get(url)
        assert response.status_code == 302, response.text
        back = response.headers["location"]
        found = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
        return Return(back, found["state"], found["code"], found.get("iss"))


@asynccontextmanager
async def running_provider(clock: SettableClock) -> AsyncIterator[OpenIdProvider]:
    """Serve a provider until the block ends."""
    provider = OpenIdProvider("", clock)
    app = Starlette(
        routes=[Route("/{path:path}", provider.serve, methods=["GET", "POST"])],
    )
    server = _Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the provider did not start"
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    provider.issuer = f"http://127.0.0.1:{port}"
    try:
        yield provider
    finally:
        for running in server.server_state.tasks:
            running.cancel()  # one that never answers
        server.ending.set()
        await task
