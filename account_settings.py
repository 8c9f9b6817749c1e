"""The settings about accounts: which passwords are accepted, and how logins are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
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
