"""Many logins at once, and who has an account: `python -m benchmarks --only logins`.

The server is a process of its own and hashes passwords as in production: Argon2id with 64 MiB a
hash. So many people log in at the same moment over HTTP. Meanwhile its resident memory is read
every few milliseconds, and another person asks for their sessions, one query after the other: once
without logins, once beside them. Then register, login, reset and resend are called with addresses
that have an account and others that have none, in turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.figures import Spread, load, milliseconds, table
from benchmarks.readers import Server, running
from benchmarks.servers import DATABASE
from models.store import Store
from models.user import User
from resolvers.passwords import PasswordHasher

LOGINS: Final = 100
TRIES: Final = 200
HASHES_GOAL: Final = 4.0
P99_GOAL: Final = 100.0
DIFFERENCE_GOAL: Final = 5.0
HASH_BYTES: Final = 64 * 1024 * 1024
_PASSWORD: Final = "a long sentence is a good password"  # noqa: S105
_REGISTER: Final = "mutation($i: RegisterInput!) { register(input: $i) { __typename } }"
_LOGIN: Final = "mutation($i: LoginInput!) { login(input: $i) { __typename } }"
_RESET: Final = "mutation($e: String!) { requestPasswordReset(email: $e) { __typename } }"
_RESEND: Final = "mutation($e: String!) { resendVerification(email: $e) { __typename } }"
_OTHER: Final = "{ me { id displayName } sessions(first: 20) { edges { node { id title } } } }"
_SAMPLE_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Logins:
    """The result. `quiet` and `busy` are milliseconds of another person's queries without and
    beside the logins; `growth` is bytes of resident memory, None where the system does not tell;
    `seconds` is the time until everybody was in, for each round."""

    count: int
    quiet: Spread
    busy: Spread
    growth: list[int | None]
    seconds: list[float]
    answers: dict[str, tuple[Spread, Spread]]
    load: list[float]

    @property
    def hashes(self) -> float | None:
        """The most memory that all logins took, in hashes' worth."""
        known = [one for one in self.growth if one is not None]
        return max(known) / HASH_BYTES if known else None

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": "ms",
            "logins_at_once": self.count,
            "seconds": [round(one, 3) for one in self.seconds],
            "memory_growth_bytes": self.growth,
            "memory_in_hashes": None if self.hashes is None else round(self.hashes, 2),
            "memory_goal": HASHES_GOAL,
            "other_queries_without": self.quiet.to_json(),
            "other_queries_beside": self.busy.to_json(),
            "p99_goal": P99_GOAL,
            "answers": {
                name: {
                    "known": known.to_json(),
                    "unknown": unknown.to_json(),
                    "difference": round(abs(known.median - unknown.median), 3),
                }
                for name, (known, unknown) in self.answers.items()
            },
            "difference_goal": DIFFERENCE_GOAL,
            "load": self.load,
        }

    def report(self) -> str:
        rows = [
            (name, str(one.count), milliseconds(one.median), milliseconds(one.p99))
            for name, one in (
                ("another's queries, no logins", self.quiet),
                ("another's queries, beside the logins", self.busy),
            )
        ]
        parts = [table(("milliseconds", "count", "median", "p99"), rows)]
        took = "unknown" if self.hashes is None else f"{self.hashes:.1f} hashes' worth"
        parts.append(
            f"{self.count} logins at once take {max(self.seconds):.1f} s; memory grows by {took} "
            f"at most (goal: {HASHES_GOAL:.0f}); p99 of others {self.busy.p99:.0f} ms "
            f"(goal: {P99_GOAL:.0f}); load {self.load}"
        )
        if self.answers:
            compared = [
                (
                    name,
                    str(known.count),
                    milliseconds(known.median),
                    milliseconds(unknown.median),
                    milliseconds(abs(known.median - unknown.median)),
                )
                for name, (known, unknown) in self.answers.items()
            ]
            head = ("medians in ms", "tries", "account", "no account", "difference")
            parts.append(table(head, compared))
            parts.append(f"The goal is a difference of {DIFFERENCE_GOAL:.0f} ms at most.")
        return "\n\n".join(parts)


def run(data_dir: Path, *, logins: int = LOGINS, rounds: int = 3, tries: int = TRIES) -> Logins:
    """Measure with fresh data beneath `data_dir`; no `tries` leaves the comparison out."""
    before = load()
    confirmed = [f"known{number}@example.com" for number in range(max(logins, tries))]
    waiting = [f"waiting{number}@example.com" for number in range(tries)]
    asyncio.run(_add_people(data_dir, confirmed, waiting))
    with running("groundql", data_dir, mails_per_network=1_000_000) as server:
        return asyncio.run(_measure(server, logins, rounds, confirmed, waiting, before))


