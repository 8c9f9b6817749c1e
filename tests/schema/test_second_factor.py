"""A second factor through the real application."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest

from models.outbox_mail import OutboxMail
from models.second_factor import RecoveryCode, SecondFactor
from models.user import User
from rag.embedding.fake import FakeEmbedder
from resolvers import second_factor
from resolvers.tokens import hash_opaque_token
from tests.application import PASSWORD, Running, copy_sqlite, running_app, test_settings
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio

EMAIL = "ada@example.com"
PROBLEM = "... on Problem { message }"
LOGIN = f"""mutation($i: LoginInput!) {{ login(input: $i) {{ __typename
  ... on AuthTokens {{ accessToken }} ... on RateLimited {{ retryAfterSeconds }} {PROBLEM} }} }}"""
STATE = "{ secondFactor { enabled recoveryCodesLeft } }"
BEGIN = f"""mutation($p: String!) {{ beginSecondFactor(password: $p) {{ __typename
  ... on SecondFactorSetup {{ secret uri }} {PROBLEM} }} }}"""
CONFIRM = f"""mutation($c: String!) {{ confirmSecondFactor(code: $c) {{ __typename
  ... on RecoveryCodes {{ codes }} {PROBLEM} }} }}"""
DISABLE = f"""mutation($p: String!, $c: String!) {{
  disableSecondFactor(password: $p, code: $c) {{ __typename
    ... on Acknowledged {{ ok }} {PROBLEM} }} }}"""
RESET = """mutation($t: String!, $p: String!) {
  resetPassword(token: $t, newPassword: $p) { __typename } }"""
WRONG = {
    "__typename": "SecondFactorRequired",
    "message": "The code is wrong or was used; wait for the next one.",
}


class Factor:
    """Ada's second factor, switched on; `code` is what her app shows."""

    def __init__(self, app: Running, clock: SettableClock, token: str) -> None:
        self.app, self.clock, self.token = app, clock, token
        self.secret = ""
        self.recovery: list[str] = []

    def code(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(self.clock.time + timedelta(seconds=30 * steps))

    async def do(self, operation: str, **values: Any) -> Any:
        (found,) = (await self.app.data(operation, values, self.token)).values()
        return found

    async def login(self, code: str | None = None, password: str = PASSWORD) -> Any:
        values = {"email": EMAIL, "password": password, "code": code}
        return (await self.app.data(LOGIN, {"i": values}))["login"]


@pytest.fixture
async def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def factor(
    anyio_backend: str, empty_database_url: str, tmp_path: Path, clock: SettableClock
) -> AsyncIterator[Factor]:
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, empty_database_url)
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
        made = Factor(app, clock, await app.login(EMAIL))
        setup = await made.do(BEGIN, p=PASSWORD)
        made.secret = setup["secret"]
        address = urlsplit(setup["uri"])
        assert (address.scheme, address.netloc) == ("otpauth", "totp")
        assert unquote(address.path) == f"/GroundQL:{EMAIL}"
        assert parse_qs(address.query)["secret"] == [made.secret]
        assert (await made.login())["__typename"] == "AuthTokens"  # not before it is confirmed
        wrong = await made.do(CONFIRM, c="000000" if made.code() != "000000" else "111111")
        assert wrong["__typename"] == "InvalidInput"
        assert await made.do(STATE) == {"enabled": False, "recoveryCodesLeft": 0}
        made.recovery = (await made.do(CONFIRM, c=made.code()))["codes"]
        clock.forward(seconds=60)
        yield made


async def test_a_login_needs_a_code(factor: Factor, clock: SettableClock) -> None:
    """Without one, and with a wrong one, the answer says what is missing; a wrong password says
    nothing of it. A code of the step before or after counts, one of two steps away does not."""
    assert await factor.do(STATE) == {"enabled": True, "recoveryCodesLeft": 10}
    for code in (None, "", " "):
        assert await factor.login(code) == {
            "__typename": "SecondFactorRequired",
            "message": "Give the code that your authenticator app shows.",
        }
    assert await factor.login(factor.code(-2)) == WRONG
    assert await factor.login(factor.code(2)) == WRONG
    assert await factor.login("０" * 6) == WRONG
    bad = await factor.login(factor.code(), password="another sentence")
    assert bad["__typename"] == "InvalidCredentials"
    assert (await factor.login(factor.code(-1)))["__typename"] == "AuthTokens"
    code = factor.code()
    assert (await factor.login(f"{code[:3]} {code[3:]}"))["__typename"] == "AuthTokens"
    assert (await factor.login(factor.code(1)))["__typename"] == "AuthTokens"


