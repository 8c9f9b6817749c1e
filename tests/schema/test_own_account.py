"""Another address, the end of an account, its data as a file, and suspension."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from websockets.exceptions import ConnectionClosed

from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.email_change import EmailChange
from models.email_token import EmailToken
from models.login import Login
from models.message_rating import MessageRating, Rating
from models.outbox_mail import OutboxMail
from models.participant import Invitation, Participant, ParticipantRole
from models.user import Role, User
from schema.node import global_id, row_id
from tests.application import PASSWORD, Running
from tests.schema.people import CREATE, person
from tests.schema.test_account import LOGIN, REFRESH, REGISTER
from tests.schema.test_passwords import CHANGE, REQUEST, RESET, newest_link

pytestmark = pytest.mark.anyio

ASK = """mutation($e: String!, $p: String!) { requestEmailChange(newEmail: $e, password: $p) {
  __typename ... on EmailChange { newEmail confirmedByOld confirmedByNew done }
  ... on Problem { message } ... on InvalidInput { field } } }"""
CONFIRM = """mutation($t: String!) { confirmEmailChange(token: $t) { __typename
  ... on EmailChange { confirmedByOld confirmedByNew done } ... on Problem { message } } }"""
DELETE = """mutation($p: String!) { deleteAccount(password: $p) { __typename
  ... on Problem { message } } }"""
SUSPEND = "mutation($u: ID!) { suspendUser(userId: $u) { id } }"
LIFT = "mutation($u: ID!) { liftSuspension(userId: $u) { id } }"
CHANGE_MAIL = "Please confirm the change of your address"


async def login(app: Running, email: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = await app.data(LOGIN, {"i": {"email": email, "password": password}})
    found: dict[str, Any] = answer["login"]
    return found


# ---- another address -----------------------------------------------------------------------------


async def test_both_mailboxes_change_the_address(empty_app: Running) -> None:
    """One link alone changes nothing; with the second one the account has the new address, logs in
    with it, and no link to the old mailbox counts any more."""
    app = empty_app
    anna = await person(app, "Anna")
    wrong = await anna.do(ASK, e="new@example.com", p="wrong password")
    assert wrong["__typename"] == "InvalidCredentials"
    for unfit in ("nonsense", "ANNA@example.com"):
        assert (await anna.do(ASK, e=unfit, p=PASSWORD))["field"] == "newEmail"
    assert await EmailChange.all().count() == 0
    asked = await anna.do(ASK, e=" New@Example.com", p=PASSWORD)
    assert asked == {
        "__typename": "EmailChange",
        "newEmail": "new@example.com",
        "confirmedByOld": False,
        "confirmedByNew": False,
        "done": False,
    }
    new = await newest_link(app, "new@example.com", CHANGE_MAIL)
    old = await newest_link(app, anna.email, CHANGE_MAIL)
    await app.data(REQUEST, {"e": anna.email})
    reset = await newest_link(app, anna.email, "Set a new password")
    for _ in range(2):
        first = (await app.data(CONFIRM, {"t": new}))["confirmEmailChange"]
        assert (first["confirmedByOld"], first["confirmedByNew"], first["done"]) == (
            False,
            True,
            False,
        )
    assert (await User.get()).email == anna.email
    for token in (old, old, new):
        done = (await app.data(CONFIRM, {"t": token}))["confirmEmailChange"]
        assert done["done"] is True
    user = await User.get()
    assert user.email == "new@example.com"
    assert user.email_verified_at is not None
    assert (await login(app, anna.email))["__typename"] == "InvalidCredentials"
    assert (await login(app, "new@example.com"))["__typename"] == "AuthTokens"
    dead = await app.data(RESET, {"t": reset, "p": "another long sentence"})
    assert dead["resetPassword"]["__typename"] == "InvalidToken"
    base = app.url.removesuffix("/graphql")
    page = await app.http.get(f"{base}/confirm-email-change", params={"token": new})
    assert "confirmEmailChange(token: $token)" in page.text
    assert "verifyEmail" not in page.text


async def test_an_address_of_somebody_else(empty_app: Running) -> None:
    """The answer does not tell that it is taken; the mailbox learns it, and nothing changes."""
    app = empty_app
    anna, ben = await person(app, "Anna"), await person(app, "Ben")
    taken = await anna.do(ASK, e=ben.email, p=PASSWORD)
    free = await anna.do(ASK, e="free@example.com", p=PASSWORD)
    assert {**taken, "newEmail": ""} == {**free, "newEmail": ""}
    await anna.do(ASK, e=ben.email, p=PASSWORD)
    old = await newest_link(app, anna.email, CHANGE_MAIL)
    confirmed = (await app.data(CONFIRM, {"t": old}))["confirmEmailChange"]
    assert confirmed["done"] is False
    assert {user.email for user in await User.all()} == {anna.email, ben.email}
    # Somebody registers the address between the two confirmations.
    await anna.do(ASK, e="late@example.com", p=PASSWORD)
    old = await newest_link(app, anna.email, CHANGE_MAIL)
    new = await newest_link(app, "late@example.com", CHANGE_MAIL)
    await app.data(CONFIRM, {"t": old})
    await app.data(REGISTER, {"i": {"email": "late@example.com", "password": PASSWORD}})
    late = (await app.data(CONFIRM, {"t": new}))["confirmEmailChange"]
    assert late["__typename"] == "InvalidToken"
    assert await User.filter(email=anna.email).count() == 1


async def test_a_wish_ends(empty_app: Running) -> None:
    """With another wish, with another password, and after 48 hours; other links are none of it."""
    app = empty_app
    anna = await person(app, "Anna")
    await anna.do(ASK, e="one@example.com", p=PASSWORD)
    one = await newest_link(app, "one@example.com", CHANGE_MAIL)
    await anna.do(ASK, e="two@example.com", p=PASSWORD)
    two = await newest_link(app, "two@example.com", CHANGE_MAIL)
    for token in (one, "nonsense", "\ud800", "a" * 1000):
        answer = (await app.data(CONFIRM, {"t": token}))["confirmEmailChange"]
        assert answer["__typename"] == "InvalidToken"
    changed = await anna.do(CHANGE, c=PASSWORD, n="another long sentence")
    assert changed["__typename"] == "AuthTokens"
    answer = (await app.data(CONFIRM, {"t": two}))["confirmEmailChange"]
    assert answer["__typename"] == "InvalidToken"
    token = changed["accessToken"]
    await app.data(ASK, {"e": "three@example.com", "p": "another long sentence"}, token)
    three = await newest_link(app, "three@example.com", CHANGE_MAIL)
    change = await EmailChange.get()
    await EmailChange.all().update(expires_at=change.created_at - timedelta(seconds=1))
    answer = (await app.data(CONFIRM, {"t": three}))["confirmEmailChange"]
    assert answer["__typename"] == "InvalidToken"
    assert (await User.get()).email == anna.email


# ---- the end of an account -----------------------------------------------------------------------


async def long_chain(session_id: UUID, author: UUID, length: int) -> None:
    """A conversation that is longer than the database's own cascade can follow."""
    parent: UUID | None = None
    found: list[ChatMessage] = []
    for _ in range(length):
        message = ChatMessage(
            id=new_id(),
            session_id=session_id,
            parent_id=parent,
            role=MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content="secret words",
            author_id=author,
        )
        parent = message.id
        found.append(message)
    await ChatMessage.bulk_create(found)


