"""Accounts: registering, confirming an address, logging in and out."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.email_token import EmailPurpose, EmailToken
from models.login import Login, RefreshToken
from models.user import User
from resolvers import email_address, second_factor
from resolvers.context import Context, Services, Viewer
from resolvers.errors import EmailNotVerified, InvalidCredentials, InvalidInput, InvalidToken
from resolvers.passwords import check_password
from resolvers.sharing import accept_invitations, announce_participants
from resolvers.tokens import EMAIL_PREFIX, REFRESH_PREFIX, hash_opaque_token, new_opaque_token
from texts import Language, fill

log = logging.getLogger("groundql.accounts")

REFRESH_LIFETIME = timedelta(days=30)
VERIFICATION_LIFETIME = timedelta(hours=48)
MAX_NAME_LENGTH = 100

_MAX_OPAQUE_LENGTH = 200
# Characters that no name needs and that can make it look like another or reorder what follows.
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@dataclass(frozen=True, slots=True)
class Registration:
    """What everyone who registers is told, whether or not the address had an account."""

    email: str
    verification_required: bool


@dataclass(frozen=True, slots=True)
class AuthTokensData:
    """A login's fresh pair of tokens."""

    user: User
    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime


# ---- registration --------------------------------------------------------------------------------


async def register(
    context: Context, *, email: str, password: str, display_name: str | None = None
) -> Registration:
    """Create an account, or tell the mailbox that it has one.

    The caller cannot tell the two apart: the answer is the same, and the password is hashed in
    both. For an address that is registered but not confirmed, the link is sent again; the password
    stays, so that nobody can take over an account that waits for its owner's click.

    Raises:
        InvalidInput: email, password or displayName.
    """
    services = context.services
    email = email_address.normalise(email)
    name = _checked_name(display_name, email)
    check_password(password, email)
    password_hash = await services.passwords.hash(password)

    user = await User.get_or_none(email=email)
    joined: list[UUID] = []
    if user is None:
        try:
            async with services.store.transaction():
                user = await User.create(
                    email=email, display_name=name, password_hash=password_hash
                )
                await _send_verification(services, user, context.language_of(user))
                if not services.require_verified_email:
                    joined = await accept_invitations(services, user)
        except IntegrityError:
            # The same address was registered at the same moment, and its mail is on the way.
            if not await User.exists(email=email):
                raise
    elif user.email_verified_at is None:
        async with services.store.transaction():
            await _send_verification(services, user, context.language_of(user))
    else:
        await services.mailer.send_account_exists(email, context.language_of(user))
    services.mailer.wake()
    announce_participants(services, joined)
    return Registration(email=email, verification_required=services.require_verified_email)


async def verify_email(context: Context, token: str) -> User:
    """Confirm the address that the token was sent to.

    A token counts once. Opened again within its lifetime, it answers the same as the first time
    as long as it changes nothing: mail scanners and double clicks open links twice, and the person
    should not see a failure after a success.

    Raises:
        InvalidToken
    """
    services = context.services
    row = await _find_email_token(token, EmailPurpose.VERIFY)
    now = services.clock.now()
    if row is None or row.expires_at <= now or row.email != row.user.email:
        raise _unusable_link()
    joined: list[UUID] = []
    async with services.store.transaction():
        if await EmailToken.filter(id=row.id, used_at__isnull=True).update(used_at=now):
            await User.filter(
                id=row.user_id, email=row.email, email_verified_at__isnull=True
            ).update(email_verified_at=now)
            joined = await accept_invitations(services, row.user)
    announce_participants(services, joined)
    user = await User.get_or_none(id=row.user_id, email=row.email)
    if user is None or user.email_verified_at is None:
        # The account or its address changed after the token was used, or just now.
        raise _unusable_link()
    return user


async def resend_verification(context: Context, email: str) -> None:
    """Send the link again, if the address waits for it; the caller does not learn whether."""
    services = context.services
    try:
        email = email_address.normalise(email)
    except InvalidInput:
        return
    user = await User.get_or_none(email=email, email_verified_at__isnull=True)
    if user is None:
        return
    async with services.store.transaction():
        await _send_verification(services, user, context.language_of(user))
    services.mailer.wake()


async def _send_verification(services: Services, user: User, language: Language) -> None:
    token, token_hash = new_opaque_token(EMAIL_PREFIX)
    await EmailToken.create(
        user=user,
        purpose=EmailPurpose.VERIFY,
        email=user.email,
        token_hash=token_hash,
        expires_at=services.clock.now() + VERIFICATION_LIFETIME,
    )
    await services.mailer.send_verification(user.email, token, language)


async def _find_email_token(token: str, purpose: EmailPurpose) -> EmailToken | None:
    if len(token) > _MAX_OPAQUE_LENGTH:
        return None
    return await EmailToken.get_or_none(
        token_hash=hash_opaque_token(token.strip()), purpose=purpose
    ).select_related("user")


def _checked_name(name: str | None, email: str) -> str:
    if name is None:
        return email.rpartition("@")[0][:MAX_NAME_LENGTH]
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidInput(
            "displayName", fill("A name has 1 to {maximum} characters.", maximum=MAX_NAME_LENGTH)
        )
    categories = {unicodedata.category(char) for char in name}
    if categories & {"Cc", "Cs", "Zl", "Zp"} or not _BIDI_CONTROLS.isdisjoint(name):
        raise InvalidInput("displayName", "The name contains a control character; remove it.")
    if all(category[0] in "CZM" for category in categories):
        raise InvalidInput("displayName", "The name contains nothing that can be seen.")
    return name


# ---- logins --------------------------------------------------------------------------------------


