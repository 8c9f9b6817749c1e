"""Sharing sessions through the real application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from models.chat_session import ChatSession
from models.outbox_mail import OutboxMail
from models.participant import Invitation, Participant
from models.user import User
from rag.embedding.base import Embedder
from resolvers import sharing
from resolvers.session_bus import ParticipantsChanged
from schema.node import parse_global_id
from tests.application import PASSWORD, Running, running_app, test_settings
from tests.schema.operations import HISTORY, SESSIONS
from tests.schema.people import (
    CANCEL,
    CREATE,
    SHARE,
    UNSHARE,
    Group,
    group,
    person,
    roles,
)

pytestmark = pytest.mark.anyio

SUBJECT = "A conversation was shared with you"
REGISTER = "mutation($i: RegisterInput!) { register(input: $i) { __typename } }"
VERIFY = "mutation($t: String!) { verifyEmail(token: $t) { __typename } }"


@pytest.fixture
async def strict(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The same, where addresses must be confirmed."""
    settings = test_settings(tmp_path, database_url, require_verified_email=True)
    async with running_app(settings, embedder=embedder) as running:
        yield running


async def mails(app: Running, to: str) -> int:
    """How many mails about a shared session went to an address."""
    app.services.store.bind()
    return await OutboxMail.filter(to=to, subject=SUBJECT).count()


