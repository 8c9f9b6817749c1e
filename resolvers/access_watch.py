"""Open streams end when their reader loses the right to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar
from uuid import UUID

from models.chat_session import ChatSession
from models.login import Login
from models.participant import Participant
from models.store import Store
from models.user import Role, User
from resolvers.account_rules import LOGIN_LIFETIME
from resolvers.clock import Clock
from resolvers.errors import AccessError, Forbidden, Unauthenticated
from resolvers.session_bus import ParticipantsChanged, SessionBus, SessionDeleted, SessionEvent

log = logging.getLogger("groundql.access")

# How often all open streams are checked for what another process did. Seconds.
POLL_SECONDS = 2.0
# A database that does not answer for so long is asked again. Seconds.
_PATIENCE = 10.0
# Streams in one query: building a longer one would hold everything up for too long.
_BATCH = 1_000

LOGIN_ENDED = "This login was ended; log in again."
ROLE_CHANGED = "Your role was changed; connect again."

T = TypeVar("T")


class AccessEndReason(StrEnum):
    """Why a person may not follow a session any longer."""

    REMOVED = "REMOVED"
    LOGGED_OUT = "LOGGED_OUT"
    SESSION_DELETED = "SESSION_DELETED"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"


class AccessLost(Exception):
    """The reader of a stream lost the right to it."""

    def __init__(self, reason: AccessEndReason) -> None:
        super().__init__(reason)
        self.reason = reason

    def as_error(self) -> AccessError:
        """What a stream without an event for it ends with."""
        match self.reason:
            case AccessEndReason.REMOVED:
                return Forbidden("You are no longer in this session.")
            case AccessEndReason.SESSION_DELETED:
                return Forbidden("The session was deleted.")
            case AccessEndReason.LOGGED_OUT:
                return Unauthenticated("This login was ended; log in again.")
            case AccessEndReason.ACCOUNT_CLOSED:
                return Unauthenticated("The account was closed.")


class Devices(Protocol):
    """Connections that are open, whether or not something streams over them."""

    def logins(self) -> set[UUID]:
        """The logins that they belong to."""

    async def close(self, login_ids: Collection[UUID], *, reason: str) -> None:
        """End those of these logins; what streams over them has a moment to end itself."""

    async def close_expired(self) -> None:
        """Likewise those whose access token has expired and was not renewed."""


class Grant:
    """One open stream's right to a session, until it is lost."""

    __slots__ = ("_waiting", "login_id", "lost", "session_id", "user_id")

    def __init__(self, user_id: UUID, login_id: UUID, session_id: UUID) -> None:
        self.user_id = user_id
        self.login_id = login_id
        self.session_id = session_id
        self.lost: AccessEndReason | None = None
        self._waiting: asyncio.Task[object] | None = None

    def check(self) -> None:
        """
        Raises:
            AccessLost
        """
        if self.lost is not None:
            raise AccessLost(self.lost)

    async def next(self, events: AsyncIterator[T]) -> T:
        """The next event, if the right is there before and after the wait for it; the wait ends
        when the right does.

        Raises:
            AccessLost, StopAsyncIteration
        """
        self.check()
        task = asyncio.current_task()
        assert task is not None
        # As asyncio.timeout does it: a cancellation of ours must be told from anyone else's.
        others = task.cancelling()
        self._waiting = task
        try:
            event = await anext(events)
        except asyncio.CancelledError:
            if self.lost is None or task.uncancel() > others:
                raise
            raise AccessLost(self.lost) from None
        finally:
            self._waiting = None
        self.check()
        return event

    def end(self, reason: AccessEndReason) -> None:
        """The right is lost; the first reason stays."""
        if self.lost is None:
            self.lost = reason
            if self._waiting is not None:
                self._waiting.cancel()


