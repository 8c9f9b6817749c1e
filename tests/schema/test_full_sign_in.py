"""What asks for the password, a code of the second factor, or a new login."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.api_key import ApiKey
from models.base import new_id
from models.email_change import EmailChange
from models.login import Login
from models.second_factor import SecondFactor
from models.sign_in import SignInFlow
from models.user import User
from rag.embedding.fake import FakeEmbedder
from schema.node import global_id
from tests.application import PASSWORD, Running, copy_sqlite, running_app, test_settings
from tests.clock import SettableClock
from tests.schema.test_second_factor import BEGIN, DISABLE, EMAIL, LOGIN, WRONG, Factor
from tests.schema.test_second_factor import CONFIRM as SWITCH_ON

pytestmark = pytest.mark.anyio

NEW = "another long sentence"
MISSING = {
    "__typename": "SecondFactorRequired",
    "message": "Give the code that your authenticator app shows.",
}
PROBLEM = "__typename ... on Problem { message }"
CHANGE = f"""mutation($p: String!, $c: String) {{
  r: changePassword(currentPassword: $p, newPassword: "{NEW}", code: $c) {{ {PROBLEM}
    ... on AuthTokens {{ accessToken }} }} }}"""
MOVE = f"""mutation($p: String!, $c: String) {{
  r: requestEmailChange(newEmail: "new@example.com", password: $p, code: $c) {{ {PROBLEM} }} }}"""
GO = f"""mutation($p: String!, $c: String) {{
  r: deleteAccount(password: $p, code: $c) {{ {PROBLEM} }} }}"""
LINK = f"""mutation($p: String!, $c: String) {{
  r: linkSignIn(provider: "none", redirectUri: "https://x", password: $p, code: $c)
  {{ {PROBLEM} }} }}"""
LOGINS = "{ logins { id current createdAt } }"
REVOKE = """mutation($i: ID!) { revokeLogin(id: $i) { __typename } }"""
EVERYWHERE = "mutation { logout(everywhere: true) { ok } }"
KEY = """mutation { createApiKey(input: {name: "nightly", scopes: [READ]}) { __typename } }"""
UNLINK = 'mutation { unlinkSignIn(id: "x") { __typename } }'


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def factor(
    anyio_backend: str, empty_database_url: str, tmp_path: Path, clock: SettableClock
) -> AsyncIterator[Factor]:
    """Ada with a second factor and a confirmed address."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, empty_database_url)
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
        made = Factor(app, clock, await app.login(EMAIL))
        made.secret = (await made.do(BEGIN, p=PASSWORD))["secret"]
        made.recovery = (await made.do(SWITCH_ON, c=made.code()))["codes"]
        clock.forward(seconds=60)
        app.services.store.bind()
        await User.filter(email=EMAIL).update(email_verified_at=clock.now())
        yield made


async def snapshot() -> dict[str, Any]:
    user = await User.get(email=EMAIL)
    return {
        "hash": user.password_hash,
        "moves": await EmailChange.all().count(),
        "flows": await SignInFlow.all().count(),
        "factor": (await SecondFactor.get()).confirmed_at,
    }


@pytest.mark.parametrize("operation", [CHANGE, MOVE, GO, LINK])
async def test_it_takes_the_password_and_a_code(
    factor: Factor, clock: SettableClock, operation: str
) -> None:
    """Whoever has a second factor shows it, too, whatever they want to change; a thief with the
    open device and the password alone changes nothing. The code counts once."""
    before = await snapshot()
    assert await factor.do(operation, p=PASSWORD) == MISSING
    assert await factor.do(operation, p=PASSWORD, c=" ") == MISSING
    wrong = await factor.do(operation, p="another sentence", c=factor.code())
    assert wrong == {"__typename": "InvalidCredentials", "message": "The password is wrong."}
    assert await factor.do(operation, p=PASSWORD, c=factor.code(3)) == WRONG
    assert await snapshot() == before
    code = factor.code()
    assert (await factor.login(code))["__typename"] == "AuthTokens"
    assert await factor.do(operation, p=PASSWORD, c=code) == WRONG
    assert await snapshot() == before
    clock.forward(seconds=60)
    done = await factor.do(operation, p=PASSWORD, c=factor.code())
    expected = {CHANGE: "AuthTokens", MOVE: "EmailChange", GO: "Acknowledged", LINK: "InvalidInput"}
    assert done["__typename"] == expected[operation]


async def test_a_recovery_code_will_do(factor: Factor) -> None:
    """For who has lost the app; it is used up."""
    assert (await factor.do(MOVE, p=PASSWORD, c=factor.recovery[0]))["__typename"] == "EmailChange"
    assert await factor.do(MOVE, p=PASSWORD, c=factor.recovery[0]) == WRONG


async def test_a_refused_password_costs_no_code(factor: Factor) -> None:
    """The new password is looked at first: the code still counts afterwards."""
    code = factor.code()
    weak = await factor.do(CHANGE.replace(NEW, "12345678"), p=PASSWORD, c=code)
    assert weak["__typename"] == "InvalidInput"
    same = await factor.do(MOVE.replace("new@example.com", EMAIL), p=PASSWORD, c=code)
    assert same["__typename"] == "InvalidInput"
    assert (await factor.do(CHANGE, p=PASSWORD, c=code))["__typename"] == "AuthTokens"


