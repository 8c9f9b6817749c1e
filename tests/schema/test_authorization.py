"""Every root field of the schema, called by people who may not, with the ids of somebody else.

Made from the schema: a new field, or a new id in an input, without a rule here fails the first
test. Who may not see an object gets the same answer as for an id that does not exist, nothing of
the owner's is in it, and nothing in the database has changed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import pytest
from graphql import GraphQLObjectType

from rag.embedding.fake import FakeEmbedder
from rag.generation.scripted import ScriptedGenerator
from tests.application import (
    copy_sqlite,
    running_app,
    test_settings,
)
from tests.schema.generated import ROOTS, id_paths, variables
from tests.schema.owned_world import (
    FIELDS,
    MARK,
    SCHEMA,
    World,
    conversation,
    make_world,
    snapshot,
)

pytestmark = pytest.mark.anyio


class Who(IntEnum):
    """Who may call a field at all; each may do what those before it may."""

    ANYONE = 0
    USER = 1
    EDITOR = 2
    ADMIN = 3


@dataclass(frozen=True)
class Rule:
    """Who may call a field, and of what kind the ids in its arguments are.

    `ends` says that a right call destroys what later ones need, so it comes last. `any_id` says
    that an id may be of any kind.
    """

    who: Who
    ids: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    ends: bool = False


_SESSION = {"id": "ChatSession"}
_REPLY = {"id": "Reply"}
_FILTER = {"filter.documentIds": "Document", "filter.collectionIds": "Collection"}
_SEND = {
    "input.sessionId": "ChatSession",
    "input.parentId": "Reply",
    "input.filter.documentIds": "Document",
    "input.filter.collectionIds": "Collection",
}
_NEW = {"input.email": "new@example.com", "input.password": "a sentence that nobody else has"}
RULES: Final[dict[str, Rule]] = {
    "Query.me": Rule(Who.ANYONE),
    "Query.node": Rule(Who.USER, {"id": "any"}),
    "Query.sessions": Rule(Who.USER),
    "Query.session": Rule(Who.USER, _SESSION),
    "Query.searchMessages": Rule(Who.USER, fixed={"query": MARK}),
    "Query.sessionTags": Rule(Who.USER),
    "Query.exportSession": Rule(Who.USER, _SESSION),
    "Query.documents": Rule(Who.USER, _FILTER),
    "Query.searchKnowledge": Rule(Who.USER, _FILTER, {"query": MARK}),
    "Query.collections": Rule(Who.USER),
    "Query.collection": Rule(Who.USER, {"id": "Collection"}),
    "Query.groups": Rule(Who.EDITOR),
    "Query.explainRetrieval": Rule(Who.EDITOR, {"messageId": "Question", **_FILTER}),
    "Query.publicConversation": Rule(Who.ANYONE),
    "Query.approvedAnswers": Rule(Who.EDITOR),
    "Query.unanswered": Rule(Who.EDITOR),
    "Mutation.register": Rule(Who.ANYONE, fixed=_NEW),
    "Mutation.verifyEmail": Rule(Who.ANYONE),
    "Mutation.resendVerification": Rule(Who.ANYONE),
    "Mutation.login": Rule(Who.ANYONE),
    "Mutation.refreshTokens": Rule(Who.ANYONE),
    "Mutation.setUserRole": Rule(Who.ADMIN, {"userId": "User"}, {"role": "EDITOR"}),
    "Mutation.logout": Rule(Who.USER, fixed={"everywhere": True}, ends=True),
    "Mutation.setLanguage": Rule(Who.USER),
    "Query.logins": Rule(Who.USER),
    "Query.apiKeys": Rule(Who.USER),
    "Query.securityEvents": Rule(Who.ADMIN, {"filter.userId": "User"}),
    "Mutation.requestPasswordReset": Rule(Who.ANYONE),
    "Mutation.resetPassword": Rule(Who.ANYONE),
    "Mutation.changePassword": Rule(Who.USER),
    "Mutation.revokeLogin": Rule(Who.USER, {"id": "Login"}, ends=True),
    "Mutation.requestEmailChange": Rule(Who.USER),
    "Mutation.confirmEmailChange": Rule(Who.ANYONE),
    "Mutation.deleteAccount": Rule(Who.USER),
    "Mutation.suspendUser": Rule(Who.ADMIN, {"userId": "User"}, ends=True),
    "Mutation.liftSuspension": Rule(Who.ADMIN, {"userId": "User"}),
    "Mutation.createApiKey": Rule(Who.USER),
    "Mutation.revokeApiKey": Rule(Who.USER, {"id": "ApiKey"}, ends=True),
    "Query.secondFactor": Rule(Who.USER),
    "Mutation.beginSecondFactor": Rule(Who.USER),
    "Mutation.confirmSecondFactor": Rule(Who.USER),
    "Mutation.disableSecondFactor": Rule(Who.USER),
    "Query.signInProviders": Rule(Who.ANYONE),
    "Query.signInIdentities": Rule(Who.USER),
    "Mutation.beginSignIn": Rule(Who.ANYONE),
    "Mutation.completeSignIn": Rule(Who.ANYONE),
    "Mutation.confirmSignIn": Rule(Who.ANYONE),
    "Mutation.linkSignIn": Rule(Who.USER),
    "Mutation.completeLink": Rule(Who.USER),
    "Mutation.unlinkSignIn": Rule(Who.USER, {"id": "SignInIdentity"}, ends=True),
    "Mutation.createSession": Rule(Who.USER),
    "Mutation.renameSession": Rule(Who.USER, _SESSION, {"title": MARK}),
    "Mutation.archiveSession": Rule(Who.USER, _SESSION),
    "Mutation.deleteSession": Rule(Who.USER, _SESSION, ends=True),
    "Mutation.sendMessage": Rule(Who.USER, _SEND),
    "Mutation.ask": Rule(Who.USER, _SEND),
    "Mutation.stopReply": Rule(Who.USER, _REPLY),
    "Mutation.editMessage": Rule(Who.USER, {"id": "Question"}),
    "Mutation.regenerateReply": Rule(Who.USER, _REPLY),
    "Mutation.selectBranch": Rule(Who.USER, _REPLY),
    "Mutation.rateReply": Rule(Who.USER, _REPLY, {"rating": "UP"}),
    "Mutation.pinSession": Rule(Who.USER, _SESSION),
    "Mutation.tagSession": Rule(Who.USER, _SESSION),
    "Mutation.postMessage": Rule(Who.USER, {"input.sessionId": "ChatSession"}),
    "Mutation.setAnswerMode": Rule(Who.USER, _SESSION),
    "Mutation.shareSession": Rule(Who.USER, _SESSION, {"email": "new@example.com"}),
    "Mutation.unshareSession": Rule(Who.USER, {**_SESSION, "userId": "User"}),
    "Mutation.cancelInvitation": Rule(Who.USER, _SESSION, {"email": "new@example.com"}),
    "Mutation.createPublicLink": Rule(Who.USER, {"sessionId": "ChatSession", "messageId": "Reply"}),
    "Mutation.revokePublicLink": Rule(Who.USER, {"id": "PublicLink"}, ends=True),
    "Mutation.createCollection": Rule(
        Who.EDITOR, {"input.groupIds": "UserGroup"}, {"input.audience": "NAMED"}
    ),
    "Mutation.updateCollection": Rule(
        Who.EDITOR,
        {"input.id": "Collection", "input.groupIds": "UserGroup"},
        {"input.audience": "NAMED"},
    ),
    "Mutation.deleteCollection": Rule(Who.EDITOR, {"id": "Collection"}, ends=True),
    "Mutation.moveDocuments": Rule(
        Who.EDITOR, {"documentIds": "Document", "collectionId": "Collection"}
    ),
    "Mutation.createGroup": Rule(Who.ADMIN),
    "Mutation.updateGroup": Rule(
        Who.ADMIN, {"input.id": "UserGroup", "input.removeUserIds": "User"}
    ),
    "Mutation.deleteGroup": Rule(Who.ADMIN, {"id": "UserGroup"}, ends=True),
    "Mutation.setTyping": Rule(Who.USER, {"sessionId": "ChatSession"}),
    "Mutation.markRead": Rule(Who.USER, {"messageId": "Reply"}),
    "Mutation.addDocument": Rule(Who.EDITOR, {"input.collectionId": "Collection"}),
    "Mutation.uploadDocument": Rule(Who.EDITOR, {"input.collectionId": "Collection"}),
    "Mutation.updateDocument": Rule(Who.EDITOR, {"input.id": "Document"}),
    "Mutation.deleteDocument": Rule(Who.EDITOR, {"id": "Document"}, ends=True),
    "Mutation.reindexKnowledge": Rule(Who.EDITOR),
    "Mutation.syncManifest": Rule(
        Who.EDITOR, {"collectionId": "Collection"}, {"entries.hash": "0" * 64}
    ),
    "Mutation.approveAnswer": Rule(
        Who.EDITOR,
        {
            "input.messageId": "Reply",
            "input.documentId": "Document",
            "input.unansweredGroupId": "UnansweredGroup",
        },
    ),
    "Mutation.updateApprovedAnswer": Rule(Who.EDITOR, {"input.id": "ApprovedAnswer"}),
    "Mutation.removeApprovedAnswer": Rule(Who.EDITOR, {"id": "ApprovedAnswer"}, ends=True),
    "Mutation.setUnansweredState": Rule(Who.EDITOR, {"id": "UnansweredGroup"}),
    "Subscription.chat": Rule(Who.USER, _SEND),
    "Subscription.reply": Rule(Who.USER, _REPLY),
    "Subscription.sessionEvents": Rule(Who.USER, _SESSION),
    "Subscription.indexProgress": Rule(Who.USER),
}
# What the roles do not open: nobody sees it who is not in the session.
PRIVATE_NODES: Final = {"ChatSession", "Question", "Reply", "PublicLink"}
PRIVATE: Final = PRIVATE_NODES | {"Login", "ApiKey"}


def test_every_field_and_id_has_a_rule() -> None:
    """Whoever adds a field says here who may call it and of what kind its ids are."""
    assert {name: id_paths(one) for name, one in FIELDS.items()} == {
        name: set(rule.ids) for name, rule in RULES.items()
    }
    nested = {
        f"{type.name}.{name}"
        for type in SCHEMA.type_map.values()
        if isinstance(type, GraphQLObjectType) and type.name not in ROOTS
        for name, one in type.fields.items()
        if id_paths(one)
    }
    assert nested == set(), "these take ids below the root: give them rules, too"


@pytest.fixture
async def world(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "kb").mkdir()
    settings = test_settings(tmp_path, copy_sqlite(empty_sqlite, tmp_path), model_titles=False)
    generator = ScriptedGenerator([f"{MARK} it is."])
    async with running_app(settings, embedder=FakeEmbedder(), generator=generator) as app:
        app.services.store.bind()
        await app.services.knowledge.pipeline()
        yield await make_world(app)


# ---- calling -------------------------------------------------------------------------------------


def without(answer: Any, ids: Mapping[str, str]) -> str:
    """An answer as text, with the ids that were sent taken out of it."""
    text = json.dumps(answer, sort_keys=True)
    for value in ids.values():
        text = text.replace(value, "ID")
    return text


def code(answer: Any) -> str | None:
    errors = answer.get("errors") or [{}]
    found: str | None = errors[0].get("extensions", {}).get("code")
    return found


def kinds(rule: Rule) -> Iterator[dict[str, str]]:
    """The kinds of its ids; for one that may be of any kind each in turn."""
    for kind in KINDS if "any" in rule.ids.values() else ("any",):
        yield {path: kind if one == "any" else one for path, one in rule.ids.items()}


KINDS: Final = (
    *PRIVATE_NODES,
    "User",
    "Collection",
    "Document",
    "UserGroup",
    "ApprovedAnswer",
    "UnansweredGroup",
)


async def test_a_stranger_learns_and_changes_nothing(world: World) -> None:
    """Nils gets the same answer for Olga's object, for one that does not exist, for one of another
    kind and for no id at all, whatever he calls; none holds anything of hers."""
    before = await snapshot()
    for name, rule in RULES.items():
        for ids in kinds(rule):
            foreign = {path: world.ids[kind] for path, kind in ids.items()}
            tries = [foreign, {path: world.missing(kind) for path, kind in ids.items()}]
            if not name.startswith("Subscription."):
                # Those say of what kind an id must be, which the id itself says, too.
                tries.append({path: world.missing("Nothing") for path in ids})
            if not ids:
                continue
            answers = []
            for sent in tries:
                values = variables(FIELDS[name], sent, rule.fixed)
                answer = await world.call(name, values, world.other.token)
                assert not tells(world, answer), (name, answer)
                answers.append(without(answer, sent))
                if rule.who > Who.USER:
                    assert code(answer) == "FORBIDDEN", (name, answer)
            assert len(set(answers)) == 1, (name, ids, answers)
            assert await world.changed(before) == [], name


async def test_a_foreign_id_beside_own_ones_is_one_that_does_not_exist(world: World) -> None:
    """Each id of an input alone is Olga's, the others Nils's own: his session with her message."""
    for name, rule in RULES.items():
        if rule.who > Who.USER or len(rule.ids) < 2:
            continue
        for path, kind in rule.ids.items():
            answers = []
            for sent in (world.ids[kind], world.missing(kind)):
                mine = {**await conversation(world.other, "Nils"), "User": world.other.id}
                own = {one: mine.get(of) for one, of in rule.ids.items()}
                values = variables(FIELDS[name], {**own, path: sent}, rule.fixed)
                answer = await world.call(name, values, world.other.token)
                assert not tells(world, answer), (name, path, answer)
                answers.append(shape(answer))
            assert answers[0] == answers[1], (name, path, different(*answers))
            assert await world.owner_changed() == [], (name, path)


async def test_roles_do_not_open_conversations(world: World) -> None:
    """For an editor and an administrator, too, Olga's session, messages and links are not there."""
    before = await snapshot()
    for name, rule in RULES.items():
        for ids in kinds(rule):
            private = {path: kind for path, kind in ids.items() if kind in PRIVATE}
            if not private:
                continue
            for who in (world.editor, world.admin):
                answers = []
                for sent in (
                    {path: world.ids[kind] for path, kind in private.items()},
                    {path: world.missing(kind) for path, kind in private.items()},
                ):
                    values = variables(FIELDS[name], sent, rule.fixed)
                    answer = await world.call(name, values, who.token)
                    assert MARK.lower() not in str(answer).lower(), (name, answer)
                    answers.append(without(answer, sent))
                assert answers[0] == answers[1], (name, ids, answers)
                assert await world.changed(before) == [], name


