"""Keys for programs: what they may do, and how they end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from graphql import build_schema
from websockets.exceptions import ConnectionClosed

from models.api_key import ApiKey, ApiScope
from models.login import Login
from models.user import Role, User
from resolvers.api_keys import login_of_key, new_key
from schema.scopes import FIELDS, FOR_PEOPLE
from tests.application import PASSWORD, Running
from tests.schema.people import CREATE, person
from tests.schema.test_documents import ADD
from tests.schema.test_passwords import CHANGE, LOGINS, REQUEST, RESET, newest_link
from tests.schema.test_root import SDL

pytestmark = pytest.mark.anyio

MAKE = """mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { __typename
  ... on CreatedApiKey { key apiKey { id name hint scopes expiresAt lastUsedAt } }
  ... on InvalidInput { field message } } }"""
LIST = "{ apiKeys { id name hint scopes lastUsedAt } }"
REVOKE = """mutation($i: ID!) { revokeApiKey(id: $i) { __typename ... on Deleted { id }
  ... on NotFound { message } } }"""
LOGOUT = "mutation { logout(everywhere: true) { ok } }"
ME = "{ me { email } }"


async def make(app: Running, token: str, *scopes: str, **wish: Any) -> dict[str, Any]:
    wish = {"name": "Robot", "scopes": list(scopes), **wish}
    made: dict[str, Any] = (await app.data(MAKE, {"i": wish}, token))["createApiKey"]
    return made


async def test_a_key_s_life(empty_app: Running) -> None:
    """Its text is shown once and stored as a hash; it is listed with its last use; revoked, it
    stops at once, with the socket that is open with it. Nobody sees or ends a stranger's."""
    app = empty_app
    anna, ben = await person(app, "Anna"), await person(app, "Ben")
    made = await make(app, anna.token, "READ", "CHAT", name="  My   robot ", expiresInDays=1)
    key, about = made["key"], made["apiKey"]
    assert key.startswith("gqk_")
    assert (about["name"], about["hint"], about["scopes"]) == (
        "My robot",
        key[-4:],
        ["CHAT", "READ"],
    )
    assert about["lastUsedAt"] is None
    row = await ApiKey.get()
    assert key not in str(await ApiKey.all().values()) + repr(row)
    assert await app.data(ME, token=key) == {"me": {"email": anna.email}}
    (listed,) = await anna.do(LIST)
    assert listed["lastUsedAt"] is not None
    assert "key" not in listed
    assert await ben.do(LIST) == []
    missing = await ben.do(REVOKE, i=about["id"])
    assert missing == {"__typename": "NotFound", "message": "There is no such API key."}
    # It is no device of the person's.
    assert [one["current"] for one in await anna.do(LOGINS)] == [True]
    async with app.socket(key) as socket:
        assert await anna.do(REVOKE, i=about["id"]) == {"__typename": "Deleted", "id": about["id"]}
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
    assert await app.code(ME, token=key) == "UNAUTHENTICATED"
    assert await anna.do(LIST) == []
    assert (await anna.do(REVOKE, i=about["id"]))["__typename"] == "NotFound"