async def test_codes_are_not_guessed_here(factor: Factor, clock: SettableClock) -> None:
    """Whichever operations they come with, ten are looked at; then even the right one waits."""
    kinds = [
        (await factor.do((CHANGE, MOVE, GO, LINK)[n % 4], p=PASSWORD, c=f"{n:06}"))["__typename"]
        for n in range(1000, 1010)
    ]
    assert kinds == ["SecondFactorRequired"] * 10
    assert (await factor.do(GO, p=PASSWORD, c=factor.code()))["__typename"] == "RateLimited"
    assert await factor.app.code(CHANGE, {"p": PASSWORD, "c": factor.code()}, factor.token) == (
        "RATE_LIMITED"
    )
    off = await factor.do(DISABLE, p=PASSWORD, c=factor.code())
    assert off["__typename"] == "RateLimited"


async def test_without_a_factor_the_password_is_enough(empty_app: Running) -> None:
    """Nothing has changed for who has none: a code that is sent is not looked at."""
    token = await empty_app.login(EMAIL)
    for values in ({"p": PASSWORD}, {"p": NEW, "c": "nonsense"}):
        operation = CHANGE if values["p"] == PASSWORD else MOVE
        answer = (await empty_app.data(operation, values, token))["r"]
        token = answer.get("accessToken", token)
        assert answer["__typename"] in ("AuthTokens", "EmailChange")


# ---- a login that is new enough ------------------------------------------------------------------


@pytest.fixture
async def fresh(
    anyio_backend: str, empty_sqlite: Path, tmp_path: Path, clock: SettableClock
) -> AsyncIterator[Running]:
    """A server where a login is new for ten minutes."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(
        tmp_path, copy_sqlite(empty_sqlite, tmp_path), sign_in_again_minutes=10
    )
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
        yield app


async def refusal(app: Running, operation: str, token: str, **values: Any) -> dict[str, Any]:
    (error,) = (await app.post(operation, values, token))["errors"]
    assert error["message"] == "Log in again to do this: your login is too old for it."
    found: dict[str, Any] = error["extensions"]
    return found


async def test_others_are_ended_after_a_new_login(fresh: Running, clock: SettableClock) -> None:
    """Who has stolen an open device cannot throw the owner out, nor make a way in that stays; a
    refreshed token is no new login. The device's own logout needs nothing."""
    values = {"i": {"email": EMAIL, "password": PASSWORD, "code": None}}
    other = await fresh.login(EMAIL)
    clock.forward(seconds=1)
    query = LOGIN.replace("accessToken", "accessToken refreshToken")
    mine = (await fresh.data(query, values))["login"]
    clock.forward(minutes=10)
    again = """mutation($t: String!) { refreshTokens(refreshToken: $t) {
      ... on AuthTokens { accessToken } } }"""
    token = (await fresh.data(again, {"t": mine["refreshToken"]}))["refreshTokens"]["accessToken"]
    newest, oldest = (await fresh.data(LOGINS, token=token))["logins"]
    assert newest["current"] is True
    for operation, sent in (
        (REVOKE, {"i": oldest["id"]}),
        (EVERYWHERE, {}),
        (KEY, {}),
        (UNLINK, {}),
    ):
        found = await refusal(fresh, operation, token, **sent)
        assert found == {"code": "FORBIDDEN", "reason": "SIGN_IN_AGAIN"}
    fresh.services.store.bind()
    assert await Login.filter(revoked_at__isnull=False).count() == 0
    assert await ApiKey.all().count() == 0

    anew = (await fresh.data(LOGIN, values))["login"]["accessToken"]
    clock.forward(minutes=9, seconds=59)
    gone = await fresh.data(REVOKE, {"i": oldest["id"]}, anew)
    assert gone["revokeLogin"]["__typename"] == "Deleted"
    assert await fresh.code("{ me { id } }", token=other) == "UNAUTHENTICATED"
    made = await fresh.data(KEY, token=anew)
    assert made["createApiKey"]["__typename"] == "CreatedApiKey"
    assert (await fresh.data(EVERYWHERE, token=anew))["logout"] == {"ok": True}
    assert await fresh.code("{ me { id } }", token=token) == "UNAUTHENTICATED"


async def test_ones_own_login_ends_at_any_time(fresh: Running, clock: SettableClock) -> None:
    """By logout and by its line in the list."""
    for operation in ("mutation { logout { ok } }", REVOKE):
        token = await fresh.login(EMAIL)
        clock.forward(minutes=12)
        (own,) = (await fresh.data(LOGINS, token=token))["logins"]
        sent = {"i": own["id"]} if operation == REVOKE else {}
        assert "errors" not in await fresh.post(operation, sent, token)
        assert await fresh.code("{ me { id } }", token=token) == "UNAUTHENTICATED"


async def test_strangers_logins_stay_unknown(fresh: Running, clock: SettableClock) -> None:
    """An old login learns nothing by an id: that of another person's login is refused like one that
    is nobody's, and afterwards neither exists for it."""
    token = await fresh.login(EMAIL)
    theirs = await fresh.login("eve@example.com")
    (hers,) = (await fresh.data(LOGINS, token=theirs))["logins"]
    clock.forward(minutes=11)
    for login_id in (hers["id"], global_id("Login", new_id())):
        found = await refusal(fresh, REVOKE, token, i=login_id)
        assert found == {"code": "FORBIDDEN", "reason": "SIGN_IN_AGAIN"}
    token = await fresh.login(EMAIL)
    for login_id in (hers["id"], global_id("Login", new_id())):
        answer = await fresh.data(REVOKE, {"i": login_id}, token)
        assert answer["revokeLogin"]["__typename"] == "NotFound"
    assert (await fresh.data("{ me { id } }", token=theirs))["me"]
