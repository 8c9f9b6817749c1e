"""Settings: defaults, refusals, and the key that is made once."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

import server
from resolvers.account_rules import AccountRules, SecondFactorFor
from setting_files import load_secret_key, load_trusted_documents
from settings import (
    Settings,
    SettingsError,
    load_settings,
)
from wiring import create_account_rules


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's environment nor .env takes part."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_everything_has_a_default() -> None:
    """Without any variable the server runs offline on port 8000 with SQLite in ./data."""
    settings = load_settings()
    assert settings.port == 8000
    assert settings.generator == "auto"
    assert settings.retention_days == 30
    assert settings.store_url == f"sqlite://{Path.cwd() / 'data' / 'groundql.db'}"
    assert settings.base_url == "http://localhost:8000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "70000"),
        ("DATABASE_URL", "mysql://host/name"),
        ("SECRET_KEY", "short"),
        ("FORMER_SECRET_KEYS", "0123456789abcdef0123456789abcdef"),
        ("FORMER_SECRET_KEYS", "0123456789abcdef0123456789abcdef@tomorrow"),
        ("FORMER_SECRET_KEYS", "0123456789abcdef0123456789abcdef@2026-12-01"),
        ("FORMER_SECRET_KEYS", "short@2026-12-01T00:00Z"),
        ("FORMER_SIGNING_KEY_FILES", "key.pem"),
        ("FORMER_SIGNING_KEY_FILES", "@2026-12-01T00:00Z"),
        ("GENERATOR", "other"),
        ("SMTP_URL", "http://host"),
        ("SMTP_URL", "smtp://"),
        ("PUBLIC_URL", "chat.example"),
        ("OPENAI_BASE_URL", "ftp://host"),
        ("ALLOWED_ORIGINS", "shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example/path"),
        ("LINK_ALLOW_LIST", "https://shop.example"),
        ("LINK_ALLOW_LIST", "shop.example, *"),
        ("RETENTION_DAYS", "-1"),
        ("LOG_FORMAT", "xml"),
        ("REQUIRE_VERIFIED_EMAIL", "perhaps"),
        ("FIRST_TOKEN_TIMEOUT", "0"),
        ("PASSWORD_FORBIDDEN_WORDS", "shop, a-b"),
        ("SECOND_FACTOR_REQUIRED", "admins"),
        ("STRICT_TOTP", "perhaps"),
        ("LOGIN_DAYS", "0"),
        ("LOGIN_IDLE_DAYS", "nan"),
        ("SIGN_IN_AGAIN_MINUTES", "-1"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The sentence names the variable, and has one line."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    message = str(refused.value)
    assert message.startswith(f"{name} is wrong: ")
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("generator", "missing"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("gemini-legacy", "GEMINI_API_KEY"),
    ],
)
def test_a_provider_needs_its_key(
    monkeypatch: pytest.MonkeyPatch, generator: str, missing: str
) -> None:
    """A generator that is named without its key stops the start."""
    monkeypatch.setenv("GENERATOR", generator)
    with pytest.raises(SettingsError, match=missing):
        load_settings()


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Variables come from .env, and from the environment first."""
    (tmp_path / ".env").write_text("PORT=9001\nHOST=0.0.0.0\nOTHER=ignored\n")
    monkeypatch.setenv("PORT", "9002")
    settings = load_settings()
    assert settings.port == 9002
    assert settings.host == "0.0.0.0"


def test_origins_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins are separated by commas; a slash at the end does not count."""
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, http://b.example:3000/")
    assert load_settings().allowed_origins == ("https://a.example", "http://b.example:3000")


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret is in the representation of the settings."""
    secrets = {
        "SECRET_KEY": "k" * 40,
        "OPENAI_API_KEY": "sk-very-secret",
        "GEMINI_API_KEY": "gm-very-secret",
        "SMTP_URL": "smtp://user:mailsecret@host:25",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    shown = repr(load_settings()) + str(load_settings())
    assert not any(value in shown for value in secrets.values())
    assert "mailsecret" not in shown


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Without SECRET_KEY a random key is kept in DATA_DIR with mode 0600, and used again."""
    settings = load_settings(data_dir=tmp_path / "data")
    key = load_secret_key(settings)
    path = tmp_path / "data" / "secret_key"
    assert len(key) >= 32
    assert path.read_text() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_secret_key(settings) == key
    assert os.listdir(tmp_path / "data") == ["secret_key"]


def test_a_damaged_key_stops_the_start(tmp_path: Path) -> None:
    """A key file that is too short is not used."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").write_text("short")
    with pytest.raises(SettingsError, match="too short"):
        load_secret_key(load_settings(data_dir=tmp_path / "data"))


def test_trusted_documents_are_checked(tmp_path: Path) -> None:
    """A file with a wrong hash stops the start in a sentence."""
    path = tmp_path / "trusted.json"
    settings = Settings(_env_file=None, trusted_documents=path)
    digest = hashlib.sha256(b"{ me { id } }").hexdigest()
    path.write_text(json.dumps({digest: "{ me { id } }"}))
    assert load_trusted_documents(settings) == {digest: "{ me { id } }"}
    assert load_trusted_documents(Settings(_env_file=None)) is None
    for wrong in ('{"abc": "{ me { id } }"}', "[]", "{", '{"abc": 1}'):
        path.write_text(wrong)
        with pytest.raises(SettingsError, match="TRUSTED_DOCUMENTS"):
            load_trusted_documents(settings)
    path.unlink()
    with pytest.raises(SettingsError, match="TRUSTED_DOCUMENTS"):
        load_trusted_documents(settings)


def test_the_rules_of_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default nothing is asked of a newcomer; each setting reaches its rule."""
    assert create_account_rules(load_settings()) == AccountRules()
    for name, value in {
        "SECOND_FACTOR_REQUIRED": "editors",
        "STRICT_TOTP": "true",
        "LOGIN_DAYS": "0.5",
        "LOGIN_IDLE_DAYS": "0.02",
        "SIGN_IN_AGAIN_MINUTES": "10",
    }.items():
        monkeypatch.setenv(name, value)
    assert create_account_rules(load_settings()) == AccountRules(
        login_lifetime=timedelta(hours=12),
        login_idle=timedelta(days=0.02),
        fresh_login=timedelta(minutes=10),
        second_factor_for=SecondFactorFor.EDITORS,
        strict_totp=True,
    )


def test_a_missing_file_of_stolen_passwords_stops_every_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is made: no folder, no database."""
    monkeypatch.setenv("BREACHED_PASSWORDS", "gone.txt")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef0123456789abcdeX")
    for command in ("migrate", "serve", "create-admin a@b.example"):
        assert server.main(command.split()) == 2
    said = capsys.readouterr()
    assert "BREACHED_PASSWORDS gone.txt cannot be used: No such file" in said.out + said.err
    assert not (tmp_path / "data").exists()