async def test_only_the_administrator_does_what_is_for_administrators(world: World) -> None:
    before = await snapshot()
    for name, rule in RULES.items():
        if rule.who is Who.ADMIN:
            ids = {path: world.ids[kind] for path, kind in rule.ids.items()}
            values = variables(FIELDS[name], ids, rule.fixed)
            for who in (world.other, world.editor):
                assert code(await world.call(name, values, who.token)) == "FORBIDDEN", name
    assert await world.changed(before) == []


async def test_without_a_login_nothing_can_be_called(world: World) -> None:
    """Also with ids that exist, and with a token that is none. What anyone may call tells nothing
    of Olga's."""
    before = await snapshot()
    for name, rule in RULES.items():
        for ids in kinds(rule):
            sent = {path: world.ids[kind] for path, kind in ids.items()}
            values = variables(FIELDS[name], sent, rule.fixed)
            answer = await world.call(name, values, None)
            assert not tells(world, answer), (name, answer)
            if rule.who is Who.ANYONE:
                continue
            assert code(answer) == "UNAUTHENTICATED", (name, answer)
    new = {table for table, _ in await world.changed(before)}
    # Of register, and of what is counted and noted.
    assert new <= {"user_account", "email_token", "outbox_mail", "attempt", "security_event"}
    assert await world.owner_changed() == []


