from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from models.email_token import EmailToken
from models.login import Login, RefreshToken
from models.outbox_mail import OutboxMail
from models.user import Role, User
from resolvers import account
from resolvers.account import AuthTokensData, Registration
from resolvers.context import Context, Services, Viewer
from resolvers.email_verification import verify_email
from resolvers.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
)
from resolvers.passwords import PasswordHasher
from resolvers.tokens import hash_opaque_token
from tests.clock import RunningClock
from tests.queries import counted
from tests.resolvers.conftest import EMAIL, PASSWORD, SECRET, mailed_token

pytestmark = pytest.mark.anyio


async def subjects() -> list[str]:
    return [mail.subject for mail in await OutboxMail.exclude(to="").order_by("id")]


# ---- registration --------------------------------------------------------------------------------


async def test_register(context: Context, clock: RunningClock) -> None:
    """A new account has the address in normal form, a hashed password and a mail on its way."""
    registration = await account.register(
        context, email=" Anna@Example.com", password=PASSWORD, display_name=" Anna Berg "
    )
    assert registration == Registration(email=EMAIL, verification_required=False)
    user = await User.get()
    assert (user.email, user.display_name, user.role) == (EMAIL, "Anna Berg", Role.USER)
    assert user.email_verified_at is None
    assert user.password_hash.startswith("$argon2id$")
    mail = await OutboxMail.get()
    assert mail.to == EMAIL
    assert mail.next_attempt_at is not None
    assert mail.next_attempt_at <= clock.now()
    assert context.services.mailer.waiting.is_set()
    token = await mailed_token(EMAIL)
    row = await EmailToken.get()
    assert row.token_hash == hash_opaque_token(token)
    assert token not in repr(row) + repr(mail) + repr(user)


async def test_default_name(context: Context) -> None:
    """Without a name it is the part of the address before the @."""
    await account.register(context, email="anna.berg+x@example.com", password=PASSWORD)
    assert (await User.get()).display_name == "anna.berg+x"


@pytest.mark.parametrize(
    ("email", "password", "name", "field"),
    [
        ("nobody", PASSWORD, None, "email"),
        (EMAIL, "short", None, "password"),
        (EMAIL, "password123", None, "password"),
        (EMAIL, EMAIL, None, "password"),
        (EMAIL, PASSWORD, "", "displayName"),
        (EMAIL, PASSWORD, "  \t ", "displayName"),
        (EMAIL, PASSWORD, "a" * 101, "displayName"),
        (EMAIL, PASSWORD, "An\0na", "displayName"),
        (EMAIL, PASSWORD, "An\nna", "displayName"),
        (EMAIL, PASSWORD, "An\ud800na", "displayName"),
        (EMAIL, PASSWORD, "An\u202ena", "displayName"),
        (EMAIL, PASSWORD, "An\u2028na", "displayName"),
        (EMAIL, PASSWORD, "\u200b\u200b", "displayName"),
    ],
)
async def test_refused_registration(
    context: Context, email: str, password: str, name: str | None, field: str
) -> None:
    """Wrong input is refused by the name of its field and leaves nothing behind."""
    with pytest.raises(InvalidInput) as caught:
        await account.register(context, email=email, password=password, display_name=name)
    assert caught.value.field == field
    assert await User.all().count() == await OutboxMail.all().count() == 0


@pytest.mark.parametrize("name", ["a" * 100, "Ünal 🦊", "李 小龙", "Jean-Luc d'Arc", "👩‍🚀"])
async def test_names(context: Context, name: str) -> None:
    """Names of every script are stored as they are."""
    await account.register(context, email=EMAIL, password=PASSWORD, display_name=name)
    assert (await User.get()).display_name == name


async def test_register_again(context: Context, anna: User) -> None:
    """A known address gets the same answer, and only its mailbox learns that it has an account."""
    before = await User.all().values()
    registration = await account.register(
        context, email="ANNA@example.com", password="another password", display_name="Mallory"
    )
    assert registration == Registration(email=EMAIL, verification_required=False)
    assert await subjects() == ["You already have an account"]
    mail = await OutboxMail.get()
    assert "Mallory" not in mail.text + mail.html
    assert await User.all().values() == before