async def test_delete_account(empty_app: Running) -> None:
    """Everything that is the person's own goes, however long; what others take part in stays,
    without the name, with another owner."""
    app = empty_app
    anna, ben, cleo = [await person(app, name) for name in ("Anna", "Ben", "Cleo")]
    own, shared, owned_by_ben = [
        await ChatSession.get(id=_row(await one.do(CREATE))) for one in (anna, anna, ben)
    ]
    ids = {user.email: user.id for user in await User.all()}
    await anna.share(_gid(shared.id), cleo.email, "READER")
    await anna.share(_gid(shared.id), ben.email, "WRITER")
    await ben.share(_gid(owned_by_ben.id), anna.email, "READER")
    await anna.share(_gid(own.id), "invited@example.com", "READER")
    await ben.share(_gid(owned_by_ben.id), "x@example.com", "READER")
    await Invitation.filter(email="x@example.com").update(email=anna.email)
    await long_chain(own.id, ids[anna.email], 1_100)
    await long_chain(shared.id, ids[anna.email], 3)
    message = await ChatMessage.filter(session_id=shared.id).first()
    assert message is not None
    await MessageRating.create(message=message, user_id=ids[anna.email], rating=Rating.UP)
    wrong = await anna.do(DELETE, p="wrong password")
    assert wrong == {"__typename": "InvalidCredentials", "message": "The password is wrong."}
    assert await User.all().count() == 3

    assert await anna.do(DELETE, p=PASSWORD) == {"__typename": "Acknowledged"}
    assert await anna.code("{ me { id } }") == "UNAUTHENTICATED"
    assert (await login(app, anna.email))["__typename"] == "InvalidCredentials"
    assert {user.email for user in await User.all()} == {ben.email, cleo.email}
    left = {one.id: one.owner_id for one in await ChatSession.all()}
    assert left == {shared.id: ids[ben.email], owned_by_ben.id: ids[ben.email]}
    roles = {part.user_id: part.role for part in await Participant.filter(session_id=shared.id)}
    assert roles == {
        ids[ben.email]: ParticipantRole.OWNER,
        ids[cleo.email]: ParticipantRole.READER,
    }
    kept = await ChatMessage.all()
    assert [(one.content, one.author_id) for one in kept] == [("secret words", None)] * 3
    for table in (Login, EmailToken, MessageRating, Participant, EmailChange):
        rows: list[dict[str, Any]] = await table.all().values()
        assert all(row["user_id"] != ids[anna.email] for row in rows), table
    assert await Invitation.all().count() == 0
    mails = await OutboxMail.filter(to=anna.email)
    assert [mail.subject for mail in mails] == ["Your account was deleted"]
    # The address is free again.
    await app.data(REGISTER, {"i": {"email": anna.email, "password": PASSWORD}})
    assert (await login(app, anna.email))["__typename"] == "AuthTokens"