async def test_a_code_counts_once(factor: Factor, clock: SettableClock) -> None:
    """Also if it comes ten times at once, and no older one counts after it."""
    code = factor.code()
    answers = await asyncio.gather(*(factor.login(code) for _ in range(8)))
    assert sorted(one["__typename"] for one in answers) == [
        "AuthTokens",
        *["SecondFactorRequired"] * 7,
    ]
    assert await factor.login(code) == WRONG
    assert await factor.login(factor.code(-1)) == WRONG
    clock.forward(seconds=30)
    assert (await factor.login(factor.code()))["__typename"] == "AuthTokens"


async def test_recovery_codes_count_once(factor: Factor) -> None:
    """They stand in for the app, in any case and without hyphens; only their hashes are kept."""
    first, second = factor.recovery[:2]
    assert len(set(factor.recovery)) == 10
    assert all(re.fullmatch("([a-z2-7]{4}-){6}[a-z2-7]{4}", code) for code in factor.recovery)
    assert (await factor.login(first))["__typename"] == "AuthTokens"
    assert await factor.login(first) == WRONG
    typed = second.replace("-", " ").upper()
    answers = await asyncio.gather(*(factor.login(typed) for _ in range(5)))
    assert [one["__typename"] for one in answers].count("AuthTokens") == 1
    assert await factor.do(STATE) == {"enabled": True, "recoveryCodesLeft": 8}
    factor.app.services.store.bind()
    kept = await RecoveryCode.all()
    assert len(kept) == 10
    assert not any(code in repr([vars(row) for row in kept]) for code in factor.recovery)


async def test_recovery_codes_of_before(factor: Factor) -> None:
    """Those of 24 letters, which older versions made, go on to work once."""
    old = "abcd-efgh-ijkl-mnop-qrst-uvwx"
    factor.app.services.store.bind()
    user = await User.get(email=EMAIL)
    hashed = hash_opaque_token(old.replace("-", ""))
    await RecoveryCode.create(user=user, code_hash=hashed)
    assert (await factor.login(old))["__typename"] == "AuthTokens"
    assert await factor.login(old) == WRONG


def test_recovery_codes_have_enough_bits() -> None:
    """Each of their letters is one of 32, chosen by itself: 140 bits. None is rarer than others."""
    codes = [second_factor._new_recovery_code().replace("-", "") for _ in range(400)]
    assert {len(code) for code in codes} == {28}
    assert len(set(codes)) == 400
    counts = Counter("".join(codes))
    assert len(counts) == 32
    assert math.log2(32) * 28 >= 128
    # 350 are expected of each; eight standard deviations are 147.
    assert all(abs(number - 350) < 147 for number in counts.values())