async def delivered(app: Running, to: str, subject: str = SUBJECT) -> str:
    """The text of a mail to an address, as the server without SMTP writes it to a file."""
    async with asyncio.timeout(10):
        while (text := _read_mail(app, to, subject)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return text


def _read_mail(app: Running, to: str, subject: str) -> str | None:
    for path in (app.settings.data_dir / "outbox").glob("*.eml"):
        mail = message_from_bytes(path.read_bytes(), policy=default)
        if (mail["To"], mail["Subject"]) == (to, subject):
            body = mail.get_body(("plain",))
            assert body is not None
            text: str = body.get_content()
            return text
    return None


def events(app: Running, session_id: str) -> list[Any]:
    """What is published about a session from now on."""
    parsed = parse_global_id(session_id)
    assert parsed is not None
    seen: list[Any] = []
    original = app.services.sessions.publish

    def publish(key: Any, event: Any) -> None:
        if key == parsed[1]:
            seen.append(event)
        original(key, event)

    app.services.sessions.publish = publish  # type: ignore[method-assign,assignment]
    return seen


# ---- sharing with an account ---------------------------------------------------------------------


async def test_a_person_with_an_account_takes_part_at_once(app: Running) -> None:
    """The session is in their list, with their role, and one mail tells them."""
    people = await group(app)
    seen = events(app, people.session_id)
    shared = await people.owner.share(people.session_id, " Dora@Example.COM ", "READER")
    assert roles(shared) == {"anna": "OWNER", "ben": "WRITER", "cleo": "READER", "dora": "READER"}
    assert shared["invitations"] == []
    assert seen == [ParticipantsChanged()]
    listed = await people.stranger.do(SESSIONS)
    (edge,) = listed["edges"]
    assert edge["node"]["id"] == people.session_id
    assert edge["node"]["myRole"] == "READER"
    assert await mails(app, "dora@example.com") == 1


async def test_sharing_again_changes_the_role_and_sends_no_second_mail(app: Running) -> None:
    """The same again changes nothing; another role is written and announced; one mail in all."""
    people = await group(app)
    seen = events(app, people.session_id)
    again = await people.owner.share(people.session_id, people.writer.email, "WRITER")
    assert roles(again)["ben"] == "WRITER"
    assert seen == []
    raised = await people.owner.share(people.session_id, people.writer.email, "OWNER")
    assert roles(raised)["ben"] == "OWNER"
    assert seen == [ParticipantsChanged()]
    assert await mails(app, people.writer.email) == 1


async def test_the_mail_holds_nothing_that_a_person_wrote(app: Running) -> None:
    """It says that there is a conversation and where; no title, no name of whoever shares."""
    people = await group(app)
    await people.owner.share(people.session_id, "new@example.com", "READER")
    base = app.settings.base_url
    for to in (people.writer.email, "new@example.com"):
        mail = await delivered(app, to)
        assert base in mail
        assert "Secret" not in mail
        assert "Anna" not in mail
        assert "anna" not in mail
        assert ("register with exactly this address" in mail) == ("new" in to)


# ---- who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [SHARE, UNSHARE, CANCEL])
async def test_only_owners_change_the_people(scripted: Running, operation: str) -> None:
    """A writer and a reader get FORBIDDEN, a stranger NotFound, the anonymous UNAUTHENTICATED."""
    people = await group(scripted)
    await people.owner.share(people.session_id, "new@example.com")
    variables: dict[str, Any] = {"id": people.session_id}
    variables |= {"u": people.owner.id} if operation is UNSHARE else {"e": "new@example.com"}
    variables |= {"r": "OWNER"} if operation is SHARE else {}
    before = await people.owner.read(people.session_id)
    sent = await OutboxMail.all().count()
    for someone in (people.writer, people.reader):
        assert await someone.code(operation, **variables) == "FORBIDDEN"
    refused = await people.stranger.do(operation, **variables)
    assert refused == {"__typename": "NotFound", "problem": "There is no such session."}
    assert await scripted.code(operation, variables) == "UNAUTHENTICATED"
    for wrong in ("", "x", people.owner.id):
        refused = await people.owner.do(operation, **{**variables, "id": wrong})
        assert refused["__typename"] == "NotFound"
    assert await people.owner.read(people.session_id) == before
    assert await OutboxMail.all().count() == sent


async def test_only_owners_see_invitations(scripted: Running) -> None:
    """Others have an empty list, and a stranger no session."""
    people = await group(scripted)
    await people.owner.share(people.session_id, "new@example.com", "OWNER")
    invited = [{"email": "new@example.com", "role": "OWNER"}]
    assert (await people.owner.read(people.session_id))["invitations"] == invited
    assert (await people.writer.read(people.session_id))["invitations"] == []
    assert (await people.reader.read(people.session_id))["invitations"] == []
    assert await people.stranger.read(people.session_id) is None


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", "x" * 300 + "@example.com", "a\0@b.example"]
)
async def test_a_wrong_address_is_refused(scripted: Running, email: str) -> None:
    """It is InvalidInput on email, and nothing is left behind."""
    people = await group(scripted)
    for operation in (SHARE, CANCEL):
        more = {"r": "READER"} if operation is SHARE else {}
        refused = await people.owner.do(operation, id=people.session_id, e=email, **more)
        assert refused["__typename"] == "InvalidInput"
        assert refused["field"] == "email"
    assert await Invitation.all().count() == 0


async def test_nobody_shares_with_themselves(scripted: Running) -> None:
    """One's own address is InvalidInput, however it is written."""
    people = await group(scripted)
    refused = await people.owner.share(people.session_id, "ANNA@example.com", "READER")
    assert refused["__typename"] == "InvalidInput"
    assert refused["field"] == "email"
    assert (await people.owner.read(people.session_id))["myRole"] == "OWNER"