async def test_the_last_admin_stays(empty_app: Running) -> None:
    """There is always an ADMIN who can log in: deletion and suspension leave one."""
    app = empty_app
    token = await app.login("adam@example.com", Role.ADMIN)
    assert await app.code(DELETE, {"p": PASSWORD}, token) == "BAD_USER_INPUT"
    eve = await person(app, "Eve")
    await User.filter(email=eve.email).update(role=Role.ADMIN)
    adam = (await app.data("{ me { id } }", token=token))["me"]["id"]
    assert await eve.do(SUSPEND, u=adam) == {"id": adam}
    assert (await eve.do(SUSPEND, u=adam))["id"] == adam
    assert await eve.code(SUSPEND, u=eve.id) == "BAD_USER_INPUT"
    assert await eve.code(DELETE, p=PASSWORD) == "BAD_USER_INPUT"
    assert await User.all().count() == 2


# ---- suspension ----------------------------------------------------------------------------------


async def test_suspension(empty_app: Running) -> None:
    """Tokens and sockets end at once, the right password no longer lets in, and a wrong one learns
    nothing of it; lifted, all is as before."""
    app = empty_app
    admin = await app.login("adam@example.com", Role.ADMIN)
    anna = await person(app, "Anna")
    tokens = await login(app, anna.email)
    assert await anna.code(SUSPEND, u=anna.id) == "FORBIDDEN"
    assert await anna.code(LIFT, u=anna.id) == "FORBIDDEN"
    assert await app.code(SUSPEND, {"u": anna.id}) == "UNAUTHENTICATED"
    async with app.socket(tokens["accessToken"]) as socket:
        suspended = await app.data(SUSPEND, {"u": anna.id}, admin)
        assert suspended == {"suspendUser": {"id": anna.id}}
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
    assert await anna.code("{ me { id } }") == "UNAUTHENTICATED"
    refused = (await app.data(REFRESH, {"t": tokens["refreshToken"]}))["refreshTokens"]
    assert refused["__typename"] == "InvalidToken"
    right, wrong = await login(app, anna.email), await login(app, anna.email, "wrong password")
    assert right["message"] == "This account is suspended; ask an administrator."
    assert wrong["message"] == "The address or the password is wrong."
    assert await Login.filter(revoked_at__isnull=True).count() == 1
    # Even a login that somehow lives on is none.
    await Login.all().update(revoked_at=None)
    assert await anna.code("{ me { id } }") == "UNAUTHENTICATED"
    assert (await app.data(LIFT, {"u": anna.id}, admin))["liftSuspension"]["id"] == anna.id
    assert (await login(app, anna.email))["__typename"] == "AuthTokens"
    for operation in (SUSPEND, LIFT):
        assert list((await app.data(operation, {"u": "x"}, admin)).values()) == [None]


