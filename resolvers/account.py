"""Logging in and out, and who a token belongs to."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models.api_key import ApiScope
from models.email_token import EmailToken
from models.login import Login, RefreshToken
from models.security_event import EventKind, EventOutcome
from models.sign_in import SignInLogin
from models.user import User
from resolvers import email_address, second_factor
from resolvers.api_keys import find_key
from resolvers.attempts import PASSWORD_TRIES, network_of
from resolvers.audit import note, note_closed_account, note_stranger
from resolvers.context import Context, Services, Viewer
from resolvers.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    RateLimited,
)
from resolvers.fresh_login import require_fresh_login
from resolvers.login_ends import end_logins
from resolvers.text import storable
from resolvers.tokens import (
    EXPIRED,
    KEY_PREFIX,
    MAX_OPAQUE_LENGTH,
    REFRESH_PREFIX,
    hash_opaque_token,
    new_opaque_token,
)
from texts import Language

log = logging.getLogger("groundql.accounts")

# Logins of one person that are alive.
MAX_LOGINS = 100

_LOGIN_ENDED = "This login was ended; log in again."
_SUSPENDED = "This account is suspended; ask an administrator."
# What is wrong with a token that was right once.
ORDINARY_PROBLEMS = frozenset({_LOGIN_ENDED, _SUSPENDED, EXPIRED})


@dataclass(frozen=True, slots=True)
class AuthTokensData:
    """A login's fresh pair of tokens."""

    user: User
    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignInOrigin:
    """The identity at a provider that a login is made by, the session there, and when the login
    ends in any case."""

    identity_id: UUID
    sid: str | None = None
    ends_at: datetime | None = None


async def login(
    context: Context, *, email: str, password: str, code: str | None = None
) -> AuthTokensData:
    """Sign in on this device. `code` is of the second factor, for who has one.

    Tries are counted by the address and the network that they come from, so that whoever guesses
    shuts out nobody elsewhere.

    Raises:
        InvalidCredentials: the same, after the same time, for an unknown address and for a wrong
            password; or the account is suspended, for the right one.
        EmailNotVerified: the password is right, but the address must be confirmed first.
        SecondFactorRequired: the password is right, but the code is missing or wrong.
        RateLimited: too many wrong passwords or codes were tried, or too many people log in now.
    """
    services = context.services
    try:
        email = email_address.normalise(email)
        known = True
    except InvalidInput:
        known = False
    with services.passwords.place(network_of(context.address)):
        user = await _check_password(context, email, password, known=known)
    if services.require_verified_email and user.email_verified_at is None:
        await note_closed_account(context, user.id, "EMAIL_NOT_VERIFIED")
        raise EmailNotVerified
    if user.suspended_at is not None:
        await note_closed_account(context, user.id, "SUSPENDED")
        raise InvalidCredentials("This account is suspended; ask an administrator.")
    shown = await second_factor.require_code(context, user, code)
    if services.passwords.needs_rehash(user.password_hash):
        await _renew_hash(services, user, password)
    return await begin_login(context, user, factor_shown=shown)


async def _check_password(context: Context, email: str, password: str, *, known: bool) -> User:
    """
    Raises:
        InvalidCredentials, RateLimited
    """
    services = context.services
    key = f"{email} {network_of(context.address)}"
    try:
        async with services.attempts.turn(PASSWORD_TRIES, key):
            user = await User.get_or_none(email=email) if known else None
            right = await services.passwords.verify(user.password_hash if user else None, password)
            if user is None or not right:
                concerns = None if user is None else user.id
                await note_stranger(context, EventKind.LOGIN_FAILED, concerns=concerns)
                raise InvalidCredentials
            await services.attempts.forgive(PASSWORD_TRIES, key)
            return user
    except RateLimited:
        user = await User.get_or_none(email=email) if known else None
        concerns = None if user is None else user.id
        await note_stranger(
            context, EventKind.LOGIN_BLOCKED, concerns=concerns, outcome=EventOutcome.REFUSED
        )
        raise


