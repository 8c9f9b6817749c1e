"""A second factor that people must have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pyotp
import pytest
from graphql import GraphQLNonNull
from graphql.type import GraphQLInputType
from websockets.exceptions import ConnectionClosed

from models.user import Role
from rag.embedding.fake import FakeEmbedder
from resolvers.account_rules import SecondFactorFor
from schema.root import build_schema
from schema.scopes import FIELDS, FOR_PEOPLE, FOR_SETTING_UP
from tests.application import PASSWORD, Running, copy_sqlite, running_app, test_settings
from tests.clock import SettableClock
from tests.schema.test_second_factor import BEGIN, CONFIRM, DISABLE, LOGIN

pytestmark = pytest.mark.anyio

STATE = "{ secondFactor { enabled required } }"
SESSIONS = "{ sessions(first: 1) { edges { node { id } } } }"
CREATE = 'mutation { createSession(title: "x") { __typename } }'
KEY = """mutation { createApiKey(input: {name: "nightly", scopes: [READ]}) {
  ... on CreatedApiKey { key } } }"""
FOLLOW = "subscription { indexProgress { documents } }"


class World:
    def __init__(self, app: Running, clock: SettableClock) -> None:
        self.app, self.clock = app, clock

    async def set_up(self, token: str) -> tuple[str, list[str]]:
        """The secret and the recovery codes."""
        setup = (await self.app.data(BEGIN, {"p": PASSWORD}, token))["beginSecondFactor"]
        code = pyotp.TOTP(setup["secret"]).at(self.clock.time)
        done = (await self.app.data(CONFIRM, {"c": code}, token))["confirmSecondFactor"]
        self.clock.forward(seconds=60)
        return setup["secret"], done["codes"]

    async def login(self, email: str, code: str | None = None) -> Any:
        values = {"email": email, "password": PASSWORD, "code": code}
        return (await self.app.data(LOGIN, {"i": values}))["login"]

    async def refusal(self, operation: str, token: str) -> dict[str, Any]:
        """The extensions of the one error."""
        (error,) = (await self.app.post(operation, token=token))["errors"]
        found: dict[str, Any] = {**error["extensions"], "message": error["message"]}
        return found


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def editors(
    anyio_backend: str, empty_sqlite: Path, tmp_path: Path, clock: SettableClock
) -> AsyncIterator[World]:
    """A server where editors and administrators need one."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(
        tmp_path, copy_sqlite(empty_sqlite, tmp_path), second_factor_required="editors"
    )
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
        yield World(app, clock)


async def test_an_editor_sets_it_up_first(editors: World) -> None:
    """The login works, but only far enough: everything else that needs it says what is missing,
    typed, until the factor is there. The refresh goes on, and so does who needs none."""
    app = editors.app
    token = await app.login("eve@example.com", Role.EDITOR)
    assert (await app.data(STATE, token=token))["secondFactor"] == {
        "enabled": False,
        "required": True,
    }
    assert (await app.data("{ me { role } }", token=token))["me"]["role"] == "EDITOR"
    for operation in (SESSIONS, CREATE, KEY):
        found = await editors.refusal(operation, token)
        assert (found["code"], found["reason"]) == ("FORBIDDEN", "SECOND_FACTOR_NEEDED")
        assert found["message"] == "Set up a second factor first: your account needs one here."
    await editors.set_up(token)
    assert (await app.data(STATE, token=token))["secondFactor"] == {
        "enabled": True,
        "required": True,
    }
    assert (await app.data(CREATE, token=token))["createSession"]["__typename"] == "ChatSession"
    assert (await editors.login("eve@example.com"))["__typename"] == "SecondFactorRequired"

    user = await app.login("ada@example.com")
    assert (await app.data(STATE, token=user))["secondFactor"] == {
        "enabled": False,
        "required": False,
    }
    assert (await app.data(CREATE, token=user))["createSession"]["__typename"] == "ChatSession"


async def test_the_message_is_in_the_persons_language(editors: World) -> None:
    token = await editors.app.login("eve@example.com", Role.ADMIN)
    await editors.app.data("mutation { setLanguage(language: DE) { id } }", token=token)
    found = await editors.refusal(SESSIONS, token)
    assert found["message"].startswith("Richten Sie erst einen zweiten Faktor ein")


async def test_no_field_goes_round_it(editors: World) -> None:
    """Every field of the roots but those for setting up is refused, before its arguments count."""
    token = await editors.app.login("eve@example.com", Role.ADMIN)
    schema = build_schema()._schema
    assert set(schema.query_type.fields) >= {"me", "secondFactor"}  # type: ignore[union-attr]
    asked = 0
    for kind, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert root is not None
        for name, field in root.fields.items():
            if name in FOR_SETTING_UP or name == "uploadDocument":
                continue
            needed = {
                key: argument.type
                for key, argument in field.args.items()
                if isinstance(argument.type, GraphQLNonNull)
            }
            declared = ", ".join(f"${key}: {type}" for key, type in needed.items())
            given = ", ".join(f"{key}: ${key}" for key in needed)
            inner = field.type
            while hasattr(inner, "of_type"):
                inner = inner.of_type
            body = "{ __typename }" if hasattr(inner, "fields") or hasattr(inner, "types") else ""
            query = (
                f"{kind}{f'({declared})' if declared else ''} "
                f"{{ {name}{f'({given})' if given else ''} {body} }}"
            )
            values = {key: _value(type.of_type) for key, type in needed.items()}
            answer = await editors.app.post(query, values, token)
            reasons = [error["extensions"].get("reason") for error in answer["errors"]]
            assert reasons == ["SECOND_FACTOR_NEEDED"], (name, answer)
            asked += 1
    assert asked > 60