async def test_a_strict_server_takes_the_present_code_alone(
    empty_sqlite: Path, tmp_path: Path, clock: SettableClock
) -> None:
    """With STRICT_TOTP a code lives for 30 seconds: neither the one before nor the next one counts,
    and not even for switching it on."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, copy_sqlite(empty_sqlite, tmp_path), strict_totp=True)
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as app:
        factor = Factor(app, clock, await app.login(EMAIL))
        factor.secret = (await factor.do(BEGIN, p=PASSWORD))["secret"]
        for steps in (-1, 1):
            early = await factor.do(CONFIRM, c=factor.code(steps))
            assert early["__typename"] == "InvalidInput"
        assert (await factor.do(CONFIRM, c=factor.code()))["__typename"] == "RecoveryCodes"
        clock.forward(seconds=60)
        assert await factor.login(factor.code(-1)) == WRONG
        assert await factor.login(factor.code(1)) == WRONG
        assert (await factor.login(factor.code()))["__typename"] == "AuthTokens"
        shown = factor.code(1)
        clock.forward(seconds=59)  # the clock stood at the begin of a step
        assert factor.code() == shown
        clock.forward(seconds=1)
        assert await factor.login(shown) == WRONG


async def test_other_logins_end_with_the_factor(factor: Factor) -> None:
    """Whoever was logged in with the password alone, on another device, has not shown the code:
    they are out once the factor is switched on. Who switched it on stays."""
    await factor.do(DISABLE, p=PASSWORD, c=factor.code())
    other = (await factor.login())["accessToken"]
    factor.secret = (await factor.do(BEGIN, p=PASSWORD))["secret"]
    assert (await factor.app.data("{ me { email } }", token=other))["me"]["email"] == EMAIL
    factor.clock.forward(seconds=60)
    assert (await factor.do(CONFIRM, c=factor.code()))["__typename"] == "RecoveryCodes"
    assert await factor.app.code("{ me { id } }", token=other) == "UNAUTHENTICATED"
    assert (await factor.do(STATE))["enabled"] is True


async def test_guessing_is_limited(factor: Factor, clock: SettableClock) -> None:
    """Of 40 codes at once 10 are looked at; then even the right one waits for 15 minutes. It is
    counted for the account, whichever way the codes come."""
    right = factor.code()
    guesses = [f"{number:06}" for number in range(1000, 1040)]
    guesses = [guess for guess in guesses if guess not in {factor.code(n) for n in (-1, 0, 1)}]
    answers = await asyncio.gather(*(factor.login(guess) for guess in guesses))
    kinds = [one["__typename"] for one in answers]
    assert kinds.count("SecondFactorRequired") == 10
    assert kinds.count("RateLimited") == len(guesses) - 10
    limited = await factor.login(right)
    assert limited["__typename"] == "RateLimited"
    assert 0 < limited["retryAfterSeconds"] <= 901
    assert (await factor.login(factor.recovery[0]))["__typename"] == "RateLimited"
    off = await factor.do(DISABLE, p=PASSWORD, c=right)
    assert off["__typename"] == "RateLimited"
    clock.forward(minutes=14)
    factor.token = ""
    assert (await factor.login(factor.code()))["__typename"] == "RateLimited"
    clock.forward(minutes=1)
    assert (await factor.login(factor.code()))["__typename"] == "AuthTokens"


async def test_switching_off_needs_both(factor: Factor) -> None:
    """The password and a code; then the password alone is enough again, and nothing is kept."""
    wrong = await factor.do(DISABLE, p="another sentence", c=factor.code())
    assert wrong["__typename"] == "InvalidCredentials"
    assert await factor.do(DISABLE, p=PASSWORD, c="") == {
        "__typename": "SecondFactorRequired",
        "message": "Give the code that your authenticator app shows.",
    }
    assert (await factor.do(STATE))["enabled"] is True
    assert await factor.do(DISABLE, p=PASSWORD, c=factor.recovery[0]) == {
        "__typename": "Acknowledged",
        "ok": True,
    }
    assert (await factor.login())["__typename"] == "AuthTokens"
    assert await factor.do(STATE) == {"enabled": False, "recoveryCodesLeft": 0}
    factor.app.services.store.bind()
    assert await SecondFactor.all().count() + await RecoveryCode.all().count() == 0


async def test_the_password_is_not_guessed_here(factor: Factor) -> None:
    """Who holds a stolen access token has as many tries as for changing the password: after three
    wrong ones even the right one waits."""
    for _ in range(3):
        wrong = await factor.do(BEGIN, p="another sentence")
        assert wrong["__typename"] == "InvalidCredentials"
    off = await factor.do(DISABLE, p=PASSWORD, c=factor.code())
    assert off["__typename"] == "RateLimited"
    assert (await factor.do(BEGIN, p=PASSWORD))["__typename"] == "RateLimited"
    factor.token = await factor.app.login("eve@example.com")
    assert (await factor.do(BEGIN, p=PASSWORD))["__typename"] == "SecondFactorSetup"


async def test_a_new_password_leaves_the_factor(factor: Factor) -> None:
    """Who can read the mailbox has a new password, and still needs the code, if the address was
    confirmed: else whoever set the factor up may have been a stranger."""
    app = factor.app
    app.services.store.bind()
    await User.filter(email=EMAIL).update(email_verified_at=app.services.clock.now())
    await app.data(
        "mutation($e: String!) { requestPasswordReset(email: $e) { __typename } }", {"e": EMAIL}
    )
    app.services.store.bind()
    mail = await OutboxMail.filter(to=EMAIL).order_by("-created_at").first()
    assert mail is not None
    found = re.search(r"gqe_[A-Za-z0-9_-]+", mail.text)
    assert found is not None, mail.text
    new = "quite another sentence"
    await app.data(RESET, {"t": found[0], "p": new})
    assert (await factor.login(password=new))["__typename"] == "SecondFactorRequired"
    assert (await factor.login(factor.code(), password=new))["__typename"] == "AuthTokens"


async def test_another_one_needs_the_old_one_gone(factor: Factor) -> None:
    """Who has stolen an open session cannot put another app in the place of the owner's."""
    wrong = await factor.do(BEGIN, p="another sentence")
    assert wrong["__typename"] == "InvalidCredentials"
    again = await factor.do(BEGIN, p=PASSWORD)
    assert again["message"] == "There is a second factor already; switch it off first."
    nothing = await factor.do(CONFIRM, c=factor.code())
    assert nothing["message"] == "There is no second factor to confirm; begin anew."
    assert (await factor.login(factor.code()))["__typename"] == "AuthTokens"


