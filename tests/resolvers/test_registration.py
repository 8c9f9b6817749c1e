from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from models.email_token import EmailToken
from models.outbox_mail import OutboxMail
from models.user import Role, User
from resolvers import account, registration
from resolvers.context import Context, Services
from resolvers.email_verification import verify_email
from resolvers.errors import (
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
)
from resolvers.registration import Registration
from resolvers.tokens import hash_opaque_token
from tests.clock import RunningClock
from tests.queries import counted
from tests.resolvers.conftest import EMAIL, PASSWORD, mailed_token

pytestmark = pytest.mark.anyio


async def subjects() -> list[str]:
    return [mail.subject for mail in await OutboxMail.exclude(to="").order_by("id")]


async def test_register(context: Context, clock: RunningClock) -> None:
    """A new account has the address in normal form, a hashed password and a mail on its way."""
    taken = await registration.register(
        context, email=" Anna@Example.com", password=PASSWORD, display_name=" Anna Berg "
    )
    assert taken == Registration(email=EMAIL, verification_required=False)
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
    await registration.register(context, email="anna.berg+x@example.com", password=PASSWORD)
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
        await registration.register(context, email=email, password=password, display_name=name)
    assert caught.value.field == field
    assert await User.all().count() == await OutboxMail.all().count() == 0


@pytest.mark.parametrize("name", ["a" * 100, "Ünal 🦊", "李 小龙", "Jean-Luc d'Arc", "👩‍🚀"])
async def test_names(context: Context, name: str) -> None:
    """Names of every script are stored as they are."""
    await registration.register(context, email=EMAIL, password=PASSWORD, display_name=name)
    assert (await User.get()).display_name == name


async def test_register_again(context: Context, anna: User) -> None:
    """A known address gets the same answer, and only its mailbox learns that it has an account."""
    before = await User.all().values()
    taken = await registration.register(
        context, email="ANNA@example.com", password="another password", display_name="Mallory"
    )
    assert taken == Registration(email=EMAIL, verification_required=False)
    assert await subjects() == ["You already have an account"]
    mail = await OutboxMail.exclude(to="").get()
    assert "Mallory" not in mail.text + mail.html
    assert await User.all().values() == before


async def test_every_address_takes_as_many_writes(context: Context, anna: User) -> None:
    """A known one, one that waits for its confirmation, and a new one: the time tells nothing."""
    await registration.register(context, email="waits@example.com", password=PASSWORD)
    written: dict[str, int] = {}
    for email in (EMAIL, "waits@example.com", "new@example.com"):
        async with counted(context.services.store) as queries:
            await registration.register(context, email=email, password=PASSWORD)
        # Asked after every row; the statements that write mails are not among the queries.
        written[email] = queries.count("SELECT last_insert_rowid()")
    assert set(written.values()) == {6}, written
    assert await subjects() == [
        "Please confirm your email address", "You already have an account",
        "Please confirm your email address", "Please confirm your email address",
    ]  # fmt: skip


async def test_a_stranger_registered_first(context: Context, clock: RunningClock) -> None:
    """Mallory registers Anna's address and logs in; Anna registers it later and opens her link.
    Mallory's password, name and login are gone, and Mallory's own link changes nothing any more."""
    await registration.register(context, email=EMAIL, password="mallory knows it", display_name="M")
    first = await mailed_token(EMAIL)
    mallory = await account.login(context, email=EMAIL, password="mallory knows it")
    await registration.register(context, email=EMAIL, password=PASSWORD, display_name="Anna")
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
    await registration.register(context, email=EMAIL, password="mallory knows it")
    await registration.register(context, email=EMAIL, password=PASSWORD)
    await registration.resend_verification(context, EMAIL)
    await verify_email(context, await mailed_token(EMAIL))
    await account.login(context, email=EMAIL, password=PASSWORD)


async def test_confirming_keeps_the_own_login(context: Context) -> None:
    """Who registered once, logged in and then opens the link stays logged in."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    tokens = await account.login(context, email=EMAIL, password=PASSWORD)
    await verify_email(context, await mailed_token(EMAIL))
    assert (await account.authenticate(context.services, tokens.access_token))[0] is not None


async def test_register_again_unverified(context: Context) -> None:
    """An address that waits for its confirmation gets a link again, and keeps its password."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    before = await User.get()
    await registration.register(context, email=EMAIL, password="another password")
    assert await subjects() == ["Please confirm your email address"] * 2
    assert (await User.get()).password_hash == before.password_hash
    assert (await verify_email(context, await mailed_token(EMAIL))).id == before.id


async def test_register_at_once(context: Context) -> None:
    """Ten registrations of one address at the same moment make one account and no error."""
    answers = await asyncio.gather(
        *(registration.register(context, email=EMAIL, password=PASSWORD) for _ in range(10))
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
        await registration.register(
            replace(context, services=broken), email=EMAIL, password=PASSWORD
        )
    assert await User.all().count() == await EmailToken.all().count() == 0


# ---- confirming the address ----------------------------------------------------------------------


async def test_verify(context: Context, clock: RunningClock) -> None:
    """The token from the mail confirms the address."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    user = await verify_email(context, f" {await mailed_token(EMAIL)}\n")
    assert user.email_verified_at is not None
    assert abs(user.email_verified_at - clock.now()) < timedelta(seconds=1)
    assert (await EmailToken.get()).used_at is not None


async def test_verify_twice(context: Context) -> None:
    """A link that is opened twice answers the same and changes nothing the second time."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    first = await verify_email(context, token)
    second = await verify_email(context, token)
    assert first.email_verified_at == second.email_verified_at
    await asyncio.gather(*(verify_email(context, token) for _ in range(5)))


async def test_used_token_confirms_nothing_again(context: Context) -> None:
    """A used token does not confirm an address that was changed afterwards."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    await verify_email(context, token)
    await User.all().update(email="other@example.com", email_verified_at=None)
    with pytest.raises(InvalidToken):
        await verify_email(context, token)
    assert (await User.get()).email_verified_at is None


async def test_used_token_does_not_count_again(context: Context) -> None:
    """A used token does not confirm the same address anew."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
    token = await mailed_token(EMAIL)
    await verify_email(context, token)
    await User.all().update(email_verified_at=None)
    with pytest.raises(InvalidToken):
        await verify_email(context, token)
    assert (await User.get()).email_verified_at is None


async def test_verify_too_late(context: Context, clock: RunningClock) -> None:
    """The token works for 48 hours."""
    await registration.register(context, email=EMAIL, password=PASSWORD)
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
    await registration.register(context, email=EMAIL, password=PASSWORD)
    first = await mailed_token(EMAIL)
    context.services.mailer.waiting.clear()
    await registration.resend_verification(context, " ANNA@example.com ")
    assert await subjects() == ["Please confirm your email address"] * 2
    assert context.services.mailer.waiting.is_set()
    second = await mailed_token(EMAIL)
    assert first != second
    await verify_email(context, first)
    assert (await verify_email(context, second)).email == EMAIL


@pytest.mark.parametrize("email", [EMAIL, "unknown@example.com", "nonsense", "\ud800"])
async def test_resend_sends_nothing(context: Context, anna: User, email: str) -> None:
    """Confirmed, unknown and impossible addresses get no mail and the same silence."""
    await registration.resend_verification(context, email)
    assert await subjects() == []