async def begin_login(
    context: Context, user: User, *, factor_shown: bool, sign_in: SignInOrigin | None = None
) -> AuthTokensData:
    """Make a login of somebody who has shown who they are, by `sign_in` if a provider says so.
    Beyond MAX_LOGINS, those that were not used for longest end.

    Raises:
        SecondFactorRequired: one was switched on a moment ago.
        IntegrityError: the identity is not linked any more.
    """
    services = context.services
    now = services.clock.now()
    async with services.store.transaction():
        await second_factor.hold(services, user, shown=factor_shown)
        row = await Login.create(
            user=user,
            created_at=now,
            last_used_at=now,
            expires_at=_next_end(services, now, now, sign_in.ends_at if sign_in else None),
            user_agent=storable(context.user_agent, 300),
            address=storable(context.address, 45),
        )
        if sign_in is not None:
            await SignInLogin.create(
                login=row,
                identity_id=sign_in.identity_id,
                sid=sign_in.sid,
                ends_at=sign_in.ends_at,
            )
        refresh_token = await new_refresh_token(row)
        many = (
            await Login.filter(
                Login.alive(now, services.rules.login_lifetime), user_id=user.id, is_key=False
            )
            .order_by("-last_used_at", "-id")
            .offset(MAX_LOGINS)
            .limit(MAX_LOGINS)
            .values_list("id", flat=True)
        )
        ended = await end_logins(services, Login.filter(id__in=many)) if many else set()
        await note(context, EventKind.LOGGED_IN, actor=user.id, about=("Login", row.id))
    services.access.end_logins(ended)
    return issue_tokens(services, user, row, refresh_token)


async def _renew_hash(services: Services, user: User, password: str) -> None:
    """Store the password with today's parameters, unless it was changed in the meantime."""
    new_hash = await services.passwords.hash(password)
    async with services.store.transaction():
        await User.filter(id=user.id, password_hash=user.password_hash).update(
            password_hash=new_hash
        )
        # A link that carries the same password goes on to do so.
        await EmailToken.filter(user_id=user.id, password_hash=user.password_hash).update(
            password_hash=new_hash
        )


async def refresh_tokens(context: Context, token: str) -> AuthTokensData:
    """Exchange a refresh token for a new pair; the login lives on, up to the end that comes in any
    case.

    Each token works once, and always gives the same next one. So of requests that come at the same
    time with the same token all get one pair, and a client that lost the answer may ask again, for
    as long as the operator allows and the next token was not used. A token that comes back after
    that ends the whole login, because one of its two holders stole it and nobody can tell which.

    Raises:
        InvalidToken
    """
    services = context.services
    arrived = services.clock.now()
    token = token.strip()
    if len(token) > MAX_OPAQUE_LENGTH:
        raise _unusable_refresh_token()
    row = await RefreshToken.get_or_none(token_hash=hash_opaque_token(token)).select_related(
        "login__user"
    )
    if (
        row is None
        or row.expires_at <= arrived
        or not row.login.is_alive(arrived, services.rules.login_lifetime)
    ):
        raise _unusable_refresh_token()
    fresh, fresh_hash = services.tokens.next_refresh_token(token)
    if row.used_at is None:
        async with services.store.transaction():
            # The write comes first: of several transactions only one finds the token unused.
            now = services.clock.now()
            latest = await _end_of(row.login_id)
            won = await RefreshToken.filter(id=row.id, used_at__isnull=True).update(used_at=now)
            end = _next_end(services, row.login.created_at, now, latest)
            # A logout may have come since the login was read.
            if won and not await Login.filter(id=row.login_id, revoked_at__isnull=True).update(
                last_used_at=now, expires_at=end
            ):
                raise _unusable_refresh_token()
            if won:
                row.login.expires_at = end
                await RefreshToken.create(
                    login=row.login, token_hash=fresh_hash, expires_at=row.login.expires_at
                )
        if won:
            return issue_tokens(services, row.login.user, row.login, fresh)
        row = await RefreshToken.get(id=row.id).select_related("login__user")
    if await _may_ask_again(services, row, fresh_hash):
        return issue_tokens(services, row.login.user, row.login, fresh)
    assert row.used_at is not None
    if row.used_at <= arrived:
        async with services.store.transaction():
            ended = await end_logins(services, Login.filter(id=row.login_id))
            if ended:
                await note(
                    context,
                    EventKind.REFRESH_REPLAYED,
                    concerns=row.login.user_id,
                    about=("Login", row.login_id),
                    outcome=EventOutcome.REFUSED,
                )
        services.access.end_logins(ended)
        log.warning("A used refresh token came back: login %s was ended", row.login_id)
    raise _unusable_refresh_token()


async def _end_of(login_id: UUID) -> datetime | None:
    """When a login ends however much it is used, if a provider's rules say so."""
    made = await SignInLogin.get_or_none(login_id=login_id)
    return None if made is None else made.ends_at