async def test_scopes(empty_app: Running) -> None:
    """A key does what its scopes say, within the rights of its person, and never what changes
    accounts, not even with all scopes of an ADMIN."""
    app = empty_app
    admin = await app.login("adam@example.com", Role.ADMIN)
    anna = await person(app, "Anna")
    read, chat, documents = [
        (await make(app, admin, scope))["key"] for scope in ("READ", "CHAT", "DOCUMENTS")
    ]
    document = {"i": {"title": "T", "content": "text"}}
    expected = {
        read: ("ok", "FORBIDDEN", "FORBIDDEN"),
        chat: ("FORBIDDEN", "ok", "FORBIDDEN"),
        documents: ("FORBIDDEN", "FORBIDDEN", "ok"),
    }
    for key, outcomes in expected.items():
        for operation, outcome in zip((ME, CREATE, ADD), outcomes, strict=True):
            answer = await app.post(operation, document if operation is ADD else {}, key)
            codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
            assert codes == ([] if outcome == "ok" else [outcome]), operation
    own = (await make(app, anna.token, "DOCUMENTS"))["key"]
    assert await app.code(ADD, document, own) == "FORBIDDEN"
    every = (await make(app, admin, "READ", "CHAT", "DOCUMENTS"))["key"]
    people = await User.all().count()
    for operation, variables in (
        (CHANGE, {"c": PASSWORD, "n": "another long sentence"}),
        (LOGOUT, {}),
        (LOGINS, {}),
        (LIST, {}),
        (MAKE, {"i": {"name": "x", "scopes": ["READ"]}}),
        ("mutation($u: ID!) { setUserRole(userId: $u, role: ADMIN) { id } }", {"u": anna.id}),
        ("mutation($u: ID!) { suspendUser(userId: $u) { id } }", {"u": anna.id}),
        ("mutation($p: String!) { deleteAccount(password: $p) { __typename } }", {"p": PASSWORD}),
    ):
        assert await app.code(operation, variables, every) == "FORBIDDEN", operation
    assert await User.all().count() == people
    export = app.url.replace("/graphql", "/account/data")
    refused = await app.http.get(export, headers={"authorization": f"Bearer {every}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")


async def test_what_ends_keys(empty_app: Running) -> None:
    """A changed password and a logout everywhere leave them; a reset, a suspension, their time and
    the end of the account end them."""
    app = empty_app
    admin = await app.login("adam@example.com", Role.ADMIN)
    anna = await person(app, "Anna")
    key = (await make(app, anna.token, "READ"))["key"]
    late = (await make(app, anna.token, "READ"))["key"]
    await Login.filter(id=login_of_key(late)).update(
        expires_at=app.services.clock.now() - timedelta(seconds=1)
    )
    assert await app.code(ME, token=late) == "UNAUTHENTICATED"
    changed = await anna.do(CHANGE, c=PASSWORD, n="another long sentence")
    await app.data(LOGOUT, token=changed["accessToken"])
    assert await app.data(ME, token=key) == {"me": {"email": anna.email}}
    await User.filter(email=anna.email).update(suspended_at=app.services.clock.now())
    assert await app.code(ME, token=key) == "UNAUTHENTICATED"
    await User.filter(email=anna.email).update(suspended_at=None)
    await app.data(REQUEST, {"e": anna.email})
    link = await newest_link(app, anna.email, "Set a new password")
    await app.data(RESET, {"t": link, "p": PASSWORD})
    assert await app.code(ME, token=key) == "UNAUTHENTICATED"
    token = await app.login(anna.email)
    key = (await make(app, token, "READ"))["key"]
    await app.data("mutation($u: ID!) { suspendUser(userId: $u) { id } }", {"u": anna.id}, admin)
    assert await app.code(ME, token=key) == "UNAUTHENTICATED"
    assert await Login.filter(is_key=True, revoked_at__isnull=True).count() == 0


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"expiresInDays": 0}, "expiresInDays"),
        ({"expiresInDays": 366}, "expiresInDays"),
    ],
)
async def test_unfit_wishes(scripted: Running, wish: dict[str, Any], field: str) -> None:
    """They are refused by their field, and make no key."""
    token = await scripted.login()
    answer = await make(scripted, token, "READ", **wish)
    assert (answer["__typename"], answer["field"]) == ("InvalidInput", field)
    assert await ApiKey.all().count() == 0


async def test_forged_keys(scripted: Running) -> None:
    """Nothing that only looks like a key is one; a refresh token is none either."""
    token = await scripted.login()
    key = (await make(scripted, token, "READ"))["key"]
    login_id = login_of_key(key)
    assert login_id is not None
    other = "A" if key[-1] != "A" else "B"
    for forged in (new_key(login_id), key[:-1] + other, key[:-1], key + "A", "gqk_"):
        assert await scripted.code(ME, token=forged) == "UNAUTHENTICATED"
    assert login_of_key("gqk_" + "!" * 64) is None
    assert login_of_key("gqk_" + "é" * 64) is None


async def test_there_are_fifty_at_most(scripted: Running) -> None:
    """Also when they are asked for at once."""
    token = await scripted.login()
    made = await asyncio.gather(*(make(scripted, token, "READ") for _ in range(60)))
    kinds = [one["__typename"] for one in made]
    assert (kinds.count("CreatedApiKey"), kinds.count("InvalidInput")) == (50, 10)


def test_every_field_is_decided_on() -> None:
    """A new field of a root needs a scope, or a word that it is for people alone."""
    schema = build_schema(SDL.read_text(encoding="utf-8"))
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    fields = [name for root in roots if root is not None for name in root.fields]
    decided = [name for names in (*FIELDS.values(), FOR_PEOPLE) for name in names]
    assert sorted(decided) == sorted(fields)
    assert set(FIELDS) == set(ApiScope)
    # What only reads needs no more than READ, and no mutation is open to it.
    assert schema.mutation_type is not None
    assert not FIELDS[ApiScope.READ] & schema.mutation_type.fields.keys()
