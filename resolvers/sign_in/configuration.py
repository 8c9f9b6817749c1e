"""What the operator says about providers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# A scheme of one's own (RFC 8252, 7.1) has a dot; what a browser would run has none.
_OWN_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]")
_MAX_PROVIDERS: Final = 20
_TEXTS: Final = ("issuer", "client_id", "client_secret", "client_secret_file", "label")
_LISTS: Final = ("required_acr", "required_amr")
# Members that are whole numbers, with the least and the most of each.
_NUMBERS: Final = {
    "max_age": (60, 31_536_000),
    "login_seconds": (60, 31_536_000),
    "min_rsa_bits": (2048, 8192),
}
_SWITCHES: Final = ("link_verified_email", "assume_email_verified")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider. Without a secret the client is a public one, with PKCE alone.

    `link_verified_email`: an address that the provider has verified signs in to the account here
    that has confirmed the same address. `assume_email_verified`: its addresses count as verified
    though it does not say so, for new accounts only.

    `required_acr`: one of these must be the `acr` of the ID token. `required_amr`: all of these
    must be among its `amr`. `max_age`: seconds since the person has signed in there, at most.
    `login_seconds`: a login here ends so long after that, however much it is used.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    label: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    link_verified_email: bool = False
    assume_email_verified: bool = False
    required_acr: tuple[str, ...] = ()
    required_amr: tuple[str, ...] = ()
    max_age: int | None = None
    login_seconds: int | None = None
    min_rsa_bits: int = 2048

    @property
    def oldest_sign_in(self) -> int | None:
        """Seconds since the person has signed in at the provider, at most; None: it may be any
        time ago."""
        limits = [one for one in (self.max_age, self.login_seconds) if one is not None]
        return min(limits, default=None)


def read_providers(text: str, *, production: bool) -> tuple[ProviderSettings, ...]:
    """The providers in OIDC_PROVIDERS: a JSON object of name to provider.

    Raises:
        ValueError: a sentence for the operator, without what was written there: it holds secrets.
    """
    if not text.strip():
        return ()
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError("it cannot be read as JSON") from None
    if not isinstance(found, dict) or len(found) > _MAX_PROVIDERS:
        raise ValueError(f"it must be an object of at most {_MAX_PROVIDERS} names to providers")
    return tuple(_read(name, one, production=production) for name, one in found.items())


def _read(name: str, found: Any, *, production: bool) -> ProviderSettings:
    if not _NAME.fullmatch(name):
        raise ValueError("a provider's name has 1 to 40 of a-z, 0-9, - and _")
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be an object")
    if unknown := sorted(found.keys() - {*_TEXTS, *_SWITCHES, *_LISTS, *_NUMBERS, "scopes"}):
        raise ValueError(f"{name} has {unknown[0]}, which is no setting of a provider")
    for key in _TEXTS:
        if not isinstance(found.get(key, ""), str):
            raise ValueError(f"{key} of {name} must be a text")
    for key in _SWITCHES:
        if not isinstance(found.get(key, False), bool):
            raise ValueError(f"{key} of {name} must be true or false")
    for key in _LISTS:
        if not _is_list_of_words(found.get(key, [])):
            raise ValueError(f"{key} of {name} must be a list of texts without blanks")
    for key, (least, most) in _NUMBERS.items():
        number = found.get(key, least)
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"{key} of {name} must be a whole number from {least} to {most}")
    scopes = found.get("scopes", ["openid", "email", "profile"])
    if not _is_list_of_words(scopes) or "openid" not in scopes:
        raise ValueError(f"scopes of {name} must be a list of texts with openid among them")
    issuer, client_id = found.get("issuer", ""), found.get("client_id", "")
    if not client_id:
        raise ValueError(f"client_id of {name} is missing")
    if len(issuer) > 500 or "?" in issuer or "#" in issuer or not is_safe(issuer, production):
        raise ValueError(
            f"issuer of {name} must be an address with https://; outside PRODUCTION, http:// with "
            "127.0.0.1, ::1 or localhost will do"
        )
    return ProviderSettings(
        name=name,
        issuer=issuer,
        client_id=client_id,
        client_secret=_secret(name, found),
        label=found.get("label", "") or name,
        scopes=tuple(scopes),
        link_verified_email=found.get("link_verified_email", False),
        assume_email_verified=found.get("assume_email_verified", False),
        required_acr=tuple(found.get("required_acr", ())),
        required_amr=tuple(found.get("required_amr", ())),
        max_age=found.get("max_age"),
        login_seconds=found.get("login_seconds"),
        min_rsa_bits=found.get("min_rsa_bits", 2048),
    )


def _is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(word, str) and word and not _UNSAFE.search(word) for word in value
    )


def _secret(name: str, found: dict[str, Any]) -> str:
    secret: str = found.get("client_secret", "")
    file: str = found.get("client_secret_file", "")
    if not file:
        return secret
    if secret:
        raise ValueError(f"{name} has client_secret and client_secret_file; one is enough")
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise ValueError(f"client_secret_file of {name} cannot be read") from None
    if not secret:
        raise ValueError(f"client_secret_file of {name} is empty")
    return secret


def is_safe(url: str, production: bool) -> bool:
    """Whether what is sent to an address can be read there alone: https, or this machine itself
    outside PRODUCTION."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or _UNSAFE.search(url):
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and not production and _is_loopback(host)
    )


def check_redirects(uris: tuple[str, ...]) -> None:
    """Refuse addresses that a code must not be sent to.

    Raises:
        ValueError: a sentence for the operator.
    """
    for uri in uris:
        try:
            parts = urlsplit(uri)
            host = parts.hostname
        except ValueError:
            parts, host = urlsplit(""), None
        web = parts.scheme == "https" and host
        # A program of one's own listens on the person's machine, also in production: RFC 8252, 7.3.
        local = parts.scheme == "http" and host and _is_loopback(host)
        if (
            len(uri) > 2000
            or parts.fragment
            or _UNSAFE.search(uri)
            or not (web or local or _OWN_SCHEME.fullmatch(parts.scheme))
        ):
            raise ValueError(
                "each must be an address with https://, http:// with 127.0.0.1, ::1 or localhost, "
                "or a scheme such as com.example.app:/"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