def _value(type_: GraphQLInputType) -> Any:
    """Some value of an input type."""
    if isinstance(type_, GraphQLNonNull):
        return _value(type_.of_type)
    if hasattr(type_, "of_type"):
        return [_value(type_.of_type)]
    if hasattr(type_, "values"):
        return next(iter(type_.values))
    if hasattr(type_, "fields"):
        needed = {k: f.type for k, f in type_.fields.items() if isinstance(f.type, GraphQLNonNull)}
        return {key: _value(one) for key, one in needed.items()}
    return {"Boolean": True, "Int": 1, "Float": 1.0}.get(str(type_), "x")


def test_the_fields_for_setting_up_exist() -> None:
    """Each is a field of a root, and none that a key may use changes something."""
    schema = build_schema()._schema
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    names = {*schema.query_type.fields, *schema.mutation_type.fields}
    assert names >= FOR_SETTING_UP
    assert {"me", "publicConversation"} == FOR_SETTING_UP - FOR_PEOPLE
    assert not FOR_SETTING_UP & (frozenset().union(*FIELDS.values()) - {"me", "publicConversation"})


async def test_no_other_way_in(editors: World) -> None:
    """Subscriptions, the export of one's data, and keys that were made before are closed, too."""
    app = editors.app
    token = await app.login("eve@example.com")
    key = (await app.data(KEY, token=token))["createApiKey"]["key"]
    assert "errors" not in await app.post(SESSIONS, token=key)
    token = await app.login("eve@example.com", Role.EDITOR)
    found = await editors.refusal(SESSIONS, key)
    assert found["reason"] == "SECOND_FACTOR_NEEDED"
    async with aclosing(app.subscribe(FOLLOW, token=token)) as events:
        payloads = [payload async for payload in events]
    (first,) = payloads
    assert first["data"] is None
    assert first["errors"][0]["extensions"]["reason"] == "SECOND_FACTOR_NEEDED"
    url = app.url.removesuffix("/graphql") + "/account/data"
    data = await app.http.get(url, headers={"authorization": f"Bearer {token}"})
    assert (data.status_code, data.json()["reason"]) == (403, "SECOND_FACTOR_NEEDED")
    await editors.set_up(token)
    assert (
        await app.http.get(url, headers={"authorization": f"Bearer {token}"})
    ).status_code == 200
    assert "errors" not in await app.post(SESSIONS, token=key)


async def test_who_logged_in_before_has_not_shown_it(editors: World) -> None:
    """A thief who has the password logs in before the owner sets the factor up: the thief's login
    ends with it, and cannot use what it waited for."""
    app = editors.app
    thief = await app.login("eve@example.com", Role.EDITOR)
    owner = await app.login("eve@example.com", Role.EDITOR)
    await editors.set_up(owner)
    assert await app.code(SESSIONS, token=thief) == "UNAUTHENTICATED"
    assert "errors" not in await app.post(SESSIONS, token=owner)


async def test_switching_it_off_begins_anew(editors: World) -> None:
    """All logins end with the streams that are open; the next one can only set up another one, for
    another telephone. Who needs none stays logged in."""
    app = editors.app
    token = await app.login("eve@example.com", Role.EDITOR)
    secret, codes = await editors.set_up(token)
    async with app.socket(token) as socket:
        off = await app.data(DISABLE, {"p": PASSWORD, "c": codes[0]}, token)
        assert off["disableSecondFactor"]["__typename"] == "Acknowledged"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
    assert await app.code(STATE, token=token) == "UNAUTHENTICATED"
    again = (await editors.login("eve@example.com"))["accessToken"]
    found = await editors.refusal(SESSIONS, again)
    assert found["reason"] == "SECOND_FACTOR_NEEDED"
    other, _ = await editors.set_up(again)
    assert other != secret
    assert "errors" not in await app.post(SESSIONS, token=again)

    ada = await app.login("ada@example.com")
    _, codes = await editors.set_up(ada)
    await app.data(DISABLE, {"p": PASSWORD, "c": codes[0]}, ada)
    assert "errors" not in await app.post(SESSIONS, token=ada)


@pytest.mark.parametrize(
    ("rule", "roles"),
    [
        (SecondFactorFor.NOBODY, set()),
        (SecondFactorFor.EDITORS, {Role.EDITOR, Role.ADMIN}),
        (SecondFactorFor.EVERYONE, {Role.USER, Role.EDITOR, Role.ADMIN}),
    ],
)
def test_who_needs_one(rule: SecondFactorFor, roles: set[Role]) -> None:
    assert {role for role in Role if rule.includes(role)} == roles


async def test_everyone(
    anyio_backend: str, empty_database_url: str, tmp_path: Path, clock: SettableClock
) -> None:
    """With `everyone`, on each database: a new person registers, logs in, sets it up and chats."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, empty_database_url, second_factor_required="everyone")
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
        world = World(app, clock)
        token = await app.login("ada@example.com")
        assert (await world.refusal(CREATE, token))["reason"] == "SECOND_FACTOR_NEEDED"
        await world.set_up(token)
        assert (await app.data(CREATE, token=token))["createSession"]["__typename"] == "ChatSession"
        anonymous = await app.post(CREATE)
        assert anonymous["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
