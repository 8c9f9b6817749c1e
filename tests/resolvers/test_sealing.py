"""Secrets that are stored encrypted."""

from __future__ import annotations

import base64
from datetime import timedelta

import pyotp
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.base import new_id
from models.second_factor import SecondFactor
from models.user import User
from resolvers import second_factor
from resolvers.context import Context
from resolvers.errors import SecondFactorRequired
from resolvers.sealed_factors import seal_again
from resolvers.sealing import Seal, Unreadable
from resolvers.tokens import TokenService
from tests.clock import RunningClock
from tests.resolvers.conftest import SECRET

OLD = "an old secret of the server, 2026"
TEXT = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def test_a_seal_is_what_it_says() -> None:
    """AES-256-GCM under HKDF-SHA-256 of the secret, for one owner, with another nonce each time."""
    owner, seal = new_id(), Seal([("new", SECRET)])
    sealed = seal.seal(TEXT, owner)
    version, kid, data = sealed.split(".")
    assert (version, kid) == ("v1", "new")
    raw = base64.urlsafe_b64decode(data)
    key = HKDF(SHA256(), 32, None, b"groundql sealed secrets v1").derive(SECRET.encode())
    assert AESGCM(key).decrypt(raw[:12], raw[12:], owner.bytes) == TEXT.encode()
    assert seal.seal(TEXT, owner) != sealed
    assert len(sealed) <= 200
    assert TEXT not in sealed
    assert SECRET not in repr(seal)
    assert seal.open(sealed, owner) == TEXT


def test_only_its_owner_and_its_key_open_it() -> None:
    """Nor does one that was changed anywhere; one without a seal is given back as it is."""
    owner, seal = new_id(), Seal([("new", SECRET)])
    sealed = seal.seal(TEXT, owner)
    head, data = sealed[:7], sealed[7:]
    broken = [head, head + "!", head + data[:8], head + ("A" if data[0] != "A" else "B") + data[1:]]
    for changed in broken:
        with pytest.raises(Unreadable):
            seal.open(changed, owner)
    with pytest.raises(Unreadable):
        seal.open(sealed, new_id())
    with pytest.raises(Unreadable, match="its key new is not among"):
        Seal([("other", OLD)]).open(sealed, owner)
    with pytest.raises(Unreadable):
        Seal([("new", OLD)]).open(sealed, owner)
    assert seal.open(TEXT, owner) == TEXT


@pytest.mark.anyio
async def test_a_new_key_takes_over(context: Context, anna: User, clock: RunningClock) -> None:
    """What was stored open, or sealed with a former key, is sealed with the present one at a start,
    and the codes of before go on to work. A second start finds nothing to do."""
    now = clock.now()
    row = await SecondFactor.create(user=anna, secret=TEXT, tries_since=now, confirmed_at=now)
    for tokens in (
        TokenService(OLD, clock),
        TokenService(SECRET, clock, former_secrets=[(OLD, now - timedelta(days=1))]),
        context.services.tokens,
    ):
        done = await seal_again(tokens.seal, batch=1)
        assert done == (tokens is not context.services.tokens)
        await row.refresh_from_db()
        assert row.secret.startswith(tokens.seal.prefix)
        assert TEXT not in row.secret
        assert tokens.seal.open(row.secret, anna.id) == TEXT
    await second_factor.require_code(context, anna, pyotp.TOTP(TEXT).at(clock.now()))


@pytest.mark.anyio
async def test_a_lost_key_refuses_codes(
    context: Context, anna: User, clock: RunningClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret stays as it is for when the key is found, no code counts, and the log says so
    without the secret."""
    sealed = TokenService(OLD, clock).seal.seal(TEXT, anna.id)
    now = clock.now()
    row = await SecondFactor.create(user=anna, secret=sealed, tries_since=now, confirmed_at=now)
    assert await seal_again(context.services.tokens.seal) == 0
    await row.refresh_from_db()
    assert row.secret == sealed
    assert "1 second factors cannot be read with this SECRET_KEY" in caplog.text
    with pytest.raises(SecondFactorRequired):
        await second_factor.require_code(context, anna, pyotp.TOTP(TEXT).at(clock.now()))
    assert TEXT not in caplog.text
