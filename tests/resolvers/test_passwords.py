from __future__ import annotations

import asyncio
import threading
import time

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers import passwords
from resolvers.errors import InvalidInput
from resolvers.passwords import PasswordHasher, check_password

EMAIL = "anna.berg@example.com"


@pytest.mark.parametrize(
    "password",
    [
        "kranich7",
        "k" * 128,
        "correct horse battery staple",
        " leading and trailing ",
        "пароль из слов",
        "合言葉は山と川です",
        "🦊🦊🦊🦊🐻🐻🐻🐻",
        "e\u0301" * 128,  # 128 characters when composed
        "anna.berg@example.org",
    ],
)
def test_accepts(password: str) -> None:
    """Every script, spaces and emoji are welcome between 8 and 128 characters."""
    check_password(password, EMAIL)


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "The password must have at least 8 characters."),
        ("kranich", "The password must have at least 8 characters."),
        ("🦊" * 7, "The password must have at least 8 characters."),
        ("e\u0301" * 7, "The password must have at least 8 characters."),
        ("k" * 129, "The password must have at most 128 characters."),
        ("k" * 1_000_000, "The password must have at most 128 characters."),
        (
            "12345678",
            "This password is among the most common ones; please choose another.",
        ),
        (
            "PassWord1",
            "This password is among the most common ones; please choose another.",
        ),
        ("Anna Katharina", "The password must not be your name."),
        ("ANNA KATHARINA", "The password must not be your name."),
        (EMAIL, "The password must not be your email address."),
        ("Anna.Berg", "The password must not be your email address."),
        ("kranich\0seven", "The password contains a character that cannot be stored."),
        ("kranich\ud83eseven", "The password contains a character that cannot be stored."),
        ("\0" * 1000, "The password contains a character that cannot be stored."),
    ],
)
def test_refuses(password: str, message: str) -> None:
    """Too short, too long, common, the address, or not text: refused, each with its reason."""
    with pytest.raises(InvalidInput) as caught:
        check_password(password, EMAIL, name="Anna Katharina")
    assert (caught.value.field, caught.value.message) == ("password", message)


def test_the_list_of_common_passwords() -> None:
    """More than 3,000 passwords that the length rule would accept are refused, in any case."""
    common = passwords._COMMON
    assert len(common) > 15_000
    assert min(map(len, common)) == 8
    assert all(word == word.casefold().strip() for word in common)
    for word in sorted(common)[::37]:
        for typed in (word, word.upper(), word.title()):
            with pytest.raises(InvalidInput):
                check_password(typed, EMAIL)


def test_combining_marks_are_quick() -> None:
    """Text that is expensive to normalise is refused by its length."""
    began = time.perf_counter()
    with pytest.raises(InvalidInput):
        check_password("a" + "\u0301\u0316" * 500_000, EMAIL)
    assert time.perf_counter() - began < 0.5


@pytest.mark.anyio
async def test_hash_and_verify(passwords: PasswordHasher) -> None:
    """A hash is Argon2id with its own salt, fits its password and no other."""
    first, second = await passwords.hash("kranich seven"), await passwords.hash("kranich seven")
    assert first.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert first != second
    assert await passwords.verify(first, "kranich seven")
    assert not await passwords.verify(first, "kranich Seven")
    assert not await passwords.verify(first, "")


@pytest.mark.anyio
async def test_no_truncation(passwords: PasswordHasher) -> None:
    """The last of 128 characters counts, and so does a space at the end."""
    stored = await passwords.hash("🦊" * 127 + "a")
    assert not await passwords.verify(stored, "🦊" * 127 + "b")
    assert not await passwords.verify(stored, "🦊" * 127 + "a ")
    assert await passwords.verify(stored, "🦊" * 127 + "a")


@pytest.mark.anyio
async def test_composed_and_decomposed(passwords: PasswordHasher) -> None:
    """The same text verifies however the keyboard composed it."""
    stored = await passwords.hash("caf\u00e9 con leche")
    assert await passwords.verify(stored, "cafe\u0301 con leche")