async def test_what_lists_things_lists_none_of_hers(world: World) -> None:
    """Fields without an id, called by Nils."""
    for name, rule in sorted(RULES.items(), key=lambda one: one[1].ends):
        if rule.ids:
            continue
        values = variables(FIELDS[name], {}, rule.fixed)
        answer = await world.call(name, values, world.other.token)
        assert not tells(world, answer), (name, answer)
        if rule.who > Who.USER:
            assert code(answer) == "FORBIDDEN", (name, answer)
    assert await world.owner_changed() == []


async def test_the_right_people_get_something_else(world: World) -> None:
    """What the others are refused is there: each call works for who may make it, and differs from
    the answer for an id that does not exist. Without this the tests above would prove nothing."""
    for name, rule in sorted(RULES.items(), key=lambda one: ENDS.get(one[0], 0)):
        for ids in kinds(rule):
            if not ids:
                continue
            kind = next(iter(ids.values()))
            who = {Who.EDITOR: world.editor, Who.ADMIN: world.admin}.get(rule.who, world.owner)
            if kind in ("UserGroup", "ApprovedAnswer", "UnansweredGroup"):
                who = world.admin
            first = next(iter(ids))
            there = world.ids
            if who is world.editor and kind in PRIVATE:
                there = {**world.ids, **await conversation(who, "Eve")}
            answers = []
            for sent in (world.missing(kind), there[kind]):
                required = {
                    path: world.ids[of]
                    for path, of in ids.items()
                    if path in REQUIRED.get(name, ())
                }
                values = variables(FIELDS[name], {**required, first: sent}, rule.fixed)
                answers.append(without(await world.call(name, values, who.token), {"": sent}))
            assert answers[0] != answers[1], (name, ids, answers)
            assert "INTERNAL_SERVER_ERROR" not in answers[1], (name, answers)


