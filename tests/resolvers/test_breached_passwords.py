"""Stolen passwords in a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resolvers.breached_passwords import BreachedFileError, BreachedPasswords
from resolvers.errors import InvalidInput, Unavailable
from resolvers.password_rules import PasswordRules
from settings import SettingsError
from tests.application import test_settings
from wiring import create_password_rules

STOLEN = [f"stolen password {number}" for number in range(3_000)]
SHAPE = "its lines must be a SHA-1 in upper case, a colon and a number, sorted"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


def written(path: Path, passwords: list[str], *, end: str = "\r\n", last: str = "") -> Path:
    """A file as Pwned Passwords has it; the counts have one to nine digits."""
    lines = sorted(f"{sha1(one)}:{10 ** (number % 9)}" for number, one in enumerate(passwords))
    path.write_bytes((end.join(lines) + last).encode())
    return path


@pytest.mark.parametrize(
    ("end", "last"), [("\r\n", "\r\n"), ("\n", "\n"), ("\r\n", ""), ("\n", "")]
)
@pytest.mark.parametrize("number", [1, 2, 3, 7, 500])
def test_each_is_found_and_no_other(tmp_path: Path, end: str, last: str, number: int) -> None:
    """The first and the last line, too, with either end of a line, and with one line alone."""
    breached = BreachedPasswords(written(tmp_path / "f", STOLEN[:number], end=end, last=last))
    try:
        assert all(one in breached for one in STOLEN[:number])
        assert not any(one in breached for one in STOLEN[number:1500])
        assert "" not in breached
    finally:
        breached.close()


def test_it_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search in 3,000 lines takes at most 14 reads of 110 bytes, wherever the line is."""
    breached = BreachedPasswords(written(tmp_path / "f", STOLEN))
    reads: list[int] = []
    pread = os.pread

    def counting(file: int, size: int, at: int) -> bytes:
        reads.append(size)
        return pread(file, size, at)

    monkeypatch.setattr(os, "pread", counting)
    try:
        most = 0
        for password in [*STOLEN[::50], "another one", "and another"]:
            reads.clear()
            assert (password in breached) == (password in STOLEN)
            most = max(most, len(reads))
            assert set(reads) == {110}
        assert 10 <= most <= 14
    finally:
        breached.close()


def _reversed(path: Path) -> None:
    written(path, STOLEN[:300])
    path.write_bytes(b"\n".join(reversed(path.read_bytes().split(b"\r\n"))))


def _by_count(path: Path) -> None:
    path.write_text("\n".join(f"{sha1(one)}:{9000 - n}" for n, one in enumerate(STOLEN)))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "No such file or directory"),
    "folder": (Path.mkdir, "it is not a file"),
    "empty": (Path.touch, "it is empty"),
    "words": (lambda path: path.write_text("password\n123456\n"), SHAPE),
    "ntlm": (lambda path: path.write_text(f"{'A' * 32}:3\n"), SHAPE),
    "lower": (lambda path: path.write_text(f"{sha1('x').lower()}:3\n"), SHAPE),
    "no count": (lambda path: path.write_text(f"{sha1('x')}\n"), SHAPE),
    "empty line": (lambda path: path.write_text(f"{sha1('x')}:1\n\n"), SHAPE),
    "zipped": (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + os.urandom(5_000)), SHAPE),
    "long line": (lambda path: path.write_text(f"{sha1('x')}:{'1' * 500}\n"), SHAPE),
    "reversed": (_reversed, "its lines are not sorted by their SHA-1"),
    "by count": (_by_count, "its lines are not sorted by their SHA-1"),
    "twice": (
        lambda path: path.write_text(f"{sha1('x')}:1\n{sha1('x')}:1\n"),
        "its lines are not sorted by their SHA-1",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_stops_the_start(tmp_path: Path, kind: str) -> None:
    """In one sentence, which names the setting, the file and what is wrong."""
    path = tmp_path / "pwned.txt"
    make, reason = WRONG[kind]
    make(path)
    settings = test_settings(tmp_path, "sqlite://x", breached_passwords=path)
    with pytest.raises(SettingsError) as refused:
        create_password_rules(settings)
    assert str(refused.value) == f"BREACHED_PASSWORDS {path} cannot be used: {reason}."


async def test_the_rules_refuse_it(anyio_backend: str, tmp_path: Path) -> None:
    """A stolen password is refused as input, composed or not; others are accepted, and without the
    file it would be, too."""
    path = written(tmp_path / "f", [*STOLEN, "caf\u00e9 con leche"])
    settings = test_settings(tmp_path, "sqlite://x", breached_passwords=path)
    rules = create_password_rules(settings)
    try:
        for password in (STOLEN[7], "cafe\u0301 con leche"):
            with pytest.raises(InvalidInput) as caught:
                await rules.check(password, "a@b.example")
            assert caught.value.field == "password"
            assert caught.value.message.startswith("This password was stolen somewhere")
            await PasswordRules().check(password, "a@b.example")
        await rules.check("a sentence of mine", "a@b.example")
    finally:
        rules.close()


async def test_a_file_that_breaks_later(
    anyio_backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it cannot be read any more no password is accepted unseen; the log says why, the person
    that it is nobody's fault of theirs. A file that is moved away goes on to be read."""
    path = written(tmp_path / "f", STOLEN)
    rules = PasswordRules(breached=BreachedPasswords(path))
    try:
        path.rename(tmp_path / "g")
        await rules.check("a sentence of mine", "a@b.example")
        (tmp_path / "g").write_bytes(b"x" * 200_000)
        with pytest.raises(Unavailable) as caught:
            await rules.check("a sentence of mine", "a@b.example")
        assert caught.value.message == (
            "Passwords cannot be checked at the moment; please try again later."
        )
        assert "BREACHED_PASSWORDS cannot be read: its lines must be" in caplog.text
        assert "sentence" not in caplog.text
    finally:
        rules.close()


def test_what_was_opened_is_closed(tmp_path: Path) -> None:
    """Also a file that is refused."""
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for number in range(20):
        path = tmp_path / str(number)
        path.write_text("nonsense")
        with pytest.raises(BreachedFileError):
            BreachedPasswords(path)
        BreachedPasswords(written(path, STOLEN[:3])).close()
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before
