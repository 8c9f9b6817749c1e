"""Keys for programs: shown once, kept as a hash, with scopes and an end."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from models.api_key import ApiKey, ApiScope
from models.base import new_id
from models.login import Login
from resolvers.clock import Clock
from resolvers.errors import InvalidInput
from resolvers.tokens import KEY_PREFIX, hash_opaque_token
from texts import fill

log = logging.getLogger("groundql.accounts")

MAX_KEYS: Final = 50
MAX_NAME: Final = 100
MAX_DAYS: Final = 365
# How exactly the last use is known: a write for each request would be too much.
USE_STEP: Final = timedelta(minutes=1)

_SECRET_BYTES = 32
_LENGTH = len(KEY_PREFIX) + (16 + _SECRET_BYTES) * 4 // 3


def new_key(login_id: UUID) -> str:
    """The text of a key: the login's id and 256 random bits."""
    raw = login_id.bytes + secrets.token_bytes(_SECRET_BYTES)
    return KEY_PREFIX + base64.urlsafe_b64encode(raw).decode()


def login_of_key(text: str) -> UUID | None:
    """The login that the text of a key names; whether it is a key at all is not checked."""
    if len(text) != _LENGTH or not text.startswith(KEY_PREFIX):
        return None
    try:
        raw = base64.b64decode(text[len(KEY_PREFIX) :], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return UUID(bytes=raw[:16])


async def find_key(clock: Clock, text: str) -> ApiKey | None:
    """The key with its login and its person, if it can be used; notes the use."""
    if login_of_key(text) is None:
        return None
    key = await ApiKey.get_or_none(key_hash=hash_opaque_token(text)).select_related(
        "login", "login__user"
    )
    now = clock.now()
    if key is None or key.login.revoked_at is not None or key.login.expires_at <= now:
        return None
    if key.last_used_at is None or key.last_used_at <= now - USE_STEP:
        await ApiKey.filter(id=key.id).update(last_used_at=now)
    return key


def check_wish(name: str, scopes: Collection[ApiScope], days: int) -> str:
    """The name without blanks around it.

    Raises:
        InvalidInput: name, scopes or expiresInDays.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput("name", fill("A name has 1 to {maximum} characters.", maximum=MAX_NAME))
    if not scopes:
        raise InvalidInput("scopes", "A key needs at least one scope.")
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(
            "expiresInDays", fill("A key works for 1 to {maximum} days.", maximum=MAX_DAYS)
        )
    return name


async def create_key_row(
    user_id: UUID, name: str, scopes: Collection[ApiScope], now: datetime, expires_at: datetime
) -> tuple[str, ApiKey]:
    """The key's text and its row; call it in a transaction."""
    login = await Login.create(
        id=new_id(),
        user_id=user_id,
        is_key=True,
        last_used_at=now,
        expires_at=expires_at,
        user_agent=f"API key {name}",
    )
    text = new_key(login.id)
    row = await ApiKey.create(
        user_id=user_id,
        login=login,
        name=name,
        key_hash=hash_opaque_token(text),
        hint=text[-4:],
        scopes=sorted({scope.value for scope in scopes}),
    )
    return text, row
