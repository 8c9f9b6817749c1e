"""A provider of sign-ins: what it publishes, where people are sent, and what it says about them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.discovery import get_well_known_url
from joserfc.jwk import Key

from resolvers.clock import Clock
from resolvers.sign_in.bounded import BoundedTransport, TooLarge
from resolvers.sign_in.configuration import ProviderSettings, is_safe
from resolvers.sign_in.id_token import (
    LEEWAY,
    LOGOUT_LIVES,
    BadIdToken,
    UnknownKey,
    is_subject,
    read_id_token,
    read_keys,
    read_logout_token,
)
from resolvers.sign_in.strength import asked_of, check

METADATA_LIVES: Final = timedelta(hours=1)
# Before a provider that failed is asked again, and before its keys are for a key that is unknown.
ASK_AGAIN: Final = timedelta(seconds=5)
KEYS_AGAIN: Final = timedelta(seconds=30)
_MAX_TEXT: Final = 64 * 1024  # characters of a token


T = TypeVar("T")


class ProviderFailed(Exception):
    """The provider cannot be reached, or its answer cannot be used. The message is for the log; it
    holds no token and nothing that the provider wrote but an error's code."""


class CodeRefused(ProviderFailed):
    """The provider takes neither this code nor this verifier."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is needed of the discovery document (OpenID Connect Discovery, 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    auth_method: str
    tells_issuer: bool
    """It sends `iss` with each code (RFC 9207)."""
    takes_claims: bool
    """It knows the request's parameter `claims` (Core, 5.5)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who has signed in at the provider.

    `sid` is the provider's session, if it says so. `ends_at` is when the login that is made now
    ends in any case.
    """

    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    sid: str | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who has signed out at the provider: a person, one session of theirs, or both, and never
    neither. `token_id` names the token, which counts once until `expires_at`."""

    subject: str | None
    sid: str | None
    token_id: str
    expires_at: datetime