def _next_end(
    services: Services, begun: datetime, now: datetime, latest: datetime | None
) -> datetime:
    """When a login that is used now ends without another use; never after `latest`."""
    end = min(now + services.rules.login_idle, begun + services.rules.login_lifetime)
    return end if latest is None else min(end, latest)


async def _may_ask_again(services: Services, row: RefreshToken, next_hash: str) -> bool:
    """Whether a used token may be answered as it was before."""
    assert row.used_at is not None
    if row.login.revoked_at is not None:
        return False
    if services.clock.now() - row.used_at >= services.rules.refresh_grace:
        return False
    return await RefreshToken.exists(
        login_id=row.login_id, token_hash=next_hash, used_at__isnull=True
    )


async def logout(context: Context, *, everywhere: bool = False) -> None:
    """End this login, or all of the viewer's; their access tokens end at once, too, and so do the
    streams and sockets that are open with them.

    Raises:
        Unauthenticated
        Forbidden: `everywhere`, with a login that was made too long ago.
    """
    viewer = context.require_viewer()
    if everywhere:
        require_fresh_login(context)
    logins = Login.filter(user_id=viewer.id, is_key=False)
    if not everywhere:
        logins = logins.filter(id=viewer.login.id)
    kind = EventKind.LOGGED_OUT_EVERYWHERE if everywhere else EventKind.LOGGED_OUT
    async with context.services.store.transaction():
        ended = await end_logins(context.services, logins)
        await note(context, kind, about=("Login", viewer.login.id))
    context.services.access.end_logins(ended)


async def set_language(context: Context, language: Language | None) -> User:
    """Say in which language our mails and messages are for the viewer; None: as the browser says.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    viewer.user.language = language.value if language is not None else None
    await viewer.user.save(update_fields=["language", "updated_at"])
    return viewer.user


async def authenticate(
    services: Services, authorization: str | None
) -> tuple[Viewer | None, str | None]:
    """Who sends this Authorization header (or `authorization` of a connection_init payload).

    Takes "Bearer <token>" and the bare token. Costs one query, and none for a token that is not
    ours; one more where the operator asks for a second factor. Returns the viewer, or what is
    wrong with the token; (None, None) is an anonymous caller, who sent none.
    """
    if authorization is None or not authorization.strip():
        return None, None
    token = bearer_token(authorization)
    if token is None:
        return None, "The authorization must be a bearer token."
    if token.startswith(KEY_PREFIX):
        return await _authenticate_key(services, token)
    try:
        claims = services.tokens.read_access_token(token)
    except InvalidToken as error:
        return None, error.message
    row = await Login.find(services.store, claims.login_id, claims.user_id)
    if row is None or not row.is_alive(services.clock.now(), services.rules.login_lifetime):
        return None, _LOGIN_ENDED
    if row.user.suspended_at is not None:
        return None, _SUSPENDED
    waits = await second_factor.is_missing(services, row.user)
    return Viewer(user=row.user, login=row, needs_second_factor=waits), None


async def _authenticate_key(services: Services, text: str) -> tuple[Viewer | None, str | None]:
    key = await find_key(services.clock, text)
    if key is None:
        return None, "The API key is unknown, revoked or expired."
    user = key.login.user
    if user.suspended_at is not None:
        return None, "This account is suspended; ask an administrator."
    scopes = frozenset(ApiScope(scope) for scope in key.scopes)
    waits = await second_factor.is_missing(services, user)
    return (
        Viewer(user=user, login=key.login, scopes=scopes, key_id=key.id, needs_second_factor=waits),
        None,
    )


def bearer_token(authorization: str) -> str | None:
    """The token in "Bearer <token>" or alone; None for another scheme."""
    scheme, _, rest = authorization.strip().partition(" ")
    if rest and scheme.lower() != "bearer":
        return None
    return rest.strip() or scheme


async def new_refresh_token(row: Login) -> str:
    """The first refresh token of a login, or of one whose others were taken away."""
    token, token_hash = new_opaque_token(REFRESH_PREFIX)
    await RefreshToken.create(login=row, token_hash=token_hash, expires_at=row.expires_at)
    return token


def issue_tokens(services: Services, user: User, row: Login, refresh_token: str) -> AuthTokensData:
    """A login's pair of tokens, with an access token made now."""
    access_token, expires_at = services.tokens.access_token(user, row)
    return AuthTokensData(
        user=user,
        access_token=access_token,
        access_token_expires_at=expires_at,
        refresh_token=refresh_token,
        refresh_token_expires_at=row.expires_at,
    )


def _unusable_refresh_token() -> InvalidToken:
    return InvalidToken("The refresh token is invalid, used or expired; log in again.")