# What destroys comes last, the smaller things before those that they hang on.
ENDS: Final = {
    "Mutation.unshareSession": 1,
    "Mutation.setUserRole": 1,
    "Mutation.revokePublicLink": 2,
    "Mutation.revokeApiKey": 2,
    "Mutation.unlinkSignIn": 2,
    "Mutation.deleteGroup": 2,
    "Mutation.removeApprovedAnswer": 2,
    "Mutation.deleteDocument": 3,
    "Mutation.deleteCollection": 4,
    "Mutation.deleteSession": 5,
    "Mutation.revokeLogin": 6,
    "Mutation.suspendUser": 7,
}
# Ids without which a call is refused whoever makes it.
REQUIRED: Final = {
    "Mutation.unshareSession": ("userId",),
    "Mutation.moveDocuments": ("collectionId",),
}


def tells(world: World, answer: Any) -> bool:
    """Whether an answer holds anything of the owner's."""
    text = json.dumps(answer, ensure_ascii=False).lower()
    return any(secret in text for secret in world.secrets)


def shape(answer: Any) -> Any:
    """An answer without what differs between two calls that did the same: ids, times, and how far
    a reply is."""
    if isinstance(answer, dict):
        return {name: "…" if _is_varying(name) else shape(value) for name, value in answer.items()}
    return [shape(one) for one in answer] if isinstance(answer, list) else answer


VARYING: Final = {
    "id",
    "replyId",
    "cursor",
    "startCursor",
    "endCursor",
    "token",
    "url",
    "firstTokenMs",
    "totalMs",
    # Of a reply that runs while the answer is made.
    "status",
    "content",
    "grounded",
    "ungroundedReason",
    "usage",
    "siblings",
}


def _is_varying(name: str) -> bool:
    end = name.rpartition("_")[2]
    return end in VARYING or end.endswith("At")


def different(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two answers are not the same, for whoever reads a failure."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [
            line for name in one for line in different(one[name], other[name], f"{path}.{name}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line
            for at, pair in enumerate(zip(one, other, strict=True))
            for line in different(*pair, f"{path}[{at}]")
        ]
    return [] if one == other else [f"{path}: {one!r} is not {other!r}"]