class _Kept(Generic[T]):
    """What a provider has published. Of many that want it at once, one asks, and a failure is
    everybody's for ASK_AGAIN."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asking = asyncio.Lock()
        self._value: T | None = None
        self._since: datetime | None = None
        self._failure = ""
        self._failed_at: datetime | None = None

    async def get(self, lives: timedelta, ask: Callable[[], Awaitable[T]]) -> T:
        """What is known, if it is not older than `lives`, else the answer.

        Raises:
            ProviderFailed
        """
        async with self._asking:
            now = self._clock.now()
            if self._value is not None and self._since and now < self._since + lives:
                return self._value
            if self._failed_at is not None and now < self._failed_at + ASK_AGAIN:
                raise ProviderFailed(self._failure)
            try:
                self._value, self._since = await ask(), now
            except ProviderFailed as error:
                self._failure, self._failed_at = str(error), self._clock.now()
                raise
            return self._value


class Provider:
    """One provider. Every method is safe to call at the same time."""

    def __init__(
        self,
        settings: ProviderSettings,
        clock: Clock,
        *,
        production: bool = False,
        timeout: float = 10.0,
    ) -> None:
        """`timeout`: seconds for what one sign-in asks the provider, each time. Nothing connects
        before the first use."""
        self.settings = settings
        self._clock = clock
        self._production = production
        self._timeout = timeout
        self._transport = BoundedTransport()
        self._metadata: _Kept[Metadata] = _Kept(clock)
        self._keys: _Kept[Sequence[Key]] = _Kept(clock)

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, verifier: str
    ) -> str:
        """Where the person signs in. The URL holds the SHA-256 of the verifier, as PKCE wants it.

        Raises:
            ProviderFailed
        """
        metadata = await self.metadata()
        async with self._client(metadata.auth_method) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=state,
                code_verifier=verifier,
                redirect_uri=redirect_uri,
                nonce=nonce,
                **asked_of(self.settings, takes_claims=metadata.takes_claims),
            )
        return str(url)

    async def exchange(
        self, *, code: str, redirect_uri: str, nonce: str, verifier: str, iss: str | None
    ) -> Person:
        """Who has signed in, for the code that came back.

        Raises:
            CodeRefused: the provider does not know the code, or not with this verifier.
            ProviderFailed: so does everything that cannot be trusted.
            NotEnough: the person has not signed in there as the operator asks for.
        """
        metadata = await self.metadata()
        # RFC 9207, 2.4: a code of another provider must not go to this one.
        if iss != self.settings.issuer and (iss is not None or metadata.tells_issuer):
            raise CodeRefused("the code came from another issuer")
        async with self._asked("token endpoint"), self._client(metadata.auth_method) as client:
            token = await client.fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=verifier,
            )
        access_token, id_token = token.get("access_token"), token.get("id_token")
        if (
            not _is_text(access_token)
            or not _is_text(id_token)
            or str(token.get("token_type", "")).lower() != "bearer"
        ):
            raise ProviderFailed("its token endpoint gave no tokens")
        claims = await self._read(
            partial(read_id_token, id_token, nonce=nonce, access_token=access_token), metadata
        )
        ends_at = check(self.settings, claims, self._clock.now())
        told = await self._with_email(claims, access_token, metadata)
        email, verified = told.get("email"), told.get("email_verified")
        name = claims.get("name", told.get("name"))
        return Person(
            subject=claims["sub"],
            email=email if isinstance(email, str) and email else None,
            # Some write it as a text.
            email_verified=verified is True or verified == "true",
            name=name if isinstance(name, str) else None,
            sid=claims["sid"] if is_subject(claims.get("sid")) else None,
            ends_at=ends_at,
        )

    async def leaving(self, logout_token: str) -> Leaving:
        """Who a logout token is about. Whether it came before is for the caller to know.

        Raises:
            ProviderFailed: the token cannot be trusted, or the keys cannot be had.
        """
        claims = await self._read(partial(read_logout_token, logout_token), await self.metadata())
        ends = claims["iat"] + LOGOUT_LIVES + 2 * LEEWAY
        return Leaving(
            subject=claims.get("sub"),
            sid=claims.get("sid"),
            token_id=claims["jti"],
            expires_at=datetime.fromtimestamp(ends, UTC),
        )

    async def metadata(self) -> Metadata:
        """What the provider publishes, at most an hour old.

        Raises:
            ProviderFailed
        """
        return await self._metadata.get(METADATA_LIVES, self._ask_metadata)

    async def _ask_metadata(self) -> Metadata:
        url = get_well_known_url(self.settings.issuer, external=True)
        return self._read_metadata(await self._get(url, "discovery document"))

    def _read_metadata(self, found: Mapping[str, Any]) -> Metadata:
        if found.get("issuer") != self.settings.issuer:
            raise ProviderFailed("its discovery document is of another issuer")
        endpoints = {}
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            endpoint = found.get(name)
            if endpoint is None and name == "userinfo_endpoint":
                continue
            if not isinstance(endpoint, str) or not is_safe(endpoint, self._production):
                raise ProviderFailed(f"the {name} in its discovery document cannot be used")
            endpoints[name] = endpoint
        methods = found.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise ProviderFailed("it does not know PKCE with S256")
        return Metadata(
            authorization_endpoint=endpoints["authorization_endpoint"],
            token_endpoint=endpoints["token_endpoint"],
            jwks_uri=endpoints["jwks_uri"],
            userinfo_endpoint=endpoints.get("userinfo_endpoint"),
            auth_method=self._auth_method(found.get("token_endpoint_auth_methods_supported")),
            tells_issuer=found.get("authorization_response_iss_parameter_supported") is True,
            takes_claims=found.get("claims_parameter_supported") is True,
        )

    def _auth_method(self, supported: Any) -> str:
        if not self.settings.client_secret:
            return "none"
        if (
            isinstance(supported, list)
            and "client_secret_basic" not in supported
            and "client_secret_post" in supported
        ):
            return "client_secret_post"
        return "client_secret_basic"  # what holds where nothing is said

    async def _read(
        self, read: Callable[..., dict[str, Any]], metadata: Metadata
    ) -> dict[str, Any]:
        """The claims of the token. For a key that is unknown the keys are read once more."""
        for lives in (METADATA_LIVES, KEYS_AGAIN):
            keys = await self._keys.get(lives, partial(self._ask_keys, metadata.jwks_uri))
            try:
                return read(
                    keys=keys,
                    issuer=self.settings.issuer,
                    client_id=self.settings.client_id,
                    now=self._clock.now(),
                )
            except UnknownKey:
                continue
            except BadIdToken as error:
                raise ProviderFailed(f"its token cannot be trusted: {error}") from None
        raise ProviderFailed("its token is signed with a key that it does not publish")

    async def _ask_keys(self, url: str) -> Sequence[Key]:
        try:
            found = await self._get(url, "set of keys")
            return read_keys(found, min_rsa_bits=self.settings.min_rsa_bits)
        except ValueError:
            raise ProviderFailed("its set of keys cannot be read") from None

    async def _with_email(
        self, claims: Mapping[str, Any], access_token: str, metadata: Metadata
    ) -> Mapping[str, Any]:
        """The claims, or what the userinfo endpoint says, if they lack the address."""
        if claims.get("email") or metadata.userinfo_endpoint is None:
            return claims
        told = await self._get(
            metadata.userinfo_endpoint,
            "userinfo endpoint",
            headers={"authorization": f"Bearer {access_token}"},
        )
        # Core, 5.3.2: else it may be of somebody else.
        if told.get("sub") != claims["sub"]:
            raise ProviderFailed("its userinfo endpoint speaks of somebody else")
        return told

    async def _get(
        self, url: str, what: str, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON object at an address."""
        async with (
            self._asked(what),
            httpx2.AsyncClient(transport=self._shared(), timeout=self._timeout) as client,
        ):
            response = await client.get(
                url, headers={"accept": "application/json", **(headers or {})}
            )
        if response.status_code != 200:
            raise ProviderFailed(f"its {what} answers with status {response.status_code}")
        try:
            found = json.loads(response.content)
        except (ValueError, RecursionError):
            raise ProviderFailed(f"its {what} is no JSON") from None
        if not isinstance(found, dict):
            raise ProviderFailed(f"its {what} is no JSON object")
        return found

    def _client(self, auth_method: str) -> AsyncOAuth2Client:
        """A client for one sign-in, as it keeps the tokens that it gets."""
        client = AsyncOAuth2Client(
            self.settings.client_id,
            self.settings.client_secret or None,
            token_endpoint_auth_method=auth_method,
            scope=" ".join(self.settings.scopes),
            code_challenge_method="S256",
            transport=self._shared(),
            timeout=self._timeout,
            follow_redirects=False,
        )
        client.register_compliance_hook("access_token_response", _require_answer)
        return client

    def _shared(self) -> httpx2.AsyncBaseTransport:
        """The transport, which outlives the client that uses it."""
        return _Shared(self._transport)

    @asynccontextmanager
    async def _asked(self, what: str) -> AsyncIterator[None]:
        """Turn whatever goes wrong on the way to the provider into ProviderFailed."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except OAuthError as error:
            code = re.sub(r"[^\w.-]", "?", str(error.error))[:60]
            if code == "invalid_grant":
                raise CodeRefused("it refuses the code") from None
            raise ProviderFailed(f"its {what} answers {code}") from None
        except TooLarge:
            raise ProviderFailed(f"its {what} is too large") from None
        except (TimeoutError, httpx2.TimeoutException):
            raise ProviderFailed(f"its {what} takes too long") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderFailed(f"its {what} cannot be reached: {type(error).__name__}") from None
        except (ValueError, TypeError, RecursionError):
            raise ProviderFailed(f"its {what} gives what cannot be read") from None


class _Shared(httpx2.AsyncBaseTransport):
    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._inner.handle_async_request(request)


def _require_answer(response: httpx2.Response) -> httpx2.Response:
    """Let Authlib read nothing but tokens and errors (RFC 6749, 5): a redirect is neither."""
    if response.status_code not in (200, 400, 401):
        response.raise_for_status()
        raise ValueError("the status is neither of tokens nor of an error")
    return response


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isascii()