async def test_a_stranger_registered_first(context: Context, clock: RunningClock) -> None:
    """Mallory registers Anna's address and logs in; Anna registers it later and opens her link.
    Mallory's password, name and login are gone, and Mallory's own link changes nothing any more."""
    await account.register(context, email=EMAIL, password="mallory knows it", display_name="M")
    first = await mailed_token(EMAIL)
    mallory = await account.login(context, email=EMAIL, password="mallory knows it")
    await account.register(context, email=EMAIL, password=PASSWORD, display_name="Anna")
    user = await verify_email(context, await mailed_token(EMAIL))
    assert user.display_name == "Anna"
    with pytest.raises(InvalidCredentials):
        await account.login(context, email=EMAIL, password="mallory knows it")
    assert (await account.authenticate(context.services, mallory.access_token))[0] is None
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, mallory.refresh_token)
    await verify_email(context, first)
    await account.login(context, email=EMAIL, password=PASSWORD)
    assert await EmailToken.filter(password_hash__isnull=False).count() == 0


async def test_the_link_that_is_sent_again_is_the_newest_registration_s(context: Context) -> None:
    """Whoever asks for the link again gets the password of their own registration."""
    await account.register(context, email=EMAIL, password="mallory knows it")
    await account.register(context, email=EMAIL, password=PASSWORD)
    await account.resend_verification(context, EMAIL)
    await verify_email(context, await mailed_token(EMAIL))
    await account.login(context, email=EMAIL, password=PASSWORD)


async def test_confirming_keeps_the_own_login(context: Context) -> None:
    """Who registered once, logged in and then opens the link stays logged in."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    tokens = await account.login(context, email=EMAIL, password=PASSWORD)
    await verify_email(context, await mailed_token(EMAIL))
    assert (await account.authenticate(context.services, tokens.access_token))[0] is not None


async def test_register_again_unverified(context: Context) -> None:
    """An address that waits for its confirmation gets a link again, and keeps its password."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    before = await User.get()
    await account.register(context, email=EMAIL, password="another password")
    assert await subjects() == ["Please confirm your email address"] * 2
    assert (await User.get()).password_hash == before.password_hash
    assert (await verify_email(context, await mailed_token(EMAIL))).id == before.id


async def test_register_at_once(context: Context) -> None:
    """Ten registrations of one address at the same moment make one account and no error."""
    answers = await asyncio.gather(
        *(account.register(context, email=EMAIL, password=PASSWORD) for _ in range(10))
    )
    assert set(answers) == {Registration(email=EMAIL, verification_required=False)}
    assert await User.all().count() == 1
    assert await OutboxMail.all().count() >= 1


async def test_register_is_one_transaction(context: Context, services: Services) -> None:
    """If the mail cannot be stored there is no account either."""

    class Broken(type(services.mailer)):  # type: ignore[misc]
        async def enqueue(self, to: str, subject: str, text: str, html: str) -> None:
            raise RuntimeError("disk full")

    broken = replace(services, mailer=Broken(services.clock, base_url=""))
    with pytest.raises(RuntimeError):
        await account.register(replace(context, services=broken), email=EMAIL, password=PASSWORD)
    assert await User.all().count() == await EmailToken.all().count() == 0


# ---- confirming the address ----------------------------------------------------------------------


async def test_verify(context: Context, clock: RunningClock) -> None:
    """The token from the mail confirms the address."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    user = await verify_email(context, f" {await mailed_token(EMAIL)}\n")
    assert user.email_verified_at is not None
    assert abs(user.email_verified_at - clock.now()) < timedelta(seconds=1)
    assert (await EmailToken.get()).used_at is not None


async def test_verify_twice(context: Context) -> None:
    """A link that is opened twice answers the same and changes nothing the second time."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    first = await verify_email(context, token)
    second = await verify_email(context, token)
    assert first.email_verified_at == second.email_verified_at
    await asyncio.gather(*(verify_email(context, token) for _ in range(5)))


async def test_used_token_confirms_nothing_again(context: Context) -> None:
    """A used token does not confirm an address that was changed afterwards."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    await verify_email(context, token)
    await User.all().update(email="other@example.com", email_verified_at=None)
    with pytest.raises(InvalidToken):
        await verify_email(context, token)
    assert (await User.get()).email_verified_at is None


async def test_used_token_does_not_count_again(context: Context) -> None:
    """A used token does not confirm the same address anew."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    await verify_email(context, token)
    await User.all().update(email_verified_at=None)
    with pytest.raises(InvalidToken):
        await verify_email(context, token)
    assert (await User.get()).email_verified_at is None


