"""A second factor for the login: codes of an authenticator app (TOTP, RFC 6238)."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import pyotp
from pyotp.utils import strings_equal
from tortoise.expressions import F, Q

from models.login import Login
from models.second_factor import RecoveryCode, SecondFactor
from models.security_event import EventKind, EventOutcome
from models.user import User
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.errors import InvalidInput, RateLimited, SecondFactorRequired
from resolvers.login_ends import end_logins
from resolvers.password_confirmation import confirm_password
from resolvers.sealing import Unreadable
from resolvers.tokens import hash_opaque_token

log = logging.getLogger("groundql.accounts")

MAX_TRIES: Final = 10  # codes that may be tried without a right one
TRIES_LAST: Final = timedelta(minutes=15)
RECOVERY_CODES: Final = 10

_STEP: Final = 30  # seconds that a code is shown
_DRIFT: Final = 1  # steps that the phone's clock may differ, unless the operator is strict
_ISSUER: Final = "GroundQL"
# 28 of 32 letters and digits are 140 bits: a secret should have 128 (ASVS 5.0, 11.5.1), and from
# 112 on a plain hash may keep it (6.5.2). Those of before have 24, and count as well.
_RECOVERY_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_RECOVERY_LENGTH: Final = 28


@dataclass(frozen=True, slots=True)
class Setup:
    """What an authenticator app needs; the person sees it once."""

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class State:
    enabled: bool
    required: bool
    recovery_codes_left: int


async def state(context: Context) -> State:
    """Whether the viewer has a second factor, and whether the operator asks for one.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    enabled = await _enabled(viewer.user) is not None
    left = await RecoveryCode.filter(user_id=viewer.id, used_at__isnull=True).count()
    required = context.services.rules.second_factor_for.includes(viewer.user.role)
    return State(enabled=enabled, required=required, recovery_codes_left=left)


async def is_missing(services: Services, user: User) -> bool:
    """Whether the operator asks for a second factor that this person has not."""
    return services.rules.second_factor_for.includes(user.role) and await _enabled(user) is None


async def begin(context: Context, password: str) -> Setup:
    """A new secret for the viewer's app. It counts once `confirm` has seen a code of it, so that
    nobody locks themselves out.

    Raises:
        Unauthenticated, RateLimited
        InvalidCredentials: the password is wrong.
        InvalidInput: there is a second factor already.
        RateLimited: too many wrong passwords.
    """
    viewer = context.require_viewer()
    services = context.services
    await confirm_password(context, viewer, password)
    secret = pyotp.random_base32()
    async with services.store.transaction():
        await _lock(services, viewer.id)
        if await _enabled(viewer.user) is not None:
            raise InvalidInput("password", "There is a second factor already; switch it off first.")
        await SecondFactor.filter(user_id=viewer.id).delete()
        await SecondFactor.create(
            user=viewer.user,
            secret=services.tokens.seal.seal(secret, viewer.id),
            tries_since=services.clock.now(),
        )
    uri = pyotp.TOTP(secret).provisioning_uri(name=viewer.user.email, issuer_name=_ISSUER)
    return Setup(secret=secret, uri=uri)


async def confirm(context: Context, code: str) -> list[str]:
    """Switch the second factor on; returns the recovery codes, which are shown only now. The
    viewer's other logins end: whoever made them has not shown it.

    Raises:
        Unauthenticated, RateLimited
        InvalidInput: the code is wrong, or nothing waits to be confirmed.
    """
    viewer = context.require_viewer()
    services = context.services
    row = await _waiting(viewer.id)
    await _count_try(services, row)
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    ended: set[UUID] = set()
    async with services.store.transaction():
        await _lock(services, viewer.id)
        # Another call may have begun anew, or have confirmed, since the try was counted.
        row = await _waiting(viewer.id)
        right = await _take_code(services, row, code)
        if right:
            await SecondFactor.filter(id=row.id).update(confirmed_at=services.clock.now())
            await RecoveryCode.filter(user_id=viewer.id).delete()
            for one in codes:
                await RecoveryCode.create(user=viewer.user, code_hash=_recovery_hash(one))
            others = Login.filter(user_id=viewer.id, is_key=False).exclude(id=viewer.login.id)
            ended = await end_logins(services, others)
            await note(context, EventKind.SECOND_FACTOR_ENABLED)
        else:
            await note(context, EventKind.SECOND_FACTOR_FAILED, outcome=EventOutcome.FAILED)
    if not right:
        raise InvalidInput("code", "The code is wrong or was used; wait for the next one.")
    services.access.end_logins(ended)
    log.info("A second factor was switched on: user %s", viewer.id)
    return codes


