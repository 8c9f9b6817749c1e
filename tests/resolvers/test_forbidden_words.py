"""Passwords that are made of the service's own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.store import Store
from models.user import User
from resolvers import account, password_changes, registration, roles
from resolvers.context import Context
from resolvers.errors import InvalidInput
from resolvers.event_log import Origin
from resolvers.forbidden_words import ForbiddenWords, compact, words_of_service
from resolvers.password_rules import PasswordRules
from tests.resolvers.conftest import EMAIL, PASSWORD, as_viewer, mailed_token

MESSAGE = (
    "The password is little more than a name of this service or its company; please choose another."
)


def shop() -> ForbiddenWords:
    return words_of_service(
        sender="The Shop Team <noreply@mail.kraniche.example>",
        url="https://chat.hilfe.example:8443/x",
        more=["Zürich", "Grünkohl & Co"],
    )


def test_the_words_of_a_service() -> None:
    """The product, the sender with its words, both hosts with their parts but the last, and what
    the operator lists, the longest first; short parts such as "the" do not count."""
    assert list(shop()) == [
        "mailkranicheexample",
        "chathilfeexample",
        "theshopteam",
        "grünkohlco",
        "groundql",
        "kraniche",
        "zürich",
        "hilfe",
        "chat",
        "mail",
        "shop",
        "team",
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://[::1]:8000", "", "nonsense"])
def test_numbers_are_no_names(url: str) -> None:
    """A server without a name brings none, and nothing fails."""
    found = set(words_of_service(sender="", url=url))
    assert found <= {"groundql", "127001"}
    assert "groundql" in found


@pytest.mark.parametrize(
    "password",
    [
        "GroundQL",
        "groundql2026",
        "Ground-QL 2026!",
        "groundqlgroundql",
        "ＧｒｏｕｎｄＱＬ１２３",  # full-width letters
        "kraniche!!",
        "Kraniche.Example",
        "mail.kraniche.example",
        "chat-hilfe-example-1",
        "shopteam99",
        "ZU\u0308RICH-zürich",  # decomposed
        "Grünkohl & Co. 24",
        "shop!!!!!!!!!!!!!!",
        "teamshop-1234567",
    ],
)
async def test_what_is_made_of_them_is_refused(anyio_backend: str, password: str) -> None:
    """Whatever the case, the signs between and the digits behind."""
    with pytest.raises(InvalidInput) as caught:
        await PasswordRules(shop()).check(password, "a@b.example", field="newPassword")
    assert (caught.value.field, caught.value.message) == ("newPassword", MESSAGE)


@pytest.mark.parametrize(
    "password",
    [
        "the shopkeeper sings",
        "groundql and eight more",
        "kranich seven",
        "🦊🦊🦊🦊🐻🐻🐻🐻",
        "a long sentence is a good password",
        "groundql 83051 77231",
    ],
)
async def test_what_has_enough_besides_is_accepted(anyio_backend: str, password: str) -> None:
    """Eight letters and digits beside the words; without any of them there is nothing to ask."""
    await PasswordRules(shop()).check(password, "a@b.example")


async def test_without_words_nothing_is_refused(anyio_backend: str) -> None:
    """An empty list changes nothing."""
    await PasswordRules().check("GroundQL", "a@b.example")
    assert list(ForbiddenWords(["", "ab", "-!-"])) == []


@pytest.mark.anyio
async def test_every_way_to_a_password_asks(context: Context, anna: User, store: Store) -> None:
    """Registering, changing, resetting and the command for the first administrator refuse them, and
    change nothing; a login with a password of before goes on."""
    services = replace(context.services, password_rules=PasswordRules(shop()))
    ruled = replace(context, services=services)
    tokens = await account.login(ruled, email=EMAIL, password=PASSWORD)
    viewer = await as_viewer(ruled, tokens.access_token)
    await password_changes.request_password_reset(ruled, EMAIL)
    token = await mailed_token(EMAIL)
    before = (await User.get()).password_hash
    bad = "Shop-2026!"
    with pytest.raises(InvalidInput) as registered:
        await registration.register(ruled, email="new@example.com", password=bad)
    with pytest.raises(InvalidInput) as changed:
        await password_changes.change_password(viewer, current_password=PASSWORD, new_password=bad)
    with pytest.raises(InvalidInput) as reset:
        await password_changes.reset_password(ruled, token, bad)
    with pytest.raises(InvalidInput) as made:
        await roles.create_admin(
            store,
            services.clock,
            services.passwords,
            services.password_rules,
            email="adam@example.com",
            password=bad,
            origin=Origin(),
        )
    caught = [registered, changed, reset, made]
    assert [one.value.message for one in caught] == [MESSAGE] * 4
    assert [one.value.field for one in caught] == [
        "password",
        "newPassword",
        "newPassword",
        "password",
    ]
    assert (await User.get()).password_hash == before
    await password_changes.reset_password(ruled, token, "the shopkeeper sings")


@given(st.text(max_size=60), st.lists(st.text(max_size=8), max_size=5))
def test_any_text(password: str, words: list[str]) -> None:
    """It never fails; what is left has none of the password's signs, and less than before."""
    rest = ForbiddenWords(words).rest(password)
    assert rest is None or len(rest) < len(compact(password))