@pytest.mark.anyio
async def test_unknown_account_costs_a_hash() -> None:
    """Checking without a stored hash is False and takes as long as checking with one."""
    hasher = PasswordHasher(time_cost=3, memory_cost=16 * 1024, parallelism=1, workers=1)
    try:
        stored = await hasher.hash("kranich seven")

        attempts: list[tuple[str | None, str]] = [
            (stored, "wrong password"),
            (None, "wrong password"),
            (None, ""),
            (stored, "k" * 100_000),
            (stored, "\ud800" * 9),
        ]
        fastest = [1e9] * len(attempts)
        for _ in range(10):  # in turn, so that what else the machine does meets all alike
            for i, (password_hash, password) in enumerate(attempts):
                began = time.perf_counter()
                assert not await hasher.verify(password_hash, password)
                fastest[i] = min(fastest[i], time.perf_counter() - began)
        assert max(fastest) < 10 * min(fastest)  # without the hash it would be 1,000 times
    finally:
        hasher.close()


@pytest.mark.anyio
async def test_damaged_hash(passwords: PasswordHasher, caplog: pytest.LogCaptureFixture) -> None:
    """A stored hash that is none is nobody's password, and the log says so."""
    assert not await passwords.verify("$argon2id$nonsense", "kranich seven")
    assert "damaged" in caplog.text


@pytest.mark.anyio
async def test_needs_rehash(passwords: PasswordHasher) -> None:
    """A hash made with less work is to be renewed, one of today's parameters is not."""
    stored = await passwords.hash("kranich seven")
    stronger = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    try:
        assert not passwords.needs_rehash(stored)
        assert stronger.needs_rehash(stored)
        assert await stronger.verify(stored, "kranich seven")
    finally:
        stronger.close()


@pytest.mark.anyio
async def test_the_event_loop_stays_free() -> None:
    """While hashes are made the loop goes on, and the pool makes no more than two at a time."""
    hasher = PasswordHasher(time_cost=4, memory_cost=32 * 1024, parallelism=1)
    try:
        work = asyncio.gather(*(hasher.hash("kranich seven") for _ in range(6)))
        turns = 0
        while not work.done():
            await asyncio.sleep(0.001)
            turns += 1
        await work
        assert turns > 20
    finally:
        hasher.close()


def test_default_parameters() -> None:
    """The defaults are the low-memory profile of RFC 9106."""
    hasher = PasswordHasher()
    try:
        profile = argon2.profiles.RFC_9106_LOW_MEMORY
        assert argon2.extract_parameters(hasher._dummy.result()) == profile
    finally:
        hasher.close()


@pytest.mark.anyio
async def test_hash_refuses_what_check_password_refuses(passwords: PasswordHasher) -> None:
    """Hashing what cannot be a password is a bug of the caller."""
    with pytest.raises(ValueError, match="check_password"):
        await passwords.hash("kranich\0seven")


@given(st.text(st.characters(codec=None), max_size=600))
def test_any_text(text: str) -> None:
    """Any text is accepted or refused as input; what is accepted can be encoded."""
    try:
        check_password(text, EMAIL)
    except InvalidInput:
        return
    assert text.encode()


@pytest.mark.anyio
async def test_hundred_checks_make_few_hashes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many log in at once, no more than four hashes have their memory at a time, and other
    work goes on meanwhile."""
    lock = threading.Lock()
    running = most = 0
    hash_secret = argon2.PasswordHasher.verify

    def counting(self: argon2.PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return hash_secret(self, hash, password)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    hasher = PasswordHasher(time_cost=1, memory_cost=4 * 1024, parallelism=1)
    try:
        stored = await hasher.hash("kranich seven")
        work = asyncio.gather(
            *(hasher.verify(stored if n % 2 else None, "kranich seven") for n in range(100))
        )
        turns = 0
        while not work.done():
            await asyncio.sleep(0)
            turns += 1
        assert sum(await work) == 50
        assert 1 <= most <= 4
        assert turns > 100
    finally:
        hasher.close()