class AccessWatch:
    """Knows every open stream of this server. What happens here is noticed at once, what another
    process does within `poll_seconds`. Only an answer of the database that says so ends a stream:
    one that is slow or away changes nothing."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sessions: SessionBus,
        *,
        poll_seconds: float = POLL_SECONDS,
        login_lifetime: timedelta = LOGIN_LIFETIME,
    ) -> None:
        self._store = store
        self._login_lifetime = login_lifetime
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._grants: set[Grant] = set()
        self._suspects: set[UUID] = set()
        self._roles: dict[UUID, Role] = {}
        self._wake = asyncio.Event()
        self._devices: Devices | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        sessions.listen(self._heard)

    def start(self, devices: Devices) -> None:
        """Begin to poll. Needs a running event loop."""
        self._devices = devices
        self._task = asyncio.create_task(self._poll(), name="access-watch")

    async def stop(self) -> None:
        tasks = [*self._closing, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def grant(self, user_id: UUID, login_id: UUID, session_id: UUID) -> Iterator[Grant]:
        """Watch over a stream until the block ends. The caller checks the right once, inside: what
        changes from then on is noticed."""
        grant = Grant(user_id, login_id, session_id)
        self._grants.add(grant)
        try:
            yield grant
        finally:
            self._grants.discard(grant)

    @property
    def open_grants(self) -> int:
        return len(self._grants)

    def end_logins(self, login_ids: Collection[UUID]) -> None:
        """These logins were ended: their streams end now, then their connections."""
        for grant in self._grants:
            if grant.login_id in login_ids:
                grant.end(AccessEndReason.LOGGED_OUT)
        self._close_devices(login_ids, LOGIN_ENDED)

    async def check(self) -> None:
        """Look at all open streams and connections now: two queries for each thousand."""
        if self._devices is not None:
            self._follow(self._devices.close_expired())
        await self._check(list(self._grants), self._devices.logins() if self._devices else set())

    def _heard(self, session_id: UUID, event: SessionEvent) -> None:
        match event:
            case ParticipantsChanged():
                self._suspects.add(session_id)
                self._wake.set()
            case SessionDeleted():
                for grant in self._grants:
                    if grant.session_id == session_id:
                        grant.end(AccessEndReason.SESSION_DELETED)

    async def _poll(self) -> None:
        self._store.bind()
        loop = asyncio.get_running_loop()
        due = loop.time() + self._poll_seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            suspects, self._suspects = self._suspects, set()
            try:
                async with asyncio.timeout(_PATIENCE):
                    if loop.time() >= due:
                        await self.check()
                    else:
                        await self._check(
                            [grant for grant in self._grants if grant.session_id in suspects], set()
                        )
                self._failing = False
            except Exception as error:
                # Streams go on; one line in the log, not one every two seconds.
                if not self._failing:
                    log.warning("The rights of open streams cannot be checked: %r", error)
                self._failing = True
            if loop.time() >= due:
                due = loop.time() + self._poll_seconds

    async def _check(self, grants: Collection[Grant], devices: set[UUID]) -> None:
        logins = {grant.login_id for grant in grants} | devices
        if not logins:
            return
        roles = await self._alive(logins)
        alive = roles.keys()
        changed = {id for id in devices & alive if self._roles.get(id, roles[id]) != roles[id]}
        if devices:
            self._roles = {id: roles[id] for id in devices & alive}
        parts = await _parts(grants)
        ended = logins - alive
        unsure = [grant for grant in grants if grant.login_id in ended or _key(grant) not in parts]
        if unsure:
            users = await _existing(User, {grant.user_id for grant in unsure})
            sessions = await _existing(ChatSession, {grant.session_id for grant in unsure})
            for grant in unsure:
                if grant.user_id not in users:
                    grant.end(AccessEndReason.ACCOUNT_CLOSED)
                elif grant.login_id in ended:
                    grant.end(AccessEndReason.LOGGED_OUT)
                elif grant.session_id not in sessions:
                    grant.end(AccessEndReason.SESSION_DELETED)
                else:
                    grant.end(AccessEndReason.REMOVED)
        if ended:
            self._close_devices(ended, LOGIN_ENDED)
        if changed:
            self._close_devices(changed, ROLE_CHANGED)

    async def _alive(self, login_ids: Collection[UUID]) -> dict[UUID, Role]:
        """The logins that have not ended, with the roles of their people."""
        now = self._clock.now()
        found: dict[UUID, Role] = {}
        for ids in _batches(login_ids):
            alive = Login.filter(
                Login.alive(now, self._login_lifetime),
                id__in=ids,
                user__suspended_at__isnull=True,
            )
            found.update(await alive.values_list("id", "user__role"))
        return found

    def _close_devices(self, login_ids: Collection[UUID], reason: str) -> None:
        if self._devices is not None:
            self._follow(self._devices.close(login_ids, reason=reason))

    def _follow(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _batches(items: Collection[T]) -> Iterator[list[T]]:
    every = list(items)
    return (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))


def _key(grant: Grant) -> tuple[UUID, UUID]:
    return grant.session_id, grant.user_id


async def _parts(grants: Collection[Grant]) -> set[tuple[UUID, UUID]]:
    """Which of these sessions these people are in."""
    found: set[tuple[UUID, UUID]] = set()
    for some in _batches(grants):
        parts = Participant.filter(
            session_id__in={grant.session_id for grant in some},
            user_id__in={grant.user_id for grant in some},
        )
        found.update(await parts.values_list("session_id", "user_id"))
    return found


async def _existing(model: type[User | ChatSession], ids: set[UUID]) -> set[UUID]:
    found: set[UUID] = set()
    for some in _batches(ids):
        found.update(id for (id,) in await model.filter(id__in=some).values_list("id"))
    return found