async def test_a_session_has_room_for_fifty(
    scripted: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Participants and invitations count together; who is in may still get another role."""
    monkeypatch.setattr(sharing, "MAX_PEOPLE", 4)
    people = await group(scripted)
    await people.owner.share(people.session_id, "new@example.com")
    for email in ("more@example.com", people.stranger.email):
        refused = await people.owner.share(people.session_id, email)
        assert refused["__typename"] == "InvalidInput"
        assert refused["field"] == "email"
    assert await mails(scripted, people.stranger.email) == 0
    for email in ("new@example.com", people.writer.email):
        changed = await people.owner.share(people.session_id, email, "READER")
        assert changed["__typename"] == "ChatSession"


# ---- leaving and removing ------------------------------------------------------------------------


async def test_whoever_is_removed_sees_nothing_any_more(app: Running) -> None:
    """The session, its messages and its list entry are gone for them, at once; others stay."""
    people = await group(app)
    seen = events(app, people.session_id)
    left = await people.owner.unshare(people.session_id, people.writer)
    assert roles(left) == {"anna": "OWNER", "cleo": "READER"}
    assert seen == [ParticipantsChanged()]
    assert await people.writer.read(people.session_id) is None
    assert (await people.writer.do(SESSIONS))["edges"] == []
    again = await people.owner.unshare(people.session_id, people.writer)
    assert again == {"__typename": "NotFound", "problem": "There is no such participant."}
    stranger = await people.owner.unshare(people.session_id, people.stranger)
    assert stranger["__typename"] == "NotFound"
    for wrong in ("", people.session_id):
        unknown = await people.owner.do(UNSHARE, id=people.session_id, u=wrong)
        assert unknown["__typename"] == "NotFound"


@pytest.mark.parametrize("role", ["writer", "reader"])
async def test_everyone_may_leave(scripted: Running, role: str) -> None:
    """Who leaves gets the session once more, as it was for them."""
    people = await group(scripted)
    someone = getattr(people, role)
    left = await someone.unshare(people.session_id, someone)
    assert left["__typename"] == "ChatSession"
    assert left["myRole"] == role.upper()
    assert someone.email.partition("@")[0] not in roles(left)
    assert await someone.read(people.session_id) is None


async def test_the_last_owner_stays(app: Running) -> None:
    """They can neither leave nor be lowered, and nothing changes."""
    people = await group(app)
    refused = await people.owner.unshare(people.session_id, people.owner)
    assert refused["__typename"] == "InvalidInput"
    assert refused["field"] == "userId"
    assert "last owner" in refused["problem"]
    assert roles(await people.owner.read(people.session_id))["anna"] == "OWNER"


@pytest.mark.parametrize("way", ["leaves", "removed", "lowered"])
async def test_the_row_goes_to_another_owner(app: Running, way: str) -> None:
    """The session survives the account of who began it, once that person is no owner."""
    people = await group(app)
    await people.owner.share(people.session_id, people.writer.email, "OWNER")
    if way == "leaves":
        await people.owner.unshare(people.session_id, people.owner)
    elif way == "removed":
        await people.writer.unshare(people.session_id, people.owner)
    else:
        await people.writer.share(people.session_id, people.owner.email, "READER")
    app.services.store.bind()
    assert (await ChatSession.get().select_related("owner")).owner.email == people.writer.email
    await User.filter(email=people.owner.email).delete()
    assert roles(await people.writer.read(people.session_id)) == {"ben": "OWNER", "cleo": "READER"}


async def test_of_two_owners_who_remove_each_other_one_stays(app: Running) -> None:
    """However close they are, a session never is without an owner."""
    people = await group(app)
    for _ in range(5):
        await people.owner.share(people.session_id, people.writer.email, "OWNER")
        outcomes = await asyncio.gather(
            app.post(UNSHARE, {"id": people.session_id, "u": people.writer.id}, people.owner.token),
            app.post(UNSHARE, {"id": people.session_id, "u": people.owner.id}, people.writer.token),
        )
        kinds = sorted(outcome["data"]["unshareSession"]["__typename"] for outcome in outcomes)
        assert kinds == ["ChatSession", "NotFound"]
        app.services.store.bind()
        (left,) = await Participant.filter(role="OWNER").select_related("user")
        if left.user.email == people.writer.email:
            people = Group(
                people.session_id, people.writer, people.owner, people.reader, people.stranger
            )


# ---- invitations ---------------------------------------------------------------------------------


async def test_an_invited_address_takes_part_when_it_registers(app: Running) -> None:
    """The invitation becomes a participant, with the role it had last, and is gone."""
    people = await group(app)
    shared = await people.owner.share(people.session_id, "New@example.com", "READER")
    assert shared["invitations"] == [{"email": "new@example.com", "role": "READER"}]
    assert "new" not in roles(shared)
    again = await people.owner.share(people.session_id, "new@example.com", "READER")
    assert again == shared
    await people.owner.share(people.session_id, "new@example.com", "WRITER")
    assert await mails(app, "new@example.com") == 1
    seen = events(app, people.session_id)
    newcomer = await person(app, "New")
    assert seen == [ParticipantsChanged()]
    found = await newcomer.read(people.session_id)
    assert found["myRole"] == "WRITER"
    assert (await people.owner.read(people.session_id))["invitations"] == []
    listed = await newcomer.do(SESSIONS)
    assert [edge["node"]["id"] for edge in listed["edges"]] == [people.session_id]
    history = await newcomer.do(HISTORY, id=people.session_id)
    assert history["title"] == "Secret title"


async def test_a_cancelled_invitation_leads_to_nothing(scripted: Running) -> None:
    """Cancelling works once; who registers then has no session."""
    people = await group(scripted)
    await people.owner.share(people.session_id, "new@example.com")
    cancelled = await people.owner.do(CANCEL, id=people.session_id, e=" NEW@example.com")
    assert cancelled["invitations"] == []
    again = await people.owner.do(CANCEL, id=people.session_id, e="new@example.com")
    assert again == {"__typename": "NotFound", "problem": "There is no such invitation."}
    newcomer = await person(scripted, "New")
    assert await newcomer.read(people.session_id) is None


async def test_an_invitation_goes_with_its_session(scripted: Running) -> None:
    """Whoever registers after the session was deleted finds an account without it."""
    people = await group(scripted)
    await people.owner.share(people.session_id, "new@example.com")
    await people.owner.do(
        "mutation($id: ID!) { deleteSession(id: $id) { __typename } }", id=people.session_id
    )
    newcomer = await person(scripted, "New")
    assert (await newcomer.do(SESSIONS))["edges"] == []


async def test_where_addresses_are_confirmed_an_invitation_waits_for_that(strict: Running) -> None:
    """Registering an invited address gives nothing before its mailbox has answered, and an account
    that was not confirmed counts as none."""
    for name in ("anna", "new"):
        await strict.data(REGISTER, {"i": {"email": f"{name}@example.com", "password": PASSWORD}})
    await _confirm(strict, "anna@example.com")
    anna = await person(strict, "Anna")
    session_id = (await anna.do(CREATE))["id"]
    shared = await anna.share(session_id, "new@example.com")
    assert roles(shared) == {"anna": "OWNER"}
    assert [one["email"] for one in shared["invitations"]] == ["new@example.com"]
    await strict.data(REGISTER, {"i": {"email": "other@example.com", "password": PASSWORD}})
    assert roles(await anna.read(session_id)) == {"anna": "OWNER"}
    await _confirm(strict, "new@example.com")
    assert roles(await anna.read(session_id)) == {"anna": "OWNER", "new": "WRITER"}
    assert (await anna.read(session_id))["invitations"] == []


async def _confirm(app: Running, email: str) -> None:
    """Open the link in the mail to an address that registered."""
    mail = await delivered(app, email, "Please confirm your email address")
    found = re.search(r"token=(\S+)", mail)
    assert found is not None
    verified = await app.data(VERIFY, {"t": found[1]})
    assert verified["verifyEmail"]["__typename"] == "User"


async def test_a_share_and_a_registration_do_not_miss_each_other(app: Running) -> None:
    """Whichever comes first, who registers while being invited takes part in the end."""
    anna = await person(app, "Anna")
    session_id = (await anna.do(CREATE))["id"]
    for number in range(5):
        email = f"new{number}@example.com"
        await asyncio.gather(
            anna.share(session_id, email),
            app.data(REGISTER, {"i": {"email": email, "password": PASSWORD}}),
        )
    session = await anna.read(session_id)
    assert session["invitations"] == []
    assert len(session["participants"]) == 6
