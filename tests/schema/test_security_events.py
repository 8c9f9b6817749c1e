"""The log of security events through the real application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from models.security_event import EventKind, SecurityEvent
from models.user import Role, User
from rag.embedding.fake import FakeEmbedder
from resolvers import audit
from schema.node import global_id, row_id
from tests.application import PASSWORD, Running, copy_sqlite, running_app, test_settings
from tests.clock import SettableClock
from tests.queries import counted
from tests.schema.people import Person, person
from tests.schema.test_passwords import newest_link

pytestmark = pytest.mark.anyio

NEW = "a new sentence that nobody else has"
EVENTS = """query($f: SecurityEventFilter, $first: Int, $after: String, $last: Int) {
  securityEvents(filter: $f, first: $first, after: $after, last: $last) {
    pageInfo { hasNextPage endCursor }
    edges { cursor node { id kind outcome createdAt actorId apiKeyId concernsId objectId detail
      address device requestId actor { email } concerns { email } } } } }"""
LOGIN = """mutation($e: String!, $p: String!, $c: String) {
  login(input: {email: $e, password: $p, code: $c}) {
    __typename ... on AuthTokens { accessToken refreshToken } } }"""
PROBLEM = "__typename ... on Problem { message }"


@pytest.fixture
async def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def app(
    anyio_backend: str, empty_database_url: str, tmp_path: Path, clock: SettableClock
) -> AsyncIterator[Running]:
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, empty_database_url)
    async with running_app(settings, embedder=FakeEmbedder(), clock=clock) as running:
        running.services.store.bind()
        await running.services.knowledge.pipeline()
        yield running


async def admin(app: Running) -> Person:
    adam = await person(app, "Adam")
    await User.filter(email=adam.email).update(role=Role.ADMIN)
    return adam


async def events(reader: Person, **filter: Any) -> list[dict[str, Any]]:
    """All that fit, oldest first."""
    page = await reader.do(EVENTS, f=filter or None, first=100)
    assert page["pageInfo"]["hasNextPage"] is False
    return [edge["node"] for edge in reversed(page["edges"])]


async def kinds(reader: Person, **filter: Any) -> list[str]:
    return [one["kind"] for one in await events(reader, **filter)]


async def test_an_account_s_life(app: Running, clock: SettableClock) -> None:
    """Each step of Ada's is there, in order, with who, from where and how it ended; what is left
    after her account holds her id, and nothing that she typed."""
    adam = await admin(app)
    ada = await person(app, "Ada")
    secrets = [PASSWORD, NEW, "ada@", "anna@", ada.token]

    async def do(operation: str, **values: Any) -> Any:
        return await ada.do(operation, **values)

    await app.data(
        f"mutation($t: String!) {{ verifyEmail(token: $t) {{ {PROBLEM} }} }}",
        {"t": await newest_link(app, ada.email, "Please confirm your email address")},
    )
    # The second registration's link was opened, so the login of the first one has ended.
    token = (await app.data(LOGIN, {"e": ada.email, "p": PASSWORD}))["login"]["accessToken"]
    ada = Person(app, ada.email, ada.id, token)
    await app.data(LOGIN, {"e": ada.email, "p": "wrong words"})
    setup = await do(
        "mutation($p: String!) { beginSecondFactor(password: $p) { ... on SecondFactorSetup "
        "{ secret } } }",
        p=PASSWORD,
    )
    totp = pyotp.TOTP(setup["secret"])
    confirm = "mutation($c: String!) { confirmSecondFactor(code: $c) { __typename ... on "
    confirm += "RecoveryCodes { codes } } }"
    wrong = "000000" if totp.at(clock.time) != "000000" else "111111"
    await do(confirm, c=wrong)
    codes = (await do(confirm, c=totp.at(clock.time)))["codes"]
    secrets += [setup["secret"], *codes]
    await app.data(LOGIN, {"e": ada.email, "p": PASSWORD, "c": wrong})
    tokens = (await app.data(LOGIN, {"e": ada.email, "p": PASSWORD, "c": codes[0]}))["login"]
    secrets += tokens.values()
    for _ in range(2):  # the second one is a replay
        clock.forward(seconds=30)
        await app.data(
            f"mutation($t: String!) {{ refreshTokens(refreshToken: $t) {{ {PROBLEM} }} }}",
            {"t": tokens["refreshToken"]},
        )
    key = await do(
        'mutation { createApiKey(input: {name: "Secret name", scopes: [READ, CHAT]}) { ... on '
        "CreatedApiKey { key apiKey { id } } } }"
    )
    secrets += [key["key"], "Secret name"]
    await do(f"mutation($i: ID!) {{ revokeApiKey(id: $i) {{ {PROBLEM} }} }}", i=key["apiKey"]["id"])
    await do(
        f"mutation($p: String!, $c: String!) {{ disableSecondFactor(password: $p, code: $c) "
        f"{{ {PROBLEM} }} }}",
        p=PASSWORD,
        c=codes[1],
    )
    await do(
        "mutation($p: String!) { changePassword(currentPassword: $p, newPassword: $p) "
        "{ __typename } }",
        p="wrong words",
    )
    await app.data(f'mutation {{ requestPasswordReset(email: "{ada.email}") {{ ok }} }}')
    reset = await newest_link(app, ada.email, "Set a new password")
    await app.data(
        f"mutation($t: String!, $p: String!) {{ resetPassword(token: $t, newPassword: $p) "
        f"{{ {PROBLEM} }} }}",
        {"t": reset, "p": NEW},
    )
    token = (await app.data(LOGIN, {"e": ada.email, "p": NEW}))["login"]["accessToken"]
    ada = Person(app, ada.email, ada.id, token)
    change = "mutation($p: String!, $n: String!) { changePassword(currentPassword: $p, "
    change += "newPassword: $n) { ... on AuthTokens { accessToken } } }"
    await ada.do(change, p=NEW, n=PASSWORD)
    await ada.do(
        'mutation($p: String!) { requestEmailChange(newEmail: "anna@example.com", password: $p) '
        "{ __typename } }",
        p=PASSWORD,
    )
    for mailbox in (ada.email, "anna@example.com"):
        subject = "Please confirm the change of your address"
        secrets.append(await newest_link(app, mailbox, subject))
        await app.data(
            "mutation($t: String!) { confirmEmailChange(token: $t) { __typename } }",
            {"t": secrets[-1]},
        )
    exported = await app.http.get(
        app.url.replace("/graphql", "/account/data"),
        headers={"authorization": f"Bearer {token}"},
    )
    assert {one["kind"] for one in exported.json()["securityEvents"]} >= {"REGISTERED", "LOGGED_IN"}
    await ada.do(
        f"mutation($p: String!) {{ deleteAccount(password: $p) {{ {PROBLEM} }} }}", p=PASSWORD
    )

    found = await events(adam, userId=ada.id)
    assert [(one["kind"], one["outcome"]) for one in found] == [
        ("REGISTERED", "SUCCEEDED"),
        ("REGISTERED", "SUCCEEDED"),
        ("LOGGED_IN", "SUCCEEDED"),
        ("EMAIL_VERIFIED", "SUCCEEDED"),
        ("LOGGED_IN", "SUCCEEDED"),
        ("LOGIN_FAILED", "FAILED"),
        ("SECOND_FACTOR_FAILED", "FAILED"),
        ("SECOND_FACTOR_ENABLED", "SUCCEEDED"),
        ("SECOND_FACTOR_FAILED", "FAILED"),
        ("RECOVERY_CODE_USED", "SUCCEEDED"),
        ("LOGGED_IN", "SUCCEEDED"),
        ("REFRESH_REPLAYED", "REFUSED"),
        ("API_KEY_CREATED", "SUCCEEDED"),
        ("API_KEY_REVOKED", "SUCCEEDED"),
        ("RECOVERY_CODE_USED", "SUCCEEDED"),
        ("SECOND_FACTOR_DISABLED", "SUCCEEDED"),
        ("PASSWORD_REFUSED", "FAILED"),
        ("PASSWORD_RESET_REQUESTED", "SUCCEEDED"),
        ("PASSWORD_RESET", "SUCCEEDED"),
        ("LOGGED_IN", "SUCCEEDED"),
        ("PASSWORD_CHANGED", "SUCCEEDED"),
        ("EMAIL_CHANGE_REQUESTED", "SUCCEEDED"),
        ("EMAIL_CHANGED", "SUCCEEDED"),
        ("DATA_EXPORTED", "SUCCEEDED"),
        ("ACCOUNT_DELETED", "SUCCEEDED"),
    ]
    made = next(one for one in found if one["kind"] == "API_KEY_CREATED")
    assert (made["detail"], made["objectId"]) == ("CHAT READ", key["apiKey"]["id"])
    assert {one["concernsId"] for one in found} == {ada.id}
    assert {one["actorId"] for one in found} == {ada.id, None}
    assert {one["address"] for one in found} == {"127.0.0.1"}
    assert all(one["device"].startswith("python-httpx") for one in found)
    assert all(one["requestId"] for one in found)
    assert {one["concerns"] for one in found} == {None}  # the account is gone
    text = repr([vars(row) for row in await SecurityEvent.all()]).lower()
    assert [one for one in secrets if one.lower() in text] == []


async def test_rights_and_data(app: Running) -> None:
    """What is done to others names both; keys are named; what changes nothing is not
    there, and what is refused is."""
    adam = await admin(app)
    eve, ben = await person(app, "Eve"), await person(app, "Ben")
    first = await SecurityEvent.all().count()
    role = "mutation($u: ID!, $r: Role!) { setUserRole(userId: $u, role: $r) { id } }"
    await adam.do(role, u=eve.id, r="EDITOR")
    await adam.do(role, u=eve.id, r="EDITOR")
    assert await ben.code(role, u=eve.id, r="ADMIN") == "FORBIDDEN"
    group = (await adam.do('mutation { createGroup(name: "G") { ... on UserGroup { id } } }'))["id"]
    members = "mutation($i: UpdateGroupInput!) { updateGroup(input: $i) { __typename } }"
    await adam.do(members, i={"id": group, "addEmails": [ben.email]})
    await adam.do(members, i={"id": group, "removeUserIds": [ben.id, eve.id]})
    await adam.do("mutation($g: ID!) { deleteGroup(id: $g) { __typename } }", g=group)
    key = await eve.do(
        'mutation { createApiKey(input: {name: "k", scopes: [DOCUMENTS]}) { ... on '
        "CreatedApiKey { key apiKey { id } } } }"
    )
    program = Person(app, eve.email, eve.id, key["key"])
    document = await program.do(
        'mutation { addDocument(input: {title: "T", content: "Some words."}) { ... on Document '
        "{ id } } }"
    )
    named = '{name: "C", audience: ROLES, roles: [ADMIN]}'
    collection = await eve.do(
        f"mutation {{ createCollection(input: {named}) {{ ... on Collection {{ id }} }} }}"
    )
    ids = {"d": document["id"], "c": collection["id"]}
    await eve.do(
        "mutation($d: ID!, $c: ID!) { moveDocuments(documentIds: [$d], collectionId: $c) "
        "{ __typename } }",
        **ids,
    )
    await eve.do(
        'mutation($d: ID!) { updateDocument(input: {id: $d, content: "Others."}) { __typename } }',
        d=document["id"],
    )
    await eve.do("mutation($d: ID!) { deleteDocument(id: $d) { __typename } }", d=document["id"])
    await eve.do("mutation($c: ID!) { deleteCollection(id: $c) { __typename } }", c=ids["c"])
    session = (await ben.do("mutation { createSession { ... on ChatSession { id } } }"))["id"]
    await ben.share(session, eve.email, "READER")
    await ben.share(session, "guest@example.com", "WRITER")
    await ben.unshare(session, eve)
    made = "mutation($s: ID!) { createPublicLink(sessionId: $s) { ... on PublicLink { id } } }"
    public = (await ben.do(made, s=session))["id"]
    await ben.do("mutation($l: ID!) { revokePublicLink(id: $l) { __typename } }", l=public)
    for name in ("suspendUser", "liftSuspension", "liftSuspension"):
        await adam.do(f"mutation($u: ID!) {{ {name}(userId: $u) {{ id }} }}", u=ben.id)

    names = {adam.id: "adam", eve.id: "eve", ben.id: "ben"}
    rows = [
        (one["kind"], names[one["actorId"]], names[one["concernsId"]], one["detail"])
        for one in (await events(adam))[first:]
    ]
    assert rows == [
        ("ROLE_CHANGED", "adam", "eve", "USER to EDITOR"),
        ("ACCESS_REFUSED", "ben", "ben", "setUserRole"),
        ("GROUP_CHANGED", "adam", "adam", ""),
        ("GROUP_CHANGED", "adam", "ben", "ADDED"),
        ("GROUP_CHANGED", "adam", "ben", "REMOVED"),
        ("GROUP_DELETED", "adam", "adam", ""),
        ("API_KEY_CREATED", "eve", "eve", "DOCUMENTS"),
        ("DOCUMENT_ADDED", "eve", "eve", ""),
        ("COLLECTION_CHANGED", "eve", "eve", "ROLES ADMIN"),
        ("DOCUMENT_MOVED", "eve", "eve", ""),
        ("DOCUMENT_CHANGED", "eve", "eve", ""),
        ("DOCUMENT_DELETED", "eve", "eve", ""),
        ("COLLECTION_DELETED", "eve", "eve", ""),
        ("SESSION_SHARED", "ben", "eve", "READER"),
        ("SESSION_SHARED", "ben", "ben", "WRITER INVITED"),
        ("SESSION_UNSHARED", "ben", "eve", ""),
        ("PUBLIC_LINK_CREATED", "ben", "ben", ""),
        ("PUBLIC_LINK_REVOKED", "ben", "ben", ""),
        ("USER_SUSPENDED", "adam", "ben", ""),
        ("SUSPENSION_LIFTED", "adam", "ben", ""),
    ]
    (added,) = await events(adam, kinds=["DOCUMENT_ADDED"])
    assert added["apiKeyId"] == key["apiKey"]["id"]
    assert (added["objectId"], added["actor"]["email"]) == (document["id"], eve.email)
    assert row_id("SecurityEvent", added["id"]) is not None


async def test_administrators_read_it_in_pages(app: Running, clock: SettableClock) -> None:
    """The newest first, by person, kind and time; nobody else reads it, no key of an administrator
    either."""
    adam, ben = await admin(app), await person(app, "Ben")
    started = clock.time
    clock.forward(minutes=5)
    await app.login(ben.email)
    whole = await adam.do(EVENTS, first=100)
    ids = [edge["node"]["id"] for edge in whole["edges"]]
    seen: list[str] = []
    after = None
    while True:
        page = await adam.do(EVENTS, first=3, after=after)
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ids
    last = await adam.do(EVENTS, last=2)
    assert [edge["node"]["id"] for edge in last["edges"]] == ids[-2:]
    later = clock.time.isoformat()
    assert await kinds(adam, since=later) == ["REGISTERED", "LOGGED_IN"]
    assert len(await kinds(adam, until=later)) == len(ids) - 2
    assert await kinds(adam, userId=ben.id, kinds=["LOGGED_IN"], since=later) == ["LOGGED_IN"]
    assert await kinds(adam, until=started.isoformat()) == []
    assert await kinds(adam, userId=global_id("Document", row_id("User", ben.id) or "")) == []
    assert await adam.code(EVENTS, f={"since": "2030-01-01T00:00:00"}) == "BAD_USER_INPUT"
    assert await adam.code(EVENTS, first=101) == "BAD_USER_INPUT"
    key = await adam.do(
        'mutation { createApiKey(input: {name: "k", scopes: [READ, CHAT, DOCUMENTS]}) { ... on '
        "CreatedApiKey { key } } }"
    )
    for token, code in ((ben.token, "FORBIDDEN"), (key["key"], "FORBIDDEN")):
        assert await app.code(EVENTS, {}, token) == code
    assert await app.code(EVENTS, {}) == "UNAUTHENTICATED"


async def test_guesses_do_not_fill_the_log(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known and unknown addresses leave the same; of one network so many in an hour are listed,
    then one row says that more are not. A right login is listed all the same."""
    adam, ben = await admin(app), await person(app, "Ben")
    monkeypatch.setattr(audit, "PER_NETWORK", 6)
    for number in range(12):
        email = ben.email if number == 3 else f"nobody{number}@example.com"
        await app.data(LOGIN, {"e": email, "p": "wrong words"})
    failed = await events(adam, kinds=["LOGIN_FAILED", "LOGIN_BLOCKED"])
    assert [one["concernsId"] for one in failed] == [None, None, None, ben.id, None, None, None]
    assert [one["detail"] for one in failed] == [""] * 6 + ["MORE_ARE_NOT_LISTED"]
    assert len({json.dumps({**one, **SAME}) for one in failed[:6]}) == 1
    await app.login(ben.email)
    assert (await kinds(adam, userId=ben.id))[-1] == "LOGGED_IN"