# ---- the data as a file --------------------------------------------------------------------------


async def test_export(empty_app: Running) -> None:
    """One JSON object with all that is kept about the person, and nothing of sessions of others; no
    secret stands in it. Nobody without a token gets it, and nobody too often."""
    app = empty_app
    anna, ben = await person(app, "Anna"), await person(app, "Ben")
    session, foreign = _row(await anna.do(CREATE)), _row(await ben.do(CREATE))
    ids = {user.email: user.id for user in await User.all()}
    await long_chain(session, ids[anna.email], 450)
    await long_chain(foreign, ids[ben.email], 1)
    await ChatSession.filter(id=foreign).update(title="Ben's own")
    message = await ChatMessage.filter(session_id=session).order_by("id").first()
    assert message is not None
    await MessageRating.create(
        message=message, user_id=ids[anna.email], rating=Rating.DOWN, comment='not "good"'
    )
    url = app.url.replace("/graphql", "/account/data")
    headers = {"authorization": f"Bearer {anna.token}"}
    answer = await app.http.get(url, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    named = answer.headers["content-disposition"]
    assert named == 'attachment; filename="groundql-data.json"'
    data = json.loads(answer.text)
    assert data["format"] == "groundql.account/1"
    assert data["account"]["email"] == anna.email
    assert data["account"]["displayName"] == "Anna"
    assert [one["address"] for one in data["logins"]] == ["127.0.0.1"]
    (only,) = data["sessions"]
    assert (only["title"], only["role"]) == ("Secret title", "OWNER")
    assert len(only["messages"]) == 450
    assert only["messages"][0]["yourRating"] == {"rating": "DOWN", "comment": 'not "good"'}
    assert only["messages"][1]["parent"] == only["messages"][0]["id"]
    assert {one["content"] for one in only["messages"]} == {"secret words"}
    assert all(one["yours"] for one in only["messages"])
    for secret in ("argon2", "Ben's own", ben.email, "gqr_", "hash"):
        assert secret not in answer.text
    for wrong in ({}, {"authorization": "Bearer wrong"}):
        refused = await app.http.get(url, headers=wrong)
        assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")
    for _ in range(9):
        assert (await app.http.get(url, headers=headers)).status_code == 200
    late = await app.http.get(url, headers=headers)
    assert (late.status_code, late.json()["code"]) == (429, "RATE_LIMITED")
    assert 3_500 < int(late.headers["retry-after"]) <= 3_600


def _row(session: dict[str, Any]) -> UUID:
    found = row_id("ChatSession", session["id"])
    assert found is not None
    return found


def _gid(session_id: UUID) -> str:
    return global_id("ChatSession", session_id)