async def _measure(
    server: Server,
    logins: int,
    rounds: int,
    known: Sequence[str],
    waiting: Sequence[str],
    before: list[float],
) -> Logins:
    limits = httpx.Limits(max_connections=logins + 20)
    url = f"http://127.0.0.1:{server.port}/graphql"
    async with httpx.AsyncClient(timeout=120, limits=limits) as http:

        async def call(query: str, token: str = "", **variables: Any) -> float:
            """Milliseconds of an operation."""
            headers = {"authorization": f"Bearer {token}"} if token else {}
            began = time.perf_counter()
            response = await http.post(
                url, json={"query": query, "variables": variables}, headers=headers
            )
            took = (time.perf_counter() - began) * 1000
            answer = response.json()
            if "errors" in answer or "RateLimited" in response.text:
                raise RuntimeError(f"refused: {answer}")
            return took

        await call(_LOGIN, i=_entry(known[0]))
        quiet: list[float] = []
        busy: list[float] = []
        growth: list[int | None] = []
        seconds: list[float] = []
        for _ in range(rounds):
            quiet += [await call(_OTHER, server.token) for _ in range(200)]
            start = _memory(server.pid)
            began = time.perf_counter()
            everybody = asyncio.gather(*(call(_LOGIN, i=_entry(one)) for one in known[:logins]))
            watch = asyncio.create_task(_most_memory(server.pid, everybody))
            while not everybody.done():
                busy.append(await call(_OTHER, server.token))
            await everybody
            seconds.append(time.perf_counter() - began)
            most = await watch
            growth.append(None if most is None or start is None else max(0, most - start))
        answers: dict[str, tuple[Spread, Spread]] = {}
        if waiting:
            answers = await _compare(call, known[: len(waiting)], waiting)
    return Logins(logins, Spread.of(quiet), Spread.of(busy), growth, seconds, answers, before)


async def _compare(
    call: Callable[..., Awaitable[float]], confirmed: Sequence[str], waiting: Sequence[str]
) -> dict[str, tuple[Spread, Spread]]:
    wrong = "another long sentence that is wrong"
    calls: dict[str, Callable[[str], Awaitable[float]]] = {
        "register": lambda email: call(_REGISTER, i=_entry(email)),
        "login": lambda email: call(_LOGIN, i=_entry(email, wrong)),
        "reset": lambda email: call(_RESET, e=email),
        "resend": lambda email: call(_RESEND, e=email),
    }
    found: dict[str, tuple[Spread, Spread]] = {}
    for name, one in calls.items():
        times: dict[bool, list[float]] = {True: [], False: []}
        # A confirmed address gets no other link to confirm it.
        for number, email in enumerate(waiting if name == "resend" else confirmed):
            other = f"{name}-nobody{number}@example.com"
            # Who goes first alternates.
            for has_account in (True, False) if number % 2 else (False, True):
                times[has_account].append(await one(email if has_account else other))
        found[name] = (Spread.of(times[True]), Spread.of(times[False]))
    return found


def _entry(email: str, password: str = _PASSWORD) -> dict[str, str]:
    return {"email": email, "password": password}


async def _add_people(folder: Path, confirmed: Sequence[str], waiting: Sequence[str]) -> None:
    """Accounts with one and the same hash: making one for each would take minutes."""
    hasher = PasswordHasher()
    password_hash = await hasher.hash(_PASSWORD)
    hasher.close()
    store = Store(f"sqlite://{folder / DATABASE}")
    await store.open()
    try:
        await store.migrate()
        now = datetime.now(UTC)
        await User.bulk_create(
            User(
                email=email,
                display_name=email,
                password_hash=password_hash,
                email_verified_at=now if email in confirmed else None,
            )
            for email in (*confirmed, *waiting)
        )
    finally:
        await store.close()


def _memory(pid: int) -> int | None:
    """The resident memory of a process in bytes, where Linux tells it."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _most_memory(pid: int, work: asyncio.Future[Any]) -> int | None:
    most = _memory(pid)
    while most is not None and not work.done():
        await asyncio.sleep(_SAMPLE_SECONDS)
        most = max(most, _memory(pid) or 0)
    return most
