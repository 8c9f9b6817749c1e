"""A store, services and contexts for use cases."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from models.outbox_mail import OutboxMail
from models.store import Store
from models.user import User
from resolvers import account, registration
from resolvers.access_watch import AccessWatch
from resolvers.account import AuthTokensData
from resolvers.attempts import Attempts
from resolvers.context import Context, Services
from resolvers.email_verification import verify_email
from resolvers.mail import Mailer
from resolvers.passwords import PasswordHasher
from resolvers.presence import Presence
from resolvers.rates import Allowances, Rates
from resolvers.refusals import Refusals
from resolvers.session_bus import SessionBus
from resolvers.sign_in.providers import Providers
from resolvers.tokens import TokenService
from tests.clock import RunningClock
from tests.stores import copied_store

SECRET = "0123456789abcdef0123456789abcdef"
EMAIL = "anna@example.com"
PASSWORD = "kranich seven"


@pytest.fixture
def clock() -> RunningClock:
    return RunningClock()


@pytest.fixture
async def store(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    async with copied_store(empty_sqlite, tmp_path) as store:
        yield store


@pytest.fixture(scope="session")
def passwords() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    yield hasher
    hasher.close()


@pytest.fixture
def services(store: Store, clock: RunningClock, passwords: PasswordHasher) -> Services:
    sessions = SessionBus()
    rates = Rates(Allowances(), clock)
    return Services(
        store=store,
        clock=clock,
        passwords=passwords,
        tokens=TokenService(SECRET, clock),
        mailer=Mailer(clock, base_url="https://chat.example"),
        # Accounts use none of these.
        knowledge=cast(Any, None),
        ingestion=cast(Any, None),
        replies=cast(Any, None),
        approved=cast(Any, None),
        sessions=sessions,
        access=AccessWatch(store, clock, sessions),
        presence=Presence(sessions),
        rates=rates,
        refusals=Refusals(store, clock, rates),
        require_verified_email=False,
        attempts=Attempts(store, clock),
        providers=Providers((), (), clock),
    )


@pytest.fixture
def context(services: Services) -> Context:
    return Context(services=services, viewer=None, address="192.0.2.1", user_agent="Test/1.0")


async def mailed_token(to: str) -> str:
    """The token in the newest mail to this address."""
    mail = await OutboxMail.filter(to=to).order_by("-id").first()
    assert mail is not None
    found = re.search(r"#token=(\S+)", mail.text)
    assert found is not None
    return found[1]


@pytest.fixture
async def anna(context: Context) -> User:
    """A registered person with a confirmed address and an empty outbox."""
    await registration.register(context, email=EMAIL, password=PASSWORD, display_name="Anna")
    user = await verify_email(context, await mailed_token(EMAIL))
    await OutboxMail.all().delete()
    context.services.mailer.waiting.clear()
    return user


@pytest.fixture
async def tokens(context: Context, anna: User) -> AuthTokensData:
    return await account.login(context, email=EMAIL, password=PASSWORD)


@pytest.fixture
def verified_only(services: Services, context: Context) -> Context:
    """A context of a server that requires confirmed addresses."""
    return replace(context, services=replace(services, require_verified_email=True))


async def as_viewer(context: Context, access_token: str) -> Context:
    viewer, reason = await account.authenticate(context.services, f"Bearer {access_token}")
    assert reason is None
    return replace(context, viewer=viewer)
