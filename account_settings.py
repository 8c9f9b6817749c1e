"""The settings about accounts: which passwords are accepted, and how people log in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from resolvers.forbidden_words import MIN_LETTERS, compact


class AccountSettings(BaseSettings):
    """A part of `Settings`."""

    require_verified_email: bool = Field(
        False, description="Refuse the login until the address is verified."
    )
    refresh_grace: float = Field(
        10.0,
        ge=0,
        le=60,
        description="Seconds in which a used refresh token gives the same pair again, for a client "
        "that lost the answer. After that, or once the new one was used, it ends the login.",
    )
    mails_per_mailbox: int = Field(
        10, ge=1, le=1_000, description="Mails about accounts to one address per hour."
    )
    mails_per_network: int = Field(
        300,
        ge=1,
        le=1_000_000,
        description="Mails about accounts that one network address may ask for per hour.",
    )
    address_sign_ins_per_minute: int = Field(
        60,
        ge=0,
        description="Sign-ins by other providers that one network address may begin in a minute; "
        "0: no limit.",
    )
    changes_per_hour: int = Field(
        5_000,
        ge=0,
        description="Changes of accounts, rights and shares, logins among them, that a user may "
        "make in an hour: each is a security event. 0: no limit.",
    )
    provider_logouts_per_minute: int = Field(
        600,
        ge=0,
        description="Back-channel logouts that may come from one address in a minute; 0: no limit.",
    )
    audit_retention_days: int = Field(
        365,
        ge=0,
        le=36_500,
        description="Days after which a security event is deleted; 0 keeps all. The database "
        "itself refuses to delete one that is younger than 30 days.",
    )
    oidc_providers: SecretStr = Field(
        SecretStr(""),
        description="Providers of OpenID Connect: a JSON object of name to issuer, client_id, "
        "client_secret or client_secret_file; see docs/accounts.md. Empty: none.",
    )
    oidc_redirect_uris: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses of front ends that people come back to from a provider, separated "
        "by commas, such as https://shop.example/signed-in. Each must be exactly the same.",
    )
    password_forbidden_words: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Words that a password must not be made of, separated by commas: company, "
        "products, places. GroundQL and the names in EMAIL_FROM and PUBLIC_URL always count.",
    )
    breached_passwords: Path | None = Field(
        None,
        description="File of passwords that were stolen somewhere, which nobody may choose: sorted "
        "lines of SHA-1, colon and count, as Pwned Passwords has them; see docs/accounts.md. "
        "Empty: the list of common ones alone.",
    )
    second_factor_required: Literal["nobody", "editors", "everyone"] = Field(
        "nobody",
        description="Who needs a second factor: nobody, editors (and administrators), or everyone. "
        "Who has none can log in and set it up, nothing else.",
    )
    strict_totp: bool = Field(
        False,
        description="Accept only the code that an authenticator app shows at this moment. Else the "
        "one before and the one after count, too, as clocks differ.",
    )
    login_days: float = Field(
        90.0,
        ge=0.01,
        le=3_650,
        description="Days after which a login ends in any case, however much it is used.",
    )
    login_idle_days: float = Field(
        30.0, ge=0.01, le=3_650, description="Days without use after which a login ends."
    )
    sign_in_again_minutes: int = Field(
        0,
        ge=0,
        le=1_440,
        description="Minutes after a login in which it may end other logins, make a key for a "
        "program and unlink a provider. After them the person logs in again first. 0: no limit.",
    )

    @field_validator("password_forbidden_words", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("password_forbidden_words")
    @classmethod
    def _check_words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if len(compact(word)) < MIN_LETTERS:
                raise ValueError(f"{word!r} has fewer than {MIN_LETTERS} letters and digits")
        return value