SAME = dict.fromkeys(("id", "createdAt", "concernsId", "concerns", "requestId"))


async def test_an_event_goes_with_what_it_says(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it cannot be written, what it would tell about has not happened."""
    adam, ben = await admin(app), await person(app, "Ben")

    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(SecurityEvent, "create", fail)
    role = "mutation($u: ID!) { setUserRole(userId: $u, role: ADMIN) { id } }"
    assert await adam.code(role, u=ben.id) == "INTERNAL_SERVER_ERROR"
    key = 'mutation { createApiKey(input: {name: "k", scopes: [READ]}) { __typename } }'
    assert await ben.code(key) == "INTERNAL_SERVER_ERROR"
    assert await ben.code("mutation { logout { ok } }") == "INTERNAL_SERVER_ERROR"
    assert await ben.do("{ apiKeys { id } }") == []
    assert await ben.do("{ me { role } }") == {"role": "USER"}


def test_every_kind_is_noted_somewhere() -> None:
    """No kind is listed in the schema that nothing writes."""
    root = Path(audit.__file__).parent.parent
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in (".", "resolvers", "schema", "web")
        for path in root.glob("*.py" if folder == "." else f"{folder}/**/*.py")
    )
    assert [kind.name for kind in EventKind if f"EventKind.{kind.name}" not in code] == []


async def test_a_guess_costs_the_same_for_every_address(
    anyio_backend: str, empty_sqlite: Path, tmp_path: Path
) -> None:
    """Known or not: as many statements of each kind for a wrong password, and for one that is not
    tried any more; and one event for a reset that is asked for."""
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, copy_sqlite(empty_sqlite, tmp_path))
    async with running_app(settings, embedder=FakeEmbedder()) as app:
        ben = await person(app, "Ben")
        counts: dict[str, list[list[str]]] = {}
        reset = "mutation($e: String!) { requestPasswordReset(email: $e) { ok } }"
        for email in (ben.email, "nobody@example.com"):
            for _ in range(4):
                async with counted(app.services.store) as queries:
                    answer = await app.data(LOGIN, {"e": email, "p": "wrong words"})
                kind = answer["login"]["__typename"]
                counts.setdefault(email, []).append([kind, *(one.split()[0] for one in queries)])
            async with counted(app.services.store) as queries:
                await app.data(reset, {"e": email})
            counts[email].append([one[:29] for one in queries if "security_event" in one])
        first, second = counts.values()
        assert first == second
        assert [one[0] for one in first[:4]] == ["InvalidCredentials"] * 3 + ["RateLimited"]
        made = [row.kind for row in await SecurityEvent.all().order_by("id")]
        expected = ["LOGIN_FAILED"] * 3 + ["LOGIN_BLOCKED", "PASSWORD_RESET_REQUESTED"]
        assert made[-10:] == expected * 2