async def disable(context: Context, *, password: str, code: str) -> None:
    """Switch it off. It needs the password and a code, which may be a recovery code; without a
    second factor it changes nothing. Where the operator asks for one, all logins of the person end:
    the next one can set up another.

    Raises:
        Unauthenticated, RateLimited
        InvalidCredentials: the password is wrong.
        SecondFactorRequired: the code is.
    """
    viewer, services = context.require_viewer(), context.services
    await confirm_password(context, viewer, password)
    await require_code(context, viewer.user, code)
    ended: set[UUID] = set()
    async with services.store.transaction():
        await _lock(services, viewer.id)
        was_on = await SecondFactor.filter(user_id=viewer.id, confirmed_at__isnull=False).exists()
        await SecondFactor.filter(user_id=viewer.id).delete()
        await RecoveryCode.filter(user_id=viewer.id).delete()
        if was_on:
            await note(context, EventKind.SECOND_FACTOR_DISABLED)
            if services.rules.second_factor_for.includes(viewer.user.role):
                mine = Login.filter(user_id=viewer.id)
                ended = await end_logins(services, mine.filter(is_key=False))
                # Keys wait for the next one; what is open with them ends here.
                ended |= {id for (id,) in await mine.filter(is_key=True).values_list("id")}
    services.access.end_logins(ended)
    log.info("A second factor was switched off: user %s", viewer.id)


async def require_code(context: Context, user: User, code: str | None) -> bool:
    """Let a person go on who has no second factor, or gives a code of it or a recovery code;
    returns whether there is one. For who has shown the password: the answer tells it.

    Raises:
        SecondFactorRequired: there is no code, or it is wrong or was used.
        RateLimited: too many were tried.
    """
    services = context.services
    row = await _enabled(user)
    if row is None:
        return False
    if code is None or not code.strip():
        raise SecondFactorRequired
    await _count_try(services, row)
    if await _take_code(services, row, code) or await _take_recovery_code(context, row, code):
        return True
    await note(
        context, EventKind.SECOND_FACTOR_FAILED, concerns=user.id, outcome=EventOutcome.FAILED
    )
    raise SecondFactorRequired("The code is wrong or was used; wait for the next one.")


async def hold(services: Services, user: User, *, shown: bool) -> None:
    """In a transaction that makes a login: nobody switches a second factor on until its end. If
    somebody has, since `require_code` had nothing to ask for, the login is not made.

    Raises:
        SecondFactorRequired
    """
    await _lock(services, user.id)
    if not shown and await _enabled(user) is not None:
        raise SecondFactorRequired


async def _enabled(user: User) -> SecondFactor | None:
    return await SecondFactor.get_or_none(user_id=user.id, confirmed_at__isnull=False)


async def _lock(services: Services, user_id: UUID) -> None:
    """In a transaction: of several that begin, confirm or switch off one comes after the other."""
    await services.store.lock_name(f"second-factor {user_id}")


async def _waiting(user_id: UUID) -> SecondFactor:
    row = await SecondFactor.get_or_none(user_id=user_id, confirmed_at__isnull=True)
    if row is None:
        raise InvalidInput("code", "There is no second factor to confirm; begin anew.")
    return row


async def _count_try(services: Services, row: SecondFactor) -> None:
    """Count a try before it is looked at, so that parallel ones cannot be more.

    Raises:
        RateLimited
    """
    now = services.clock.now()
    # The time runs from the first try on.
    await SecondFactor.filter(Q(tries=0) | Q(tries_since__lte=now - TRIES_LAST), id=row.id).update(
        tries=0, tries_since=now
    )
    if not await SecondFactor.filter(id=row.id, tries__lt=MAX_TRIES).update(tries=F("tries") + 1):
        kept = await SecondFactor.get_or_none(id=row.id)
        wait = kept.tries_since + TRIES_LAST - now if kept is not None else TRIES_LAST
        raise RateLimited(
            "Too many codes were tried; wait before the next one.",
            retry_after_seconds=max(1, int(wait.total_seconds()) + 1),
        )


async def _take_code(services: Services, row: SecondFactor, code: str) -> bool:
    """Whether it is a code of the app that was not taken before; now it is."""
    text = "".join(code.split())
    now = int(services.clock.now().timestamp()) // _STEP
    try:
        secret = services.tokens.seal.open(row.secret, row.user_id)
    except Unreadable as error:
        log.error("The second factor of user %s cannot be read: %s", row.user_id, error)
        return False
    totp = pyotp.TOTP(secret, interval=_STEP)
    drift = 0 if services.rules.strict_totp else _DRIFT
    for step in range(now - drift, now + drift + 1):
        if strings_equal(totp.generate_otp(step), text):
            # Of several that come at once with it only one finds the step below.
            return bool(
                await SecondFactor.filter(id=row.id, last_step__lt=step).update(
                    last_step=step, tries=0
                )
            )
    return False


async def _take_recovery_code(context: Context, row: SecondFactor, code: str) -> bool:
    services = context.services
    async with services.store.transaction():
        taken = await RecoveryCode.filter(
            user_id=row.user_id, code_hash=_recovery_hash(code), used_at__isnull=True
        ).update(used_at=services.clock.now())
        if taken:
            await SecondFactor.filter(id=row.id).update(tries=0)
            await note(context, EventKind.RECOVERY_CODE_USED, concerns=row.user_id)
    if taken:
        log.warning("A recovery code was used: user %s", row.user_id)
    return bool(taken)


def _new_recovery_code() -> str:
    text = "".join(secrets.choice(_RECOVERY_LETTERS) for _ in range(_RECOVERY_LENGTH))
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _recovery_hash(code: str) -> str:
    """SHA-256 is enough for 140 random bits; spaces, hyphens and case do not matter."""
    return hash_opaque_token("".join(code.split()).replace("-", "").lower())
