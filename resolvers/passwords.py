"""Passwords: which are accepted, and how they are kept."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ParamSpec, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from resolvers.errors import InvalidInput
from resolvers.password_queue import PasswordQueue
from texts import fill

log = logging.getLogger("groundql.accounts")

MIN_LENGTH = 8
MAX_LENGTH = 128

P = ParamSpec("P")
R = TypeVar("R")

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# Read at import: 19,000 short lines, 3 ms, before any event loop runs.
_COMMON = frozenset(
    (Path(__file__).parent / "data" / "common_passwords.txt").read_text("utf-8").splitlines()
)


def check_password(password: str, email: str, *, name: str = "", field: str = "password") -> None:
    """Refuse a new password that is too short, too long, common, the address or the name.

    Any character is welcome but NUL and halves of surrogate pairs; nothing is trimmed, cut or
    required. Lengths count code points of the NFC form, which is what is hashed: the same
    password typed on another keyboard may arrive decomposed (RFC 8265, section 4.2).

    Raises:
        InvalidInput: with a sentence that says what to change.
    """
    normal = normal_form(password)
    if normal is None or len(normal) > MAX_LENGTH:
        if _UNSTORABLE.search(password):
            raise InvalidInput(field, "The password contains a character that cannot be stored.")
        raise InvalidInput(
            field, fill("The password must have at most {maximum} characters.", maximum=MAX_LENGTH)
        )
    if len(normal) < MIN_LENGTH:
        raise InvalidInput(
            field, fill("The password must have at least {minimum} characters.", minimum=MIN_LENGTH)
        )
    folded = normal.casefold()
    if folded in _COMMON:
        raise InvalidInput(
            field, "This password is among the most common ones; please choose another."
        )
    if folded in (email.casefold(), email.casefold().rpartition("@")[0]):
        raise InvalidInput(field, "The password must not be your email address.")
    if folded == unicodedata.normalize("NFC", name).casefold():
        raise InvalidInput(field, "The password must not be your name.")


class PasswordHasher:
    """Argon2id in a small thread pool of its own.

    The pool bounds the memory, however many people log in at once: `workers` times `memory_cost`.
    `place` bounds how many wait for it.
    The defaults are the low-memory profile of RFC 9106 (64 MiB, 3 passes, 4 lanes).
    """

    def __init__(
        self,
        *,
        time_cost: int = argon2.DEFAULT_TIME_COST,
        memory_cost: int = argon2.DEFAULT_MEMORY_COST,
        parallelism: int = argon2.DEFAULT_PARALLELISM,
        workers: int = 2,
        queue: PasswordQueue | None = None,
    ) -> None:
        """`memory_cost` is in KiB. Starts to make the hash that unknown accounts are checked
        against; close() ends the pool."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism
        )
        self._queue = queue or PasswordQueue(workers=workers)
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="argon2")
        self._dummy = self._pool.submit(self._argon2.hash, secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """The hash to store, for a password that `check_password` has accepted."""
        normal = normal_form(password)
        if normal is None:
            raise ValueError("check_password refuses this password")
        return await self._run(self._argon2.hash, normal)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password.

        Takes as long for no hash (an unknown account, or one without a password) and for passwords
        that nobody can have, so the time tells nothing about who has an account.
        """
        return await self._run(self._verify, password_hash, password)

    def place(self, network: str) -> AbstractContextManager[None]:
        """A place in the queue, for as long as somebody from this network needs hashes. The use
        cases take one before they count or look up anything.

        Raises:
            RateLimited: too many wait; on entering.
        """
        return self._queue.place(network)

    @property
    def waiting(self) -> int:
        """How many have a place."""
        return self._queue.waiting

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        def timed() -> tuple[R, float]:
            begun = time.perf_counter()
            return work(*args, **kwargs), time.perf_counter() - begun

        result, seconds = await asyncio.get_running_loop().run_in_executor(self._pool, timed)
        self._queue.took(seconds)
        return result

    def _verify(self, password_hash: str | None, password: str) -> bool:
        normal = normal_form(password)
        if not password_hash or normal is None:
            # The dummy was the pool's first work, so it is done or under way: no deadlock.
            password_hash = self._dummy.result()
        try:
            return self._argon2.verify(password_hash, normal or "")
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError):
            log.error("A stored password hash is damaged; that person cannot log in")
            return False

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(password_hash)

    def close(self) -> None:
        """End the pool; work that waits is dropped, work under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def normal_form(password: str) -> str | None:
    """What is hashed; None for what cannot be a password.

    The first length check stands before the normalisation, whose time grows with the square of
    the length for some texts. NFC makes a text shorter by at most a factor of 4 in practice.
    """
    if len(password) > 4 * MAX_LENGTH or _UNSTORABLE.search(password):
        return None
    return unicodedata.normalize("NFC", password)
