from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from jobs.expired_tokens import DeletedRows, delete_expired_tokens
from models.email_token import EmailPurpose, EmailToken
from models.login import Login, RefreshToken
from models.outbox_mail import OutboxMail
from models.sign_in import SignInFlow
from models.store import Store
from models.user import User
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def user(store: Store) -> User:
    return await User.create(email="a@example.com", display_name="a", password_hash="")


async def test_expired_tokens(
    store: Store, clock: SettableClock, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """What has expired goes, what is used but could still come back stays; the log counts."""
    now = clock.now()
    login = await Login.create(user=user, last_used_at=now, expires_at=now + timedelta(days=30))
    for number, hours in enumerate((-1, 0, 1)):
        for used_at in (None, now - timedelta(days=5)):
            key = f"{number}{bool(used_at)}"
            expires_at = now + timedelta(hours=hours)
            await EmailToken.create(
                user=user,
                purpose=EmailPurpose.VERIFY,
                email=user.email,
                token_hash=key,
                expires_at=expires_at,
                used_at=used_at,
            )
            await RefreshToken.create(
                login=login, token_hash=key, expires_at=expires_at, used_at=used_at
            )
    with caplog.at_level(logging.INFO, logger="groundql.jobs"):
        deleted = await delete_expired_tokens(store, clock, batch=3)
    assert deleted == DeletedRows(email_tokens=4, refresh_tokens=4, logins=0, mails=0)
    for table in (EmailToken, RefreshToken):
        left = await table.all().order_by("token_hash")
        assert [row.token_hash for row in left] == ["2False", "2True"]
    assert caplog.messages == [
        "Expired rows deleted: 4 mail tokens, 4 refresh tokens, 0 logins, 0 mails, 0 tries"
    ]
    assert await delete_expired_tokens(store, clock) == DeletedRows(0, 0, 0, 0)


async def test_expired_sign_ins(store: Store, clock: SettableClock, user: User) -> None:
    """Who did not come back from a provider in time is forgotten, used or not."""
    for number, seconds in enumerate((-1, 0, 1)):
        await SignInFlow.create(
            flow_hash=str(number),
            state_hash="",
            provider="keycloak",
            issuer="https://id.example",
            redirect_uri="https://shop.example/",
            verifier="",
            nonce="",
            linking_user=user,
            used_at=clock.now() if number else None,
            expires_at=clock.now() + timedelta(seconds=seconds),
        )
    deleted = await delete_expired_tokens(store, clock, batch=1)
    assert deleted == DeletedRows(0, 0, 0, 0, sign_ins=2)
    assert [row.flow_hash for row in await SignInFlow.all()] == ["2"]


async def test_ended_logins(store: Store, clock: SettableClock, user: User) -> None:
    """A login goes with its refresh tokens 30 days after it ended."""
    now = clock.now()

    async def login(*, expires: float, revoked: float | None = None) -> Login:
        row = await Login.create(
            user=user,
            last_used_at=now,
            expires_at=now + timedelta(days=expires),
            revoked_at=None if revoked is None else now + timedelta(days=revoked),
        )
        await RefreshToken.create(
            login=row, token_hash=str(row.id), expires_at=now + timedelta(days=1)
        )
        return row

    kept = [
        await login(expires=30),
        await login(expires=-29),
        await login(expires=30, revoked=-29),
    ]
    await login(expires=-30)
    await login(expires=30, revoked=-30)
    assert (await delete_expired_tokens(store, clock, batch=1)).logins == 2
    assert await Login.all().order_by("id") == kept
    assert await RefreshToken.all().count() == 3


async def test_old_mails(store: Store, clock: SettableClock) -> None:
    """Mails go 30 days after they were sent or given up; those that wait stay."""
    now = clock.now()
    old, recent = now - timedelta(days=30), now - timedelta(days=29)

    async def mail(to: str, **times: Any) -> None:
        await OutboxMail.create(to=to, subject="s", text="", html="", **times)

    await mail("sent long ago", sent_at=old)
    await mail("given up long ago", failed_at=old)
    await mail("sent", sent_at=recent)
    await mail("given up", failed_at=recent)
    await mail("waits", next_attempt_at=old)
    assert (await delete_expired_tokens(store, clock)).mails == 2
    left = await OutboxMail.all().order_by("id")
    assert [row.to for row in left] == ["sent", "given up", "waits"]
