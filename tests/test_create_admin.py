"""`server.py create-admin`."""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path

import pytest

import commands
import server
from models.security_event import SecurityEvent
from models.store import Store
from models.user import Role, User
from tests.application import PASSWORD, test_settings

pytestmark = pytest.mark.anyio


def never() -> str:
    raise AssertionError("no password is needed")


async def test_the_first_admin(
    empty_sqlite: Path, tmp_path: Path, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an account one is made, confirmed and with a hashed password; an account that is
    there becomes ADMIN without one; what is wrong is told, and changes nothing."""
    shutil.copy(empty_sqlite, tmp_path / "test.db")
    settings = test_settings(tmp_path, f"sqlite://{tmp_path / 'test.db'}")
    with caplog.at_level(logging.DEBUG, logger="groundql"):
        assert await commands.create_admin(settings, "Adam@Example.com", lambda: PASSWORD) == 0
    assert await commands.create_admin(settings, "not an address", never) == 2
    assert await commands.create_admin(settings, "eve@example.com", lambda: "short") == 2
    store = Store(settings.store_url)
    await store.open()
    adam = await User.get()
    assert (adam.email, adam.role) == ("adam@example.com", Role.ADMIN)
    assert adam.email_verified_at is not None
    assert adam.password_hash.startswith("$argon2id$")
    assert PASSWORD not in caplog.text
    await User.filter(id=adam.id).update(role=Role.USER)
    await store.close()
    assert await commands.create_admin(settings, "adam@example.com", never) == 0
    await store.open()
    assert (await User.get()).role is Role.ADMIN
    events = await SecurityEvent.all().order_by("id")
    assert [(one.kind, one.detail, one.concerns_id) for one in events] == [
        ("REGISTERED", "as ADMIN", adam.id),
        ("ROLE_CHANGED", "USER to ADMIN", adam.id),
    ]
    assert all(one.device.startswith("server.py create-admin, by ") for one in events)
    await store.close()


def test_a_password_comes_through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line, as it is but for the end of the line."""
    monkeypatch.setattr("sys.stdin", io.StringIO(" secret words \nmore"))
    assert server._ask_password() == " secret words "