async def login(
    context: Context, *, email: str, password: str, code: str | None = None
) -> AuthTokensData:
    """Sign in on this device. `code` is of the second factor, for who has one.

    Raises:
        InvalidCredentials: the same, after the same time, for an unknown address and for a wrong
            password.
        EmailNotVerified: the password is right, but the address must be confirmed first.
        SecondFactorRequired: the password is right, but the code is missing or wrong.
        RateLimited: too many codes were tried.
    """
    services = context.services
    try:
        user = await User.get_or_none(email=email_address.normalise(email))
    except InvalidInput:
        user = None
    right = await services.passwords.verify(user.password_hash if user else None, password)
    if user is None or not right:
        raise InvalidCredentials
    if services.require_verified_email and user.email_verified_at is None:
        raise EmailNotVerified
    await second_factor.require_code(services, user, code)
    new_hash = (
        await services.passwords.hash(password)
        if services.passwords.needs_rehash(user.password_hash)
        else None
    )
    now = services.clock.now()
    async with services.store.transaction():
        if new_hash is not None:
            # Not if the password was changed in the meantime.
            await User.filter(id=user.id, password_hash=user.password_hash).update(
                password_hash=new_hash
            )
        row = await Login.create(
            user=user,
            last_used_at=now,
            expires_at=now + REFRESH_LIFETIME,
            user_agent=_storable(context.user_agent)[:300],
            address=_storable(context.address)[:45],
        )
        refresh_token = await _new_refresh_token(row)
    return _tokens(services, user, row, refresh_token)


async def refresh_tokens(context: Context, token: str) -> AuthTokensData:
    """Exchange a refresh token for a new pair; the login lives for another 30 days.

    Each token works once. Of requests that come at the same time with the same token one wins, and
    the others are refused without harm to the login: that is two tabs, not a thief. A token that
    comes back after its use ends the whole login, because one of its two holders stole it and
    nobody can tell which.

    Raises:
        InvalidToken
    """
    services = context.services
    arrived = services.clock.now()
    if len(token) > _MAX_OPAQUE_LENGTH:
        raise _unusable_refresh_token()
    row = await RefreshToken.get_or_none(
        token_hash=hash_opaque_token(token.strip())
    ).select_related("login__user")
    if row is None or row.login.revoked_at or min(row.expires_at, row.login.expires_at) <= arrived:
        raise _unusable_refresh_token()
    if row.used_at is not None:
        if row.used_at <= arrived:
            await Login.filter(id=row.login_id, revoked_at__isnull=True).update(revoked_at=arrived)
            services.access.end_logins([row.login_id])
            log.warning("A used refresh token came back: login %s was ended", row.login_id)
        raise _unusable_refresh_token()

    async with services.store.transaction():
        # The write comes first: of several transactions only one finds the token unused.
        now = services.clock.now()
        won = await RefreshToken.filter(id=row.id, used_at__isnull=True).update(used_at=now)
        # A logout may have come since the login was read.
        if not won or not await Login.filter(id=row.login_id, revoked_at__isnull=True).update(
            last_used_at=now, expires_at=now + REFRESH_LIFETIME
        ):
            raise _unusable_refresh_token()
        row.login.expires_at = now + REFRESH_LIFETIME
        refresh_token = await _new_refresh_token(row.login)
    return _tokens(services, row.login.user, row.login, refresh_token)


async def logout(context: Context, *, everywhere: bool = False) -> None:
    """End this login, or all of the viewer's; their access tokens end at once, too, and so do the
    streams and sockets that are open with them.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    logins = Login.filter(user_id=viewer.id, revoked_at__isnull=True)
    if not everywhere:
        logins = logins.filter(id=viewer.login.id)
    # One that is made between the two is ended, too; its streams are noticed by the next poll.
    ids = {id for (id,) in await logins.values_list("id")}
    await logins.update(revoked_at=context.services.clock.now())
    context.services.access.end_logins(ids)


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
    ours. Returns the viewer, or what is wrong with the token; (None, None) is an anonymous caller,
    who sent none.
    """
    if authorization is None or not authorization.strip():
        return None, None
    token = bearer_token(authorization)
    if token is None:
        return None, "The authorization must be a bearer token."
    try:
        claims = services.tokens.read_access_token(token)
    except InvalidToken as error:
        return None, error.message
    row = await Login.find(services.store, claims.login_id, claims.user_id)
    if row is None or row.revoked_at is not None or row.expires_at <= services.clock.now():
        return None, "This login was ended; log in again."
    return Viewer(user=row.user, login=row), None


def bearer_token(authorization: str) -> str | None:
    """The token in "Bearer <token>" or alone; None for another scheme."""
    scheme, _, rest = authorization.strip().partition(" ")
    if rest and scheme.lower() != "bearer":
        return None
    return rest.strip() or scheme


async def _new_refresh_token(row: Login) -> str:
    token, token_hash = new_opaque_token(REFRESH_PREFIX)
    await RefreshToken.create(login=row, token_hash=token_hash, expires_at=row.expires_at)
    return token


def _tokens(services: Services, user: User, row: Login, refresh_token: str) -> AuthTokensData:
    access_token, expires_at = services.tokens.access_token(user, row)
    return AuthTokensData(
        user=user,
        access_token=access_token,
        access_token_expires_at=expires_at,
        refresh_token=refresh_token,
        refresh_token_expires_at=row.expires_at,
    )


def _unusable_link() -> InvalidToken:
    return InvalidToken("The link is invalid or has expired; ask for a new one.")


def _unusable_refresh_token() -> InvalidToken:
    return InvalidToken("The refresh token is invalid, used or expired; log in again.")


def _storable(text: str) -> str:
    """Header text without what databases refuse."""
    return "".join(char for char in text if char != "\0" and not "\ud800" <= char <= "\udfff")