async def test_verify_too_late(context: Context, clock: RunningClock) -> None:
    """The token works for 48 hours."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    clock.forward(hours=48)
    with pytest.raises(InvalidToken):
        await verify_email(context, token)
    assert (await User.get()).email_verified_at is None


@pytest.mark.parametrize("token", ["", "x", "gqe_", "gqe_" + "A" * 43, "\ud800", "\0", "a" * 10**6])
async def test_verify_nonsense(context: Context, anna: User, token: str) -> None:
    """Anything else is an invalid token."""
    with pytest.raises(InvalidToken):
        await verify_email(context, token)


async def test_resend(context: Context) -> None:
    """The link is sent again while the address waits; each of the links works."""
    await account.register(context, email=EMAIL, password=PASSWORD)
    first = await mailed_token(EMAIL)
    context.services.mailer.waiting.clear()
    await account.resend_verification(context, " ANNA@example.com ")
    assert await subjects() == ["Please confirm your email address"] * 2
    assert context.services.mailer.waiting.is_set()
    second = await mailed_token(EMAIL)
    assert first != second
    await verify_email(context, first)
    assert (await verify_email(context, second)).email == EMAIL


@pytest.mark.parametrize("email", [EMAIL, "unknown@example.com", "nonsense", "\ud800"])
async def test_resend_sends_nothing(context: Context, anna: User, email: str) -> None:
    """Confirmed, unknown and impossible addresses get no mail and the same silence."""
    await account.resend_verification(context, email)
    assert await subjects() == []


# ---- login ---------------------------------------------------------------------------------------


async def test_login(context: Context, anna: User, clock: RunningClock) -> None:
    """A login gives a pair of tokens and remembers the device."""
    data = await account.login(context, email="ANNA@example.com ", password=PASSWORD)
    assert data.user.id == anna.id
    now = clock.now()
    assert timedelta(minutes=14, seconds=58) < data.access_token_expires_at - now
    assert abs(data.refresh_token_expires_at - now - timedelta(days=30)) < timedelta(seconds=1)
    row = await Login.get()
    assert (row.user_id, row.address, row.user_agent) == (anna.id, "192.0.2.1", "Test/1.0")
    assert row.expires_at == data.refresh_token_expires_at
    stored = await RefreshToken.get()
    assert stored.token_hash == hash_opaque_token(data.refresh_token)
    assert (await account.authenticate(context.services, data.access_token))[1] is None


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "kranich eight"),
        (EMAIL, ""),
        (EMAIL, "\ud800"),
        (EMAIL, "\0" * 10),
        (EMAIL, "k" * 10**6),
        ("other@example.com", PASSWORD),
        ("nonsense", PASSWORD),
        ("", ""),
        ("\ud800@example.com", PASSWORD),
    ],
)
async def test_wrong_credentials(context: Context, anna: User, email: str, password: str) -> None:
    """Unknown address and wrong password give the same answer, and no login."""
    with pytest.raises(InvalidCredentials) as caught:
        await account.login(context, email=email, password=password)
    assert caught.value.message == "The address or the password is wrong."
    assert await Login.all().count() == 0


async def test_unverified_login(context: Context, verified_only: Context) -> None:
    """Where it is required, an unconfirmed address cannot log in; a wrong password learns less."""
    registration = await account.register(verified_only, email=EMAIL, password=PASSWORD)
    assert registration.verification_required
    with pytest.raises(InvalidCredentials):
        await account.login(verified_only, email=EMAIL, password="kranich eight")
    with pytest.raises(EmailNotVerified):
        await account.login(verified_only, email=EMAIL, password=PASSWORD)
    assert await Login.all().count() == 0
    await account.login(context, email=EMAIL, password=PASSWORD)
    await verify_email(verified_only, await mailed_token(EMAIL))
    await account.login(verified_only, email=EMAIL, password=PASSWORD)


async def test_rehash(context: Context, services: Services, anna: User) -> None:
    """A login renews the hash when the parameters have risen, and only then."""
    before = (await User.get()).password_hash
    await account.login(context, email=EMAIL, password=PASSWORD)
    assert (await User.get()).password_hash == before
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    try:
        later = replace(context, services=replace(services, passwords=stronger))
        await account.login(later, email=EMAIL, password=PASSWORD)
        after = (await User.get()).password_hash
        assert after.startswith("$argon2id$v=19$m=16,t=2,p=1$")
        await account.login(later, email=EMAIL, password=PASSWORD)
        assert (await User.get()).password_hash == after
    finally:
        stronger.close()


async def test_odd_headers(context: Context, anna: User) -> None:
    """Overlong and odd headers are cut to what can be stored."""
    context.user_agent, context.address = "a\0\ud800" + "b" * 400, "f" * 60
    await account.login(context, email=EMAIL, password=PASSWORD)
    row = await Login.get()
    assert (row.user_agent, row.address) == ("a" + "b" * 299, "f" * 45)


# ---- authentication ------------------------------------------------------------------------------


async def test_authenticate(context: Context, tokens: AuthTokensData) -> None:
    """The token counts with and without "Bearer", however that is spelt."""
    for header in (
        tokens.access_token,
        f"Bearer {tokens.access_token}",
        f"  bearer   {tokens.access_token} ",
        f"BEARER {tokens.access_token}",
    ):
        viewer, reason = await account.authenticate(context.services, header)
        assert reason is None
        assert isinstance(viewer, Viewer)
        assert viewer.user.email == EMAIL
        assert viewer.login.address == "192.0.2.1"


@pytest.mark.parametrize("header", [None, "", "  "])
async def test_anonymous(context: Context, header: str | None) -> None:
    """Who sends no token is anonymous, without a complaint."""
    assert await account.authenticate(context.services, header) == (None, None)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic YTpi", "x", "Bearer null", "\ud800", "a b c", "🦊" * 99]
)
async def test_odd_authorization(context: Context, header: str) -> None:
    """Anything else is not anonymous: the caller is told."""
    viewer, reason = await account.authenticate(context.services, header)
    assert viewer is None
    assert reason


async def test_expired_access_token(
    context: Context, tokens: AuthTokensData, clock: RunningClock
) -> None:
    """An expired access token says that it can be refreshed."""
    clock.forward(minutes=16)
    assert await account.authenticate(context.services, tokens.access_token) == (
        None,
        "The access token has expired; refresh it.",
    )


async def test_refresh_tokens_do_not_authenticate(context: Context, tokens: AuthTokensData) -> None:
    """A refresh token is no access token."""
    viewer, reason = await account.authenticate(context.services, tokens.refresh_token)
    assert viewer is None
    assert reason


async def test_someone_elses_login(context: Context, tokens: AuthTokensData) -> None:
    """A token whose user and login do not belong together is nobody's."""
    await account.register(context, email="b@example.com", password=PASSWORD)
    other = await User.get(email="b@example.com")
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    forged = jwt.encode(
        {**claims, "sub": str(other.id)},
        SECRET,
        headers=jwt.get_unverified_header(tokens.access_token),
    )
    assert (await account.authenticate(context.services, forged))[0] is None


async def test_deleted_user(context: Context, tokens: AuthTokensData) -> None:
    """The tokens of a deleted account end with it."""
    await User.all().delete()
    assert (await account.authenticate(context.services, tokens.access_token))[0] is None
    with pytest.raises(InvalidToken):
        await account.refresh_tokens(context, tokens.refresh_token)


async def test_authentication_costs_one_query(context: Context, tokens: AuthTokensData) -> None:
    """One query for a good token, none for one that is not ours."""
    async with counted(context.services.store) as queries:
        await account.authenticate(context.services, tokens.access_token)
        assert len(queries) == 1
        await account.authenticate(context.services, tokens.access_token[:-4] + "AAAA")
        assert len(queries) == 1


async def test_secrets_do_not_reach_the_database(
    context: Context, tokens: AuthTokensData, tmp_path: Path
) -> None:
    """No password and no refresh token stands in the database's files."""
    stored = await asyncio.to_thread(
        lambda: b"".join(path.read_bytes() for path in tmp_path.glob("test.db*"))
    )
    assert EMAIL.encode() in stored
    assert PASSWORD.encode() not in stored
    assert tokens.refresh_token.encode() not in stored
    assert tokens.access_token.encode() not in stored