async def test_only_the_newest_secret_can_be_confirmed(
    factor: Factor, clock: SettableClock
) -> None:
    """Of eight that are begun at once one is left; the codes of the others, and of one begun
    earlier, switch nothing on."""
    await factor.do(DISABLE, p=PASSWORD, c=factor.code())
    older = (await factor.do(BEGIN, p=PASSWORD))["secret"]
    begun = await asyncio.gather(*(factor.do(BEGIN, p=PASSWORD) for _ in range(8)))
    assert {one["__typename"] for one in begun} == {"SecondFactorSetup"}
    factor.app.services.store.bind()
    kept = await SecondFactor.get()
    seal = factor.app.services.tokens.seal
    newest = seal.open(kept.secret, kept.user_id)
    secrets = [one["secret"] for one in begun]
    assert newest in secrets
    assert newest not in kept.secret
    for secret in (older, *(one for one in secrets if one != newest)):
        answer = await factor.do(CONFIRM, c=pyotp.TOTP(secret).at(clock.time))
        assert answer["__typename"] == "InvalidInput"
    assert (await factor.do(STATE))["enabled"] is False
    assert (await factor.login())["__typename"] == "AuthTokens"
    factor.secret = newest
    assert (await factor.do(CONFIRM, c=factor.code()))["__typename"] == "RecoveryCodes"


async def test_one_of_two_confirmations_gives_codes(factor: Factor, clock: SettableClock) -> None:
    """Two codes of two steps come at once: one is told the recovery codes, and they count; the
    other is told that nothing waits. A secret cannot be begun anew meanwhile."""
    await factor.do(DISABLE, p=PASSWORD, c=factor.code())
    factor.secret = (await factor.do(BEGIN, p=PASSWORD))["secret"]
    clock.forward(seconds=60)
    answers = await asyncio.gather(
        factor.do(CONFIRM, c=factor.code()),
        factor.do(CONFIRM, c=factor.code(1)),
        factor.do(CONFIRM, c=factor.code(-1)),
    )
    assert sorted(one["__typename"] for one in answers) == [
        "InvalidInput",
        "InvalidInput",
        "RecoveryCodes",
    ]
    (codes,) = [one["codes"] for one in answers if "codes" in one]
    again = await factor.do(BEGIN, p=PASSWORD)
    assert again["__typename"] == "InvalidInput"
    assert (await factor.login(codes[0]))["__typename"] == "AuthTokens"


async def test_passwords_cannot_be_guessed_here(factor: Factor, clock: SettableClock) -> None:
    """Whoever has stolen a session has ten tries, as elsewhere."""
    kinds = []
    for _ in range(12):
        clock.forward(seconds=64)
        kinds.append((await factor.do(BEGIN, p="another sentence"))["__typename"])
    assert kinds == ["InvalidCredentials"] * 10 + ["RateLimited"] * 2
